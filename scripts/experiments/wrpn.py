"""WRPN in small: fewer bits against more filters, as a table of test accuracies.

    scripts/experiments/wrpn_mnist.sh MNIST OUT [--seeds 1,2,3] [--cells 32/32:1,4/4:2]
    scripts/experiments/wrpn_cifar.sh CIFAR OUT [--seeds 1,2,3]

MNIST is the folder with the four idx files (gzip or not), CIFAR the folder with cifar10_train*.npz
and cifar10_test*.npz. A float net is widened with `widen`, rewritten with `rewrite --recipe wrpn`
for each row (bits of weights / of activations), and trained with Adam. First and last layer keep
float weights. OUT/results.json keeps every run; what is there is not run again. --samples and
--epochs make an experiment smaller: CIFAR's is of 5,000 images, MNIST's of all 60,000 digits.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import DATA, Results, Samples, cifar, mean_and_spread, mnist, train_shown, write_data

import adaption
from adaption.errors import AdaptionError, UsageError

FLOAT = 32

NET = (
    'name: "{name}"\n'
    + DATA
    + """{body}layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{top}" bottom: "label"
  top: "loss" }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "{top}" bottom: "label" top: "accuracy"
  include {{ phase: TEST }} }}
"""
)
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
        return f"{self.weights}/{self.activations}{'He' if self.he else ''}"


@dataclass(frozen=True)
class Experiment:
    """A net, how it is trained, and the rows of its table.

    body: its layers between data and loss. epochs: the last `slow` of
    them run at a tenth of the rate. samples: of training, None for all.
    """

    name: str
    body: str
    top: str
    rate: float
    batch: int
    epochs: int
    slow: int
    read: Callable[[Path, str, int | None], Samples]
    rows: Sequence[Row]
    samples: int | None = None

    def net(self) -> str:
        """The float net."""
        return NET.format(name=self.name, batch=self.batch, body=self.body, top=self.top)

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


def dense() -> str:
    """784-16-16-16-10, with batch norm."""
    parts, bottom = [], "data"
    for i in (1, 2, 3):
        parts += [_inner_product(f"ip{i}", bottom, 16, "bias_term: false ")]
        parts += [NORM_AND_RELU.format(name=f"ip{i}")]
        bottom = f"ip{i}"
    return "".join([*parts, _inner_product("ip4", bottom, 10)])


def small_conv() -> str:
    """Convolutions of 8, 16, 16 and 32 filters, then ten sums. Pooling stands before batch norm:
    behind it, most maxima of a clipped activation would be 1."""
    parts, bottom = [], "data"
    for i, count in enumerate((8, 16, 16, 32), 1):
        name = f"conv{i}"
        more = "kernel_size: 3 pad: 1 bias_term: false "
        parts.append(
            SUM.format(
                name=name, kind="Convolution", kind_param="convolution_param", bottom=bottom,
                count=count, more=more,
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


def rows_of_mnist(folder: Path, phase: str, samples: int | None) -> Samples:
    """Digits as rows of 784 values in 0..1; of a test all, of training the first ones."""
    images, labels = mnist(folder, phase)
    count = samples if phase == "train" else None
    return images[:count].reshape(-1, 784), labels[:count]


def some_of_cifar(folder: Path, phase: str, samples: int | None) -> Samples:
    """Images; of a test 5,000."""
    return cifar(folder, phase, samples if phase == "train" else 5000)


def data_of(experiment: Experiment, source: Path) -> dict[str, int]:
    """Write the data where it is not there; returns the number of samples of each phase.

    Raises: UsageError when data is there, but of another number of samples.
    """
    sizes = write_data(
        lambda folder, phase: experiment.read(folder, phase, experiment.samples), source
    )
    if experiment.samples not in (None, sizes["train"]):
        raise UsageError(
            f"train.h5 holds {sizes['train']} samples, asked for {experiment.samples}",
            "name another folder",
        )
    return sizes


# -- runs ----------------------------------------------------------------------------------------

BITS_OF_MNIST = ((FLOAT, FLOAT), (8, 8), (4, 4), (2, 4), (4, 2), (2, 2), (1, 1))
EXPERIMENTS = {
    "mnist": Experiment(
        "mnist", dense(), "ip4", 5e-3, 128, 6, 2, rows_of_mnist,
        (
            *(Row(w, a, (1, 2, 3)) for w, a in BITS_OF_MNIST),
            Row(2, 2, (1, 2, 3), he=True),
        ),
    ),
    "cifar": Experiment(
        "cifar", small_conv(), "fc", 3e-3, 50, 6, 2, some_of_cifar,
        (Row(FLOAT, FLOAT, (1,)), Row(4, 4, (2,)), Row(2, 4, (2,))), 5000,
    ),
}  # fmt: skip


def run(
    experiment: Experiment, row: Row, width: int, seed: int, sizes: dict[str, int]
) -> dict[str, float]:
    """Train one net; returns its test accuracy, a fraction, under its name."""
    float_net = Path("float.prototxt")
    float_net.write_text(experiment.net(), encoding="utf-8")
    low = adaption.rewrite(
        adaption.widen(float_net, factor=width).nets[0],
        recipe="wrpn",
        weight_bits=row.weights,
        activation_bits=row.activations,
        keep_fillers=row.he,
    )
    adaption.write_net(low, "net.prototxt")
    solver = Path("solver.prototxt")
    solver.write_text(experiment.solver(seed, sizes["train"], sizes["test"]), encoding="utf-8")
    iterations = experiment.epochs * (sizes["train"] // experiment.batch)
    done = train_shown(solver, f"{row}, {width}x, seed {seed}", iterations)
    return {"accuracy": done.tests[-1]["accuracy"]}


def cells(experiment: Experiment) -> dict[str, tuple[Row, int]]:
    """The cells of the table, by name."""
    return {f"{row}:{width}": (row, width) for row in experiment.rows for width in row.widths}


def cells_named(experiment: Experiment, names: str | None) -> list[tuple[Row, int]]:
    """The cells of these names, comma between; all of them without names. Raises: UsageError."""
    there = cells(experiment)
    found = names.split(",") if names else list(there)
    unknown = [name for name in found if name not in there]
    if unknown:
        raise UsageError(f"no cell {unknown[0]!r}", f"choose of {', '.join(there)}")
    return [there[name] for name in found]


def key_of(row: Row, width: int) -> dict[str, Any]:
    """What tells the runs of a cell from others."""
    said = asdict(row)
    del said["widths"]
    return {**said, "width": width}


def table(experiment: Experiment, runs: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row per bits, a column per width; percent, mean (deviation) over the seeds."""
    widths = sorted({width for row in experiment.rows for width in row.widths})
    found = {
        cell: mean_and_spread(
            100 * made["accuracy"] for made in runs if made.items() >= key_of(*cell).items()
        )
        for cell in cells(experiment).values()
    }
    lines = [["weights/activations", *(f"{width}x" for width in widths)]]
    lines.append(["---"] * len(lines[0]))
    for row in experiment.rows:
        lines.append([str(row), *(found.get((row, width), "") for width in widths)])
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
    parser.add_argument("--cells", help="rows and widths, as 32/32:1,2/2He:2 (default all)")
    parser.add_argument("--samples", type=int, help="of training")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    experiment, source = EXPERIMENTS[args.experiment], args.data.resolve()
    experiment = replace(
        experiment,
        epochs=args.epochs or experiment.epochs,
        samples=args.samples or experiment.samples,
    )
    try:
        chosen = cells_named(experiment, args.cells)
        args.out.mkdir(parents=True, exist_ok=True)
        os.chdir(args.out)
        sizes = data_of(experiment, source)
        solver = experiment.solver(0, sizes["train"], sizes["test"])
        settings = {"solver": solver, "net": experiment.net(), "sizes": sizes}
        results = Results(Path("results.json"), settings)
        for seed in map(int, args.seeds.split(",")):
            for row, width in chosen:
                results.get(
                    {**key_of(row, width), "seed": seed},
                    partial(run, experiment, row, width, seed, sizes),
                )
        print(table(experiment, results.runs))
    except AdaptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
