"""S-DFP against dynamic fixed point and float on small nets: one table of test accuracies.

    python scripts/experiments/sdfp.py mnist MNIST -o out --seeds 1,2,3
    python scripts/experiments/sdfp.py cifar CIFAR -o out --seeds 1,2,3

MNIST is the folder with the four idx files (gzip or not), CIFAR the folder with
cifar10_train*.npz and cifar10_test*.npz (images, compressed or not). Every run is a solver with a
precision_policy of type "sdfp"; first and last weight layer stay float, products of all others read
words of so many bits. out/results.json keeps each run's accuracy; what is there is not run again.
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
from dataclasses import dataclass
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

Set = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

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
type: "SGD" base_lr: {rate} lr_policy: "multistep" gamma: 0.1 stepvalue: {step} momentum: 0.9
max_iter: {iterations} random_seed: {seed} snapshot_after_train: false
test_iter: {tests} test_interval: {iterations} test_initialization: false
"""
POLICY = """precision_policy {{ type: "sdfp" sdfp_param {{
  word_length: {bits} bias_weight: {bias} bias_activation: {bias} bias_gradient: {bias} }} }}
"""


@dataclass(frozen=True)
class Row:
    """One row of a table: word length, None for float, and the bias of all three exponents."""

    bits: int | None = None
    bias: int = 0

    def __str__(self) -> str:
        if self.bits is None:
            return "float"
        return f"DFP{self.bits}{f'{self.bias:+d}' if self.bias else ''}"


