"""WRPN in small: fewer bits against more filters, as a table of test accuracies.

    scripts/experiments/wrpn_mnist.sh MNIST OUT [--seeds 1,2,3]
    scripts/experiments/wrpn_cifar.sh CIFAR OUT [--seeds 1,2,3]

MNIST is the folder with the four idx files (gzip or not), CIFAR the folder with cifar10_train*.npz
and cifar10_test*.npz. A float net is rewritten with `rewrite --recipe wrpn` for each row (bits of
weights / of activations), at several widths, and trained with Adam. First and last layer keep float
weights. OUT/results.json keeps every run; what is there is not run again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

import adaption
from adaption.data import open_source
from adaption.errors import AdaptionError, UsageError
from adaption.io.atomic import atomic_write
from adaption.report import Progress
from adaption.solver import Listener

Samples = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
FLOAT = 32

NET = """name: "{name}"
layer {{ name: "rows" type: "HDF5Data" top: "data" top: "label" include {{ phase: TRAIN }}
  hdf5_data_param {{ source: "train.txt" batch_size: {batch} shuffle: true }} }}
layer {{ name: "rows" type: "HDF5Data" top: "data" top: "label" include {{ phase: TEST }}
  hdf5_data_param {{ source: "test.txt" batch_size: 100 }} }}
{body}layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{top}" bottom: "label" top: "loss" }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "{top}" bottom: "label" top: "accuracy"
  include {{ phase: TEST }} }}
"""
SOLVER = """net: "net.prototxt"
type: "Adam" base_lr: {rate} lr_policy: "multistep" gamma: 0.1 stepvalue: {step}
momentum: 0.9 momentum2: 0.999 weight_decay: 0
max_iter: {iterations} random_seed: {seed} snapshot_after_train: false
test_iter: {tests} test_interval: {iterations} test_initialization: false
"""
SUM = """layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}"
  {kind_param} {{ num_output: {count} {more}weight_filler {{ type: "msra" }} }} }}
"""
NORM_AND_RELU = """layer {{ name: "{name}_bn" type: "BatchNorm" bottom: "{name}" top: "{name}"
  batch_norm_param {{ moving_average_fraction: 0.9 }} }}
layer {{ name: "{name}_scale" type: "Scale" bottom: "{name}" top: "{name}"
  scale_param {{ bias_term: true }} }}
