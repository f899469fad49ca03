"""S-DFP against dynamic fixed point and float on small nets: one table of test accuracies.

    scripts/experiments/sdfp_mnist.sh MNIST OUT [--seeds 1,2,3]
    scripts/experiments/sdfp_cifar.sh CIFAR OUT [--seeds 1,2,3]

MNIST is the folder with the four idx files (gzip or not), CIFAR the folder with cifar10_train*.npz
and cifar10_test*.npz. Every run is a solver with a precision_policy of type "sdfp"; first and last
weight layer stay float, products of all others read words of so many bits. OUT/results.json keeps
every run; what is there is not run again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import DATA, Results, Samples, cifar, mnist, train_shown, write_data

from adaption.errors import AdaptionError

TAIL = """layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{top}" bottom: "label"
  top: "loss" }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "{top}" bottom: "label" top: "accuracy"
  include {{ phase: TEST }} }}
"""
SOLVER = """net: "net.prototxt"
type: "SGD" base_lr: {rate} lr_policy: "multistep" gamma: 0.1 stepvalue: {step} momentum: 0.9
max_iter: {iterations} random_seed: {seed} snapshot_after_train: false display: {epoch}
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

    body: Callable[[], str]
    top: str
    rate: float
    batch: int
    epochs: int
    slow: int
    read: Callable[[Path, str], Samples]
    rows: Sequence[Row]

    def net(self) -> str:
        """The net over the HDF5 files of `write_data`."""
        return DATA.format(batch=self.batch) + self.body() + TAIL.format(top=self.top)

    def iterations(self, sizes: dict[str, int]) -> int:
        """Updates of one run."""
        return self.epochs * -(-sizes["train"] // self.batch)

    def solver(self, row: Row, seed: int, sizes: dict[str, int]) -> str:
        """The solver of one run."""
        iterations = self.iterations(sizes)
        text = SOLVER.format(
            rate=self.rate,
            step=iterations * (self.epochs - self.slow) // self.epochs,
            iterations=iterations,
            epoch=iterations // self.epochs,
            seed=seed,
            tests=sizes["test"] // 100,
        )
        return text + ("" if row.bits is None else POLICY.format(bits=row.bits, bias=row.bias))


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


def photos(folder: Path, phase: str) -> Samples:
    """5,000 images of CIFAR-10."""
    return cifar(folder, phase, 5000)


FLOAT = Row()
EXPERIMENTS = {
    "mnist": Experiment(
        dense, "ip4", 0.05, 128, 4, 1, mnist,
        (FLOAT, *(Row(bits, bias) for bits in (8, 4, 3) for bias in (0, -1, 1))),
    ),
    "cifar": Experiment(
        small_conv, "fc", 0.05, 32, 6, 2, photos,
        (FLOAT, *(Row(bits, bias) for bits in (5, 4) for bias in (0, -1))),
    ),
}  # fmt: skip


# -- runs ----------------------------------------------------------------------------------------


def run(experiment: Experiment, row: Row, seed: int, sizes: dict[str, int]) -> dict[str, Any]:
    """Train one net; its test accuracy, a fraction."""
    solver = Path("solver.prototxt")
    solver.write_text(experiment.solver(row, seed, sizes), encoding="utf-8")
    done = train_shown(solver, f"{row}, seed {seed}", experiment.iterations(sizes))
    return {"accuracy": done.tests[0]["accuracy"]}


def table(experiment: Experiment, runs: Sequence[dict[str, Any]]) -> str:
    """Markdown: per row the accuracy of each seed in percent, mean, and distance to plain DFP."""
    seeds = list(dict.fromkeys(run["seed"] for run in runs))
    lines = [["format", *(f"seed {s}" for s in seeds), "mean", "sd", "against DFP"]]
    lines.append(["---"] * len(lines[0]))
    of_row = {
        row: {run["seed"]: 100 * run["accuracy"] for run in runs if run["row"] == str(row)}
        for row in experiment.rows
    }
    for row, by_seed in of_row.items():
        if not by_seed:
            continue
        mean = statistics.mean(by_seed.values())
        spread = f"{statistics.stdev(by_seed.values()):.2f}" if len(by_seed) > 1 else ""
        plain = of_row.get(Row(row.bits))
        gain = f"{mean - statistics.mean(plain.values()):+.2f}" if row.bias and plain else ""
        cells = (f"{by_seed[s]:.2f}" if s in by_seed else "" for s in seeds)
        lines.append([str(row), *cells, f"{mean:.2f}", spread, gain])
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
        args.out.mkdir(parents=True, exist_ok=True)
        os.chdir(args.out)
        sizes = write_data(experiment.read, source)
        Path("net.prototxt").write_text(experiment.net(), encoding="utf-8")
        settings = {"net": experiment.net(), "solver": experiment.solver(FLOAT, 0, sizes)}
        results = Results(Path("results.json"), settings)
        for seed in (int(seed) for seed in args.seeds.split(",")):
            for row in experiment.rows:
                key = {"row": str(row), "bits": row.bits, "bias": row.bias, "seed": seed}
                results.get(key, partial(run, experiment, row, seed, sizes))
        print(table(experiment, results.runs))
    except AdaptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