@dataclass(frozen=True)
class Experiment:
    """A net, how it is trained, and the rows of its table.

    epochs: of which the last `slow` run at a tenth of the rate.
    """

    name: str
    body: Callable[[], str]
    top: str
    rate: float
    batch: int
    epochs: int
    slow: int
    read: Callable[[Path, str], Set]
    rows: Sequence[Row]

    def solver(self, row: Row, seed: int, samples: int, tests: int) -> str:
        """The solver of one run."""
        epoch = -(-samples // self.batch)
        text = SOLVER.format(
            rate=self.rate,
            step=(self.epochs - self.slow) * epoch,
            iterations=self.epochs * epoch,
            seed=seed,
            tests=tests // 100,
        )
        if row.bits is None:
            return text
        return text + POLICY.format(bits=row.bits, bias=row.bias)


# -- nets ----------------------------------------------------------------------------------------


def dense() -> str:
    """784-128-128-128-10 with ReLU. He's initial values are Caffe's filler msra."""
    parts, bottom = [], "data"
    for i, count in enumerate((128, 128, 128, 10), 1):
        parts.append(
            f'layer {{ name: "ip{i}" type: "InnerProduct" bottom: "{bottom}" top: "ip{i}"\n'
            f"  inner_product_param {{ num_output: {count} weight_filler {{ type: "
            f'"msra" }} }} }}\n'
        )
        bottom = f"ip{i}"
        if i < 4:
            parts.append(_relu(bottom))
    return "".join(parts)


def small_conv() -> str:
    """Convolutions of 8, 16, 16 and 32 filters with batch norm, then ten sums."""
    parts, bottom = [], "data"
    for i, count in enumerate((8, 16, 16, 32), 1):
        top = f"conv{i}"
        parts.append(
            f'layer {{ name: "{top}" type: "Convolution" bottom: "{bottom}" top: "{top}"\n'
            f"  convolution_param {{ num_output: {count} kernel_size: 3 pad: 1 bias_term: false\n"
            f'    weight_filler {{ type: "msra" }} }} }}\n'
            f'layer {{ name: "bn{i}" type: "BatchNorm" bottom: "{top}" top: "{top}"\n'
            f"  batch_norm_param {{ moving_average_fraction: 0.9 }} }}\n"
            f'layer {{ name: "scale{i}" type: "Scale" bottom: "{top}" top: "{top}"\n'
            f"  scale_param {{ bias_term: true }} }}\n"
        )
        parts.append(_relu(top))
        bottom = top
        if i < 4:
            parts.append(
                f'layer {{ name: "pool{i}" type: "Pooling" bottom: "{top}" top: "pool{i}"\n'
                "  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }\n"
            )
            bottom = f"pool{i}"
    parts.append(
        f'layer {{ name: "fc" type: "InnerProduct" bottom: "{bottom}" top: "fc"\n'
        '  inner_product_param { num_output: 10 weight_filler { type: "msra" } } }\n'
    )
    return "".join(parts)


def _relu(blob: str) -> str:
    return f'layer {{ name: "{blob}_relu" type: "ReLU" bottom: "{blob}" top: "{blob}" }}\n'


# -- data ----------------------------------------------------------------------------------------


def mnist(folder: Path, phase: str) -> Set:
    """All digits of a phase as rows of 784 values in 0..1."""
    name = {"train": "train", "test": "t10k"}[phase]
    images, labels = _samples(_only(folder, f"{name}-images-idx3-ubyte*"))
    return images.reshape(len(images), -1), labels


def cifar(folder: Path, phase: str) -> Set:
    """5,000 images of a phase, RGB, in 0..1. Classes alternate in the files."""
    images, labels = _samples(_only(folder, f"cifar10_{phase}*.npz"), 5000)
    return images, labels


def _samples(path: Path, limit: int | None = None) -> Set:
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

FLOAT = Row()
EXPERIMENTS = {
    "mnist": Experiment(
        "mnist", dense, "ip4", 0.05, 128, 4, 1, mnist,
        (FLOAT, *(Row(bits, bias) for bits in (8, 6, 4, 3) for bias in (0, -1, 1))),
    ),
    "cifar": Experiment(
        "cifar", small_conv, "fc", 0.05, 32, 6, 2, cifar,
        (FLOAT, *(Row(bits, bias) for bits in (5, 4) for bias in (0, -1))),
    ),
}  # fmt: skip


class Shown(Listener):
    """A progress line."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def stepped(self, iteration: int) -> None:
        self.progress.advance()


def accuracy(experiment: Experiment, row: Row, seed: int, sizes: dict[str, int]) -> float:
    """Train one net; returns its test accuracy, a fraction."""
    solver = Path("solver.prototxt")
    solver.write_text(experiment.solver(row, seed, sizes["train"], sizes["test"]), "utf-8")
    iterations = adaption.solver.settings.read_solver(solver).message.max_iter
    with Progress(iterations, f"{row}, seed {seed}", unit="iterations") as progress:
        done = adaption.train(solver, listeners=[Shown(progress)])
    return done.tests[0]["accuracy"]


def runs_of(
    experiment: Experiment, seeds: Sequence[int], sizes: dict[str, int], kept: Path
) -> Iterator[dict[str, Any]]:
    """Each run's result, from the file or made now; the file is brought up to date at once."""
    settings = {
        "experiment": experiment.name,
        "solver": experiment.solver(FLOAT, 0, sizes["train"], sizes["test"]),
        "net": Path("net.prototxt").read_text(encoding="utf-8"),
    }
    results: dict[str, Any] = {"settings": settings, "machine": machine(), "runs": []}
    if kept.exists():
        results = json.loads(kept.read_text(encoding="utf-8"))
        if results["settings"] != settings:
            raise UsageError(f"{kept} is of other settings", "name another folder with -o")
    for row in experiment.rows:
        for seed in seeds:
            key = {"row": str(row), "bits": row.bits, "bias": row.bias, "seed": seed}
            found = next((r for r in results["runs"] if r.items() >= key.items()), None)
            if found is None:
                begin = time.monotonic()
                found = {**key, "accuracy": accuracy(experiment, row, seed, sizes)}
                found["seconds"] = round(time.monotonic() - begin, 1)
                found["date"] = datetime.date.today().isoformat()
                results["runs"].append(found)
                with atomic_write(kept, "w") as out:
                    out.write(json.dumps(results, indent=1) + "\n")
            yield found


def machine() -> str:
    """Name of the processor, and versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, torch {torch.__version__}, adaption {adaption.__version__}"


def table(experiment: Experiment, runs: Sequence[dict[str, Any]]) -> str:
    """Markdown: per row the accuracy of each seed in percent, mean, and distance to plain DFP."""
    seeds = list(dict.fromkeys(run["seed"] for run in runs))
    lines = [["format", *(f"seed {s}" for s in seeds), "mean", "sd", "against DFP"]]
    lines.append(["---"] * len(lines[0]))
    of_row = {
        row: [100 * run["accuracy"] for run in runs if run["row"] == str(row)]
        for row in experiment.rows
    }
    for row, values in of_row.items():
        mean = statistics.mean(values)
        spread = f"{statistics.stdev(values):.2f}" if len(values) > 1 else ""
        plain = of_row.get(Row(row.bits))
        gain = f"{mean - statistics.mean(plain):+.2f}" if row.bias and plain else ""
        lines.append([str(row), *(f"{v:.2f}" for v in values), f"{mean:.2f}", spread, gain])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    """Run what is missing, print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", choices=tuple(EXPERIMENTS))
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the data set")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for all files")
    parser.add_argument("--seeds", default="1,2,3", help="comma between (default 1,2,3)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    experiment, source = EXPERIMENTS[args.experiment], args.data.resolve()
    try:
        seeds = [int(s) for s in args.seeds.split(",")]
        args.out.mkdir(parents=True, exist_ok=True)
        os.chdir(args.out)
        sizes = write_data(experiment, source)
        text = NET.format(
            name=experiment.name,
            batch=experiment.batch,
            body=experiment.body(),
            top=experiment.top,
        )
        Path("net.prototxt").write_text(text, encoding="utf-8")
        print(table(experiment, list(runs_of(experiment, seeds, sizes, Path("results.json")))))
    except (AdaptionError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