layer {{ name: "{name}_relu" type: "ReLU" bottom: "{name}" top: "{name}" }}
"""
POOL = """layer {{ name: "{name}" type: "Pooling" bottom: "{bottom}" top: "{name}"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
"""


@dataclass(frozen=True)
class Row:
    """One row of a table. he: initial values of He et al. throughout, instead of uniform -1..1."""

    weights: int
    activations: int
    widths: tuple[int, ...]
    he: bool = False

    def __str__(self) -> str:
        return f"{self.weights}/{self.activations}{', He' if self.he else ''}"


@dataclass(frozen=True)
class Experiment:
    """A net, how it is trained, and the rows of its table.

    body: its layers between data and loss, given a factor on the widths. epochs: the last `slow` of
    them run at a tenth of the rate.
    """

    name: str
    body: Callable[[int], str]
    top: str
    rate: float
    batch: int
    epochs: int
    slow: int
    read: Callable[[Path, str], Samples]
    rows: Sequence[Row]

    def net(self, width: int) -> str:
        """The float net."""
        return NET.format(name=self.name, batch=self.batch, body=self.body(width), top=self.top)

    def solver(self, seed: int, samples: int, tests: int) -> str:
        """The solver of one run."""
        epoch = samples // self.batch
        return SOLVER.format(
            rate=self.rate,
            step=(self.epochs - self.slow) * epoch,
            iterations=self.epochs * epoch,
            seed=seed,
            tests=tests // 100,
        )


# -- nets ----------------------------------------------------------------------------------------


def dense(width: int) -> str:
    """784-h-h-h-10, h 16 times the width, with batch norm."""
    parts, bottom = [], "data"
    for i in (1, 2, 3):
        parts += [_inner_product(f"ip{i}", bottom, 16 * width, "bias_term: false ")]
        parts += [NORM_AND_RELU.format(name=f"ip{i}")]
        bottom = f"ip{i}"
    return "".join([*parts, _inner_product("ip4", bottom, 10)])


def small_conv(width: int) -> str:
    """Convolutions of 8, 16, 16 and 32 filters (times the width), then ten sums. Pooling stands
    before batch norm: behind it, most maxima of a clipped activation would be 1."""
    parts, bottom = [], "data"
    for i, count in enumerate((8, 16, 16, 32), 1):
        name = f"conv{i}"
        more = "kernel_size: 3 pad: 1 bias_term: false "
        parts.append(
            SUM.format(
                name=name, kind="Convolution", kind_param="convolution_param", bottom=bottom,
                count=count * width, more=more,
            )
        )  # fmt: skip
        bottom = name
        if i < 4:
            bottom = f"pool{i}"
            parts.append(POOL.format(name=bottom, bottom=name))
        parts.append(NORM_AND_RELU.format(name=bottom))
    return "".join([*parts, _inner_product("fc", bottom, 10)])


def _inner_product(name: str, bottom: str, count: int, more: str = "") -> str:
    return SUM.format(
        name=name, kind="InnerProduct", kind_param="inner_product_param", bottom=bottom,
        count=count, more=more,
    )  # fmt: skip


# -- data ----------------------------------------------------------------------------------------


def mnist(folder: Path, phase: str) -> Samples:
    """All digits of a phase as rows of 784 values in 0..1."""
    name = {"train": "train", "test": "t10k"}[phase]
    images, labels = _samples(_only(folder, f"{name}-images-idx3-ubyte*"))
    return images.reshape(len(images), -1), labels


def cifar(folder: Path, phase: str) -> Samples:
    """5,000 images of a phase, RGB, in 0..1; classes alternate in the files."""
    return _samples(_only(folder, f"cifar10_{phase}*.npz"), 5000)


def _samples(path: Path, limit: int | None = None) -> Samples:
    images, labels = [], []
    for sample in open_source(path):
        if len(images) == limit:
            break
        image = np.asarray(sample.image, np.float32)
        images.append(image.transpose(2, 0, 1) if image.ndim == 3 else image)
        labels.append(sample.label)
    return np.stack(images) / np.float32(255), np.asarray(labels, np.float32)


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise UsageError(f"no {pattern} in {folder}", "name the folder with the data set")
    return found[0]


def write_data(experiment: Experiment, source: Path) -> dict[str, int]:
    """HDF5 files and their lists, where they are not there; returns the samples of each."""
    sizes = {}
    for phase in ("train", "test"):
        path = Path(f"{phase}.h5")
        if not path.exists():
            images, labels = experiment.read(source, phase)
            part = path.with_suffix(".part")
            with h5py.File(part, "w") as file:
                file["data"], file["label"] = images, labels
            part.replace(path)
        Path(f"{phase}.txt").write_text(f"{path}\n", encoding="utf-8")
        with h5py.File(path) as file:
            sizes[phase] = len(file["label"])
    return sizes


# -- runs ----------------------------------------------------------------------------------------

EXPERIMENTS = {
    "mnist": Experiment(
        "mnist", dense, "ip4", 5e-3, 128, 6, 2, mnist,
        (
            *(Row(w, a, (1, 2)) for w, a in ((FLOAT, FLOAT), (4, 4), (2, 4), (2, 2), (1, 1))),
            Row(2, 2, (1, 2), he=True),
        ),
    ),
    "cifar": Experiment(
        "cifar", small_conv, "fc", 3e-3, 50, 6, 2, cifar,
        (Row(FLOAT, FLOAT, (1,)), Row(4, 4, (2,)), Row(2, 4, (2,))),
    ),
}  # fmt: skip


class Shown(Listener):
    """A progress line."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def stepped(self, iteration: int) -> None:
        self.progress.advance()


def accuracy(
    experiment: Experiment, row: Row, width: int, seed: int, sizes: dict[str, int]
) -> float:
    """Train one net; returns its test accuracy, a fraction."""
    float_net = Path("float.prototxt")
    float_net.write_text(experiment.net(width), encoding="utf-8")
    low = adaption.rewrite(
        float_net,
        recipe="wrpn",
        weight_bits=row.weights,
        activation_bits=row.activations,
        keep_fillers=row.he,
    )
    adaption.write_net(low, "net.prototxt")
    solver = Path("solver.prototxt")
    solver.write_text(experiment.solver(seed, sizes["train"], sizes["test"]), encoding="utf-8")
    iterations = experiment.epochs * (sizes["train"] // experiment.batch)
    with Progress(iterations, f"{row}, {width}x, seed {seed}", unit="iterations") as progress:
        done = adaption.train(solver, listeners=[Shown(progress)])
    return done.tests[0]["accuracy"]


def runs_of(
    experiment: Experiment, seeds: Sequence[int], sizes: dict[str, int], kept: Path
) -> Iterator[dict[str, Any]]:
    """Each run's result, from the file or made now; the file is brought up to date at once."""
    settings = {
        "experiment": experiment.name,
        "solver": experiment.solver(0, sizes["train"], sizes["test"]),
        "net": experiment.net(1),
    }
    results: dict[str, Any] = {"settings": settings, "machine": machine(), "runs": []}
    if kept.exists():
        results = json.loads(kept.read_text(encoding="utf-8"))
        if results["settings"] != settings:
            raise UsageError(f"{kept} is of other settings", "name another folder")
    for row in experiment.rows:
        for width in row.widths:
            for seed in seeds:
                said = asdict(row)
                del said["widths"]
                key = {**said, "width": width, "seed": seed}
                found = next((r for r in results["runs"] if r.items() >= key.items()), None)
                if found is None:
                    begin = time.monotonic()
                    found = {**key, "accuracy": accuracy(experiment, row, width, seed, sizes)}
                    found["seconds"] = round(time.monotonic() - begin, 1)
                    found["date"] = datetime.date.today().isoformat()
                    results["runs"].append(found)
                    with atomic_write(kept, "w") as out:
                        out.write(json.dumps(results, indent=1) + "\n")
                yield {**found, "row": str(row)}


def machine() -> str:
    """Name of the processor, and versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, torch {torch.__version__}, adaption {adaption.__version__}"


def table(experiment: Experiment, runs: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row per bits, a column per width; percent, mean (deviation) over the seeds."""
    widths = sorted({width for row in experiment.rows for width in row.widths})
    lines = [["weights/activations", *(f"{width}x" for width in widths)]]
    lines.append(["---"] * len(lines[0]))
    for row in experiment.rows:
        cells = [str(row)]
        for width in widths:
            values = [
                100 * run["accuracy"]
                for run in runs
                if (run["row"], run["width"]) == (str(row), width)
            ]
            spread = f" ({statistics.stdev(values):.2f})" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.2f}{spread}" if values else "")
        lines.append(cells)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    """Run what is missing, print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", choices=tuple(EXPERIMENTS))
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the data set")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for all files")
    parser.add_argument("--seeds", default="1,2,3", help="comma between (default 1,2,3)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    experiment, source = EXPERIMENTS[args.experiment], args.data.resolve()
    try:
        seeds = [int(seed) for seed in args.seeds.split(",")]
        args.out.mkdir(parents=True, exist_ok=True)
        os.chdir(args.out)
        sizes = write_data(experiment, source)
        runs = list(runs_of(experiment, seeds, sizes, Path("results.json")))
        print(table(experiment, runs))
    except (AdaptionError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
