"""The float net's pass over the data, kept on disk so that many variants are held against one."""

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

from adaption.errors import AdaptionError, UsageError
from adaption.io.atomic import atomic_write
from adaption.io.wire import map_file
from adaption.precision.evaluate import Run, Tally
from adaption.precision.measure import Measurement

__all__ = ["Reference", "load_reference", "origin_of", "save_reference"]

MEASUREMENT, RUN = "measurement.json", "run.npz"
PLAIN = ("samples", "main", "boxes", "input_zeros")
TALLY = ("classes", "top1", "top5", "labelled", "outside", "least_label", "greatest_label")


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
        "weights": zlib.crc32(map_file(weights)),
        **{name: _plain(value) for name, value in settings.items()},
    }


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=os.fspath))


def save_reference(folder: Path, reference: Reference, origin: Mapping[str, Any]) -> None:
    """Write a reference into a folder, the measurement first and what names its origin last."""
    folder.mkdir(parents=True, exist_ok=True)
    reference.measured.save(folder / MEASUREMENT)
    run = asdict(reference.run)
    head = {"origin": dict(origin), **{name: run[name] for name in PLAIN}}
    head["scores"] = {
        name: {key: tally[key] for key in TALLY} for name, tally in run["scores"].items()
    }
    head["outputs"] = {name: [len(t) for t in parts] for name, parts in run["outputs"].items()}
    arrays: dict[str, NDArray[Any]] = {"head": np.array(json.dumps(head))}
    for name, parts in reference.run.outputs.items():
        arrays[f"output:{name}"] = torch.cat(parts).numpy() if parts else np.empty(0, np.float32)
    for name, tally in reference.run.scores.items():
        if tally.predictions:
            arrays[f"predictions:{name}"] = np.concatenate(tally.predictions)
    with atomic_write(folder / RUN, "w+b") as out:
        np.savez(out, allow_pickle=False, **arrays)


def load_reference(folder: Path, origin: Mapping[str, Any]) -> Reference | None:
    """The reference in a folder; None where there is none yet.

    Raises: UsageError when it is of another net, other weights or other data.
    """
    if not (folder / RUN).exists():
        return None
    try:
        with np.load(folder / RUN, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = json.loads(str(arrays["head"]))
        found = head["origin"]
        run = Run(**{name: head[name] for name in PLAIN})
        for name, values in head["scores"].items():
            run.scores[name] = Tally(**values)
            if f"predictions:{name}" in arrays:
                run.scores[name].predictions = [arrays[f"predictions:{name}"]]
        for name, lengths in head["outputs"].items():
            run.outputs[name] = _parts(arrays[f"output:{name}"], lengths)
    except (ValueError, KeyError, TypeError, OSError) as error:
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


def _parts(values: NDArray[np.float32], lengths: list[int]) -> list[Tensor]:
    return list(torch.split(torch.from_numpy(values), lengths)) if lengths else []
