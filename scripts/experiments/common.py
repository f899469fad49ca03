"""What the experiments share: data as HDF5, results that are kept, a progress line, a table."""

from __future__ import annotations

import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

import adaption
from adaption.data import open_source
from adaption.errors import UsageError
from adaption.io.atomic import atomic_write
from adaption.report import Progress
from adaption.solver import Listener

__all__ = [
    "DATA",
    "Results",
    "Shown",
    "cifar",
    "machine",
    "mean_and_spread",
    "mnist",
    "train_shown",
    "write_data",
]

Samples = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

DATA = """layer {{ name: "rows" type: "HDF5Data" top: "data" top: "label" include {{ phase: TRAIN }}
  hdf5_data_param {{ source: "train.txt" batch_size: {batch} shuffle: true }} }}
layer {{ name: "rows" type: "HDF5Data" top: "data" top: "label" include {{ phase: TEST }}
  hdf5_data_param {{ source: "test.txt" batch_size: 100 }} }}
"""
"""Data layers over the files of `write_data`."""


# -- data ----------------------------------------------------------------------------------------


def mnist(folder: Path, phase: str) -> Samples:
    """All digits of a phase, (N, 1, 28, 28) in 0..1, and their labels."""
    name = {"train": "train", "test": "t10k"}[phase]
    return _samples(_only(folder, f"{name}-images-idx3-ubyte*"))


def cifar(folder: Path, phase: str, limit: int | None = None) -> Samples:
    """Images of a phase, (N, 3, 32, 32) in 0..1; classes alternate in the files."""
    return _samples(_only(folder, f"cifar10_{phase}*.npz"), limit)


def _samples(path: Path, limit: int | None = None) -> Samples:
    images: list[np.ndarray] = []
    labels: list[int | None] = []
    for sample in open_source(path):
        if len(images) == limit:
            break
        images.append(np.asarray(sample.image, np.float32))
        labels.append(sample.label)
    return np.stack(images) / np.float32(255), np.asarray(labels, np.float32)


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise UsageError(f"no {pattern} in {folder}", "name the folder with the data set")
    return found[0]


def write_data(read: Callable[[Path, str], Samples], source: Path) -> dict[str, int]:
    """HDF5 files and their lists in the working directory, where they are not there; returns the
    number of samples of each phase."""
    sizes = {}
    for phase in ("train", "test"):
        path = Path(f"{phase}.h5")
        if not path.exists():
            images, labels = read(source, phase)
            part = path.with_suffix(".part")
            with h5py.File(part, "w") as file:
                file["data"], file["label"] = images, labels
            part.replace(path)
        Path(f"{phase}.txt").write_text(f"{path}\n", encoding="utf-8")
        with h5py.File(path) as file:
            sizes[phase] = len(file["label"])
    return sizes


# -- runs ----------------------------------------------------------------------------------------


class Shown(Listener):
    """A progress line."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def stepped(self, iteration: int) -> None:
        self.progress.advance()


def train_shown(solver: Path, label: str, iterations: int, **options: Any) -> Any:
    """`adaption.train` with a progress line."""
    with Progress(iterations, label, unit="iterations") as progress:
        return adaption.train(solver, listeners=[Shown(progress)], **options)


class Results:
    """results.json: settings, machine, and every run; what is there is not run again.

    Raises: UsageError when the file is of other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self._all: dict[str, Any] = {"settings": settings, "machine": machine(), "runs": []}
        if path.exists():
            self._all = json.loads(path.read_text(encoding="utf-8"))
            if self._all["settings"] != settings:
                raise UsageError(f"{path} is of other settings", "name another folder")

    @property
    def runs(self) -> list[dict[str, Any]]:
        return list(self._all["runs"])

    def get(self, key: Mapping[str, Any], run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The run of this key, from the file or made now; the file is brought up to date at
        once."""
        for found in self._all["runs"]:
            if found.items() >= key.items():
                return dict(found)
        begin = time.monotonic()
        made = {**key, **run(), "seconds": round(time.monotonic() - begin, 1)}
        made["date"] = datetime.date.today().isoformat()
        self._all["runs"].append(made)
        with atomic_write(self.path, "w") as out:
            out.write(json.dumps(self._all, indent=1) + "\n")
        return made


def machine() -> str:
    """Name of the processor, and versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, torch {torch.__version__}, adaption {adaption.__version__}"


def mean_and_spread(values: Iterable[float], digits: int = 2) -> str:
    """Mean, and in brackets the standard deviation where there are several."""
    found: Sequence[float] = list(values)
    if not found:
        return ""
    spread = f" ({statistics.stdev(found):.{digits}f})" if len(found) > 1 else ""
    return f"{statistics.mean(found):.{digits}f}{spread}"
