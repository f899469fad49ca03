"""Hold a net against blobs that another implementation recorded (Caffe, OpenCV, a device)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adaption.errors import DataError, one_line
from adaption.io.arrays import read_arrays
from adaption.net import Net

__all__ = ["RecordedBlob", "RecordedReport", "verify_recorded"]

# Two float32 implementations sum in different orders; over the layers of the published nets the
# greatest relative difference seen is 1.5e-5 (ResNet-20).
TOLERANCE = 2e-4

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class RecordedBlob:
    """Greatest difference of one blob, absolute and relative to its greatest magnitude."""

    blob: str
    count: int
    max_error: float
    relative_error: float
    ok: bool


@dataclass(frozen=True)
class RecordedReport:
    """What `verify_recorded` found, blob by blob in the order of the net."""

    path: str
    tolerance: float
    samples: int
    blobs: tuple[RecordedBlob, ...]
    skipped: tuple[str, ...]  # recorded names that are no blobs of the net

    @property
    def ok(self) -> bool:
        return all(b.ok for b in self.blobs)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; one entry of `verification`."""
        return {
            "what": f"recorded blobs of {self.path}",
            "ok": self.ok,
            "detail": self._verdict(),
            "tolerance": self.tolerance,
            "samples": self.samples,
            "blobs": [vars(b) for b in self.blobs],
            "skipped": list(self.skipped),
        }

    def _verdict(self) -> str:
        bad = [b for b in self.blobs if not b.ok]
        if bad:
            return (
                f'"{bad[0].blob}" differs first: relative error {bad[0].relative_error:.3g},'
                f" allowed {self.tolerance:g}; {len(bad)} of {len(self.blobs)} blobs differ"
            )
        worst = max(b.relative_error for b in self.blobs)
        return (
            f"{len(self.blobs)} blobs on {self.samples} samples, greatest relative error"
            f" {worst:.3g}, allowed {self.tolerance:g}"
        )

    def __str__(self) -> str:
        names = [one_line(b.blob) for b in self.blobs]
        width = max(map(len, names))
        lines = [f"{'blob'.ljust(width)}  max error  relative"]
        lines += [
            f"{name.ljust(width)}  {b.max_error:9.3g}  {b.relative_error:8.3g}"
            + ("" if b.ok else "  DIFFERS")
            for name, b in zip(names, self.blobs, strict=True)
        ]
        if self.skipped:
            lines.append(one_line(f"no blobs of the net: {', '.join(self.skipped)}"))
        return "\n".join([*lines, "", one_line(f"{self.path}: {self._verdict()}")])


def verify_recorded(
    net: Net, recorded: str | os.PathLike[str], inputs: Arrays, *, tolerance: float = TOLERANCE
) -> RecordedReport:
    """Run the net on `inputs` and compare its blobs with recorded ones.

    Args:
        recorded: npz keyed by blob name, `/` written `|`; may hold the first samples only.
        inputs: arrays by input blob name, as `read_arrays` gives them.
        tolerance: greatest allowed difference relative to the blob's greatest magnitude.
    Raises: DataError when no recorded name is a blob of the net, or shapes do not fit.
    """
    wanted = {name.replace("|", "/"): array for name, array in read_arrays(recorded).items()}
    named = [name for name in net.blobs if name in wanted]
    if not named:
        raise DataError(
            f"holds {', '.join(wanted)}, none of which is a blob of the net",
            f"the net's outputs are {', '.join(net.outputs)}",
            file=recorded,
        )
    with torch.no_grad():
        net.forward(inputs)
    blobs = [_compare(net, name, wanted[name], tolerance, recorded) for name in named]
    samples = max(len(wanted[name]) if wanted[name].ndim else 1 for name in named)
    skipped = tuple(name for name in wanted if name not in net.blobs)
    return RecordedReport(os.fspath(recorded), tolerance, samples, tuple(blobs), skipped)


def _compare(
    net: Net,
    name: str,
    want: NDArray[Any],
    tolerance: float,
    file: str | os.PathLike[str],
) -> RecordedBlob:
    found = net.blobs[name].tensor.numpy().astype(np.float64)
    if found.ndim and want.ndim and len(want) < len(found):
        found = found[: len(want)]
    want = _without_padding(want, found.shape)
    if found.size != want.size:
        raise DataError(
            f'blob "{name}" has shape {want.shape}, the net gives {found.shape}',
            "give the inputs that the blobs were recorded with",
            file=file,
        )
    difference = float(np.abs(found.reshape(want.shape) - want).max(initial=0.0))
    relative = difference / max(float(np.abs(want).max(initial=0.0)), 1e-6)
    # Written so that NaN counts as a difference.
    return RecordedBlob(name, want.size, difference, relative, bool(relative <= tolerance))


def _without_padding(want: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """`want` cut to `shape` where all that is cut off is zero.

    OpenCV gives detections as a fixed number of rows and fills up with zeros; Caffe gives as many
    rows as there are detections.
    """
    if want.ndim != len(shape) or any(w < s for w, s in zip(want.shape, shape, strict=True)):
        return want
    kept = want[tuple(slice(size) for size in shape)]
    return kept if np.count_nonzero(kept) == np.count_nonzero(want) else want
