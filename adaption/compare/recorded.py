"""check_recorded: a net beside blobs that something else recorded (Caffe, OpenCV, a device)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adaption.compare.result import VerifyReport
from adaption.errors import DataError, counted
from adaption.io.arrays import read_recorded
from adaption.net import Net

__all__ = ["RecordedBlob", "RecordedReport", "check_recorded"]

# Two float32 implementations sum in different orders; over the layers of the published nets the
# greatest relative difference seen is 1.5e-5 (ResNet-20).
TOLERANCE = 2e-4

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class RecordedBlob:
    """Greatest difference of one blob, absolute and relative to its greatest magnitude."""

    layer: str  # that makes it, "" for an input
    blob: str
    count: int
    max_error: float
    relative_error: float
    ok: bool


@dataclass(frozen=True, kw_only=True)
class RecordedReport(VerifyReport):
    """What `check_recorded` found, blob by blob in the order of the net."""

    path: str
    tolerance: float
    blobs: tuple[RecordedBlob, ...]
    skipped: tuple[str, ...]  # recorded names that are no blobs of the net

    @property
    def what(self) -> str:
        return f"recorded blobs of {self.path}"

    @property
    def verdict(self) -> str:
        return f"{self.path}: the net {'does NOT compute' if self.problems else 'computes'} this"

    @property
    def detail(self) -> str:
        bad = [b for b in self.blobs if not b.ok]
        if bad:
            return (
                f'"{bad[0].blob}" differs first: relative error {bad[0].relative_error:.3g},'
                f" allowed {self.tolerance:g}; {len(bad)} of {len(self.blobs)} blobs differ"
            )
        worst = max(b.relative_error for b in self.blobs)
        return (
            f"{len(self.blobs)} blobs on {counted(self.samples, 'sample')}, greatest relative error"
            f" {worst:.3g}, allowed {self.tolerance:g}"
        )

    def facts(self) -> dict[str, Any]:
        return {
            "tolerance": self.tolerance,
            "blobs": [vars(b) for b in self.blobs],
            "skipped": list(self.skipped),
        }

    def rows(self) -> list[tuple[str, ...]]:
        return [
            ("layer", "blob", "", "max error", "relative"),
            *(
                (
                    b.layer,
                    b.blob,
                    "" if b.ok else "DIFFERS",
                    f"{b.max_error:.3g}",
                    f"{b.relative_error:.3g}",
                )
                for b in self.blobs
            ),
        ]


def check_recorded(
    net: Net, recorded: str | os.PathLike[str], inputs: Arrays, *, tolerance: float = TOLERANCE
) -> RecordedReport:
    """Run the net on `inputs` and compare its blobs with recorded ones.

    Args:
        recorded: npz keyed by blob name, `/` written `|`; may hold the first samples only.
        inputs: arrays by input blob name, as `read_arrays` gives them.
        tolerance: greatest allowed difference relative to the blob's greatest magnitude.
    Raises: DataError when no recorded name is a blob of the net, or shapes do not fit.
    """
    wanted = read_recorded(recorded)
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
    return RecordedReport(
        path=os.fspath(recorded),
        tolerance=tolerance,
        samples=samples,
        blobs=tuple(blobs),
        skipped=skipped,
        problems=tuple(
            f'"{b.blob}" differs: relative error {b.relative_error:.3g}, allowed {tolerance:g}'
            for b in blobs
            if not b.ok
        ),
        notes=(f"no blobs of the net: {', '.join(skipped)}",) * bool(skipped),
    )


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
    layer = next((n.spec.name for n in reversed(net.nodes) if name in n.spec.tops), "")
    return RecordedBlob(layer, name, want.size, difference, relative, bool(relative <= tolerance))


def _without_padding(want: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """`want` cut to `shape` where all that is cut off is zero.

    OpenCV gives detections as a fixed number of rows and fills up with zeros; Caffe gives as many
    rows as there are detections.
    """
    if want.ndim != len(shape) or any(w < s for w, s in zip(want.shape, shape, strict=True)):
        return want
    kept = want[tuple(slice(size) for size in shape)]
    return kept if np.count_nonzero(kept) == np.count_nonzero(want) else want
