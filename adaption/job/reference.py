"""The float net's pass over the data, kept on disk so that many variants are compared with one."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adaption.errors import AdaptionError, FieldError, FileFormatError, UsageError, system_error
from adaption.io.atomic import atomic_write, together
from adaption.io.entries import Entries
from adaption.io.file_bytes import FileBytes
from adaption.io.npy import read_npz
from adaption.precision.evaluate import Run, Tally
from adaption.precision.measure import Measurement

__all__ = ["Reference", "load_reference", "origin_of", "save_reference"]

MEASUREMENT, RUN = "measurement.json", "run.npz"
MOST = 1 << 62
PLAIN = ("samples", "main", "boxes", "input_zeros")
COUNTS = ("classes", "top1", "top5", "labelled", "outside")
RANGE = ("least_label", "greatest_label")  # None without labels


@dataclass(frozen=True)
class Reference:
    """What a float net gave on some data: statistics of its tensors, predictions, outputs."""

    measured: Measurement
    run: Run


def origin_of(
    net: str | os.PathLike[str], weights: str | os.PathLike[str], **settings: Any
) -> dict[str, Any]:
    """What a reference depends on: the contents of both files, and the settings of the pass."""
    return {
        "net": zlib.crc32(Path(net).read_bytes()),
        "weights": _checksum(weights),
        **{name: _plain(value) for name, value in settings.items()},
    }


def _checksum(path: str | os.PathLike[str]) -> int:
    value = 0
    for chunk in FileBytes(path).chunks():
        value = zlib.crc32(chunk, value)
    return value


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=os.fspath))


def save_reference(folder: Path, reference: Reference, origin: Mapping[str, Any]) -> None:
    """Write a reference into a folder, the measurement first and what names its origin last."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise system_error(error, "cannot be written", file=folder) from None
    run = asdict(reference.run)
    head = {"origin": dict(origin), **{name: run[name] for name in PLAIN}}
    head["scores"] = {
        name: {key: tally[key] for key in (*COUNTS, *RANGE)}
        for name, tally in run["scores"].items()
    }
    head["outputs"] = {name: [len(t) for t in parts] for name, parts in run["outputs"].items()}
    arrays: dict[str, NDArray[Any]] = {"head": np.array(json.dumps(head))}
    for name, parts in reference.run.outputs.items():
        arrays[f"output:{name}"] = torch.cat(parts).numpy() if parts else np.empty(0, np.float32)
    for name, tally in reference.run.scores.items():
        if tally.predictions:
            arrays[f"predictions:{name}"] = np.concatenate(tally.predictions)
    with together():
        reference.measured.save(folder / MEASUREMENT)
        with atomic_write(folder / RUN, "w+b") as out:
            np.savez(out, allow_pickle=False, **arrays)


def load_reference(folder: Path, origin: Mapping[str, Any]) -> Reference | None:
    """The reference in a folder; None where there is none yet.

    Raises: UsageError when it is of another net, other weights or other data.
    """
    if not _exists(folder / RUN):
        return None
    try:
        arrays = read_npz(folder / RUN)
        head = Entries(json.loads(str(arrays["head"])))
        found = head.object("origin").values
        main = None if head.values["main"] is None else head.text("main")
        run = Run(head.whole("samples", 0, MOST), main, boxes=list(head.text_list("boxes")))
        zeros = head.object("input_zeros")
        run.input_zeros = {name: zeros.wholes(name, 0, MOST) for name in zeros.values}
        scores = head.object("scores")
        for name in scores.values:
            run.scores[name] = _tally(scores.object(name), arrays.get(f"predictions:{name}"))
        outputs = head.object("outputs")
        for name in outputs.values:
            lengths = outputs.wholes(name, 0, MOST)
            run.outputs[name] = _parts(arrays[f"output:{name}"], lengths)
    except (FieldError, FileFormatError) as error:
        raise UsageError(
            f"is no reference: {error.fact}", "remove the folder", file=folder
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise UsageError(f"is no reference: {error}", "remove the folder", file=folder) from None
    differing = [n for n in {**found, **origin} if found.get(n) != origin.get(n)]
    if differing:
        raise UsageError(
            f"the reference was made with other {', '.join(differing)}",
            "give --reference another folder, or remove this one",
            file=folder,
        )
    try:
        return Reference(Measurement.load(folder / MEASUREMENT), run)
    except AdaptionError as error:
        raise error.at(file=folder / MEASUREMENT) from None


def _tally(values: Entries, predictions: NDArray[Any] | None) -> Tally:
    made = Tally(**{name: values.whole(name, 0, MOST) for name in COUNTS})
    for name in RANGE:
        if values.values[name] is not None:
            setattr(made, name, values.whole(name, -MOST, MOST))
    if predictions is not None:
        made.predictions = [predictions.astype(np.int32, casting="safe")]
    return made


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise system_error(error, "cannot be read", file=path) from None


def _parts(values: NDArray[np.float32], lengths: list[int]) -> list[Tensor]:
    return list(torch.split(torch.from_numpy(values), lengths)) if lengths else []
