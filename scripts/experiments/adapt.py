"""AdaPT in small: formats that adapt, against fixed ones and float in the same loop.

    scripts/experiments/adapt_mnist.sh MNIST OUT [--seeds 1,2,3]
    scripts/experiments/adapt_cifar.sh CIFAR OUT [--seeds 1]

MNIST is the folder with the four idx files (gzip or not), CIFAR the folder with cifar10_train*.npz
and cifar10_test*.npz. The nets are those of models/lenet5 and models/cifar10_alexnet. All runs have
the same loop: gradients divided by their norm, an L1 term, decay. OUT/results.json keeps every run;
what is there is not run again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import DATA, Results, Samples, cifar, mean_and_spread, mnist, train_shown, write_data

import adaption
from adaption.errors import AdaptionError
from adaption.io import prototxt

ROOT = Path(__file__).resolve().parents[2]
SOLVER = """net: "net.prototxt"
base_lr: 0.1 lr_policy: "multistep" gamma: 0.1 {steps}
momentum: 0.9 weight_decay: 0.0001
max_iter: {iterations} random_seed: {seed} snapshot_after_train: false display: {display}
test_iter: {tests} test_interval: {iterations} test_initialization: false
"""


@dataclass(frozen=True)
class Row:
    """One kind of run; `seeds` of the seeds that are asked for, None: all."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    seeds: int | None = None


@dataclass(frozen=True)
class Experiment:
    """A net of models/, its data, and how long it trains. slow: epochs at whose start the rate
    falls. policy: settings of all rows."""

    model: str
    read: Callable[[Path, str], Samples]
    epochs: int
    slow: tuple[int, ...]
    batch: int
    policy: dict[str, Any]
    rows: Sequence[Row]

    def net(self) -> str:
        """The net over our data layers: weights from `tnvs`, biases uniform in -0.1..0.1."""
        text = (ROOT / "models" / self.model / "train_val.prototxt").read_text(encoding="utf-8")
        document = prototxt.parse(text)
        for layer in document.root.all("layer"):
            kind = layer.block.first("type")
            if kind is not None and kind.string == "Data":
                layer.remove()
            for name in ("convolution_param", "inner_product_param"):
                for param in layer.block.all(name):
                    _set(param.block, "weight_filler", 'type: "tnvs"')
                    _set(param.block, "bias_filler", 'type: "uniform" min: -0.1 max: 0.1')
        return DATA.format(batch=self.batch) + document.text()

    def solver(self, seed: int, sizes: dict[str, int]) -> str:
        """The solver of one run."""
        epoch = sizes["train"] // self.batch
        return SOLVER.format(
            steps=" ".join(f"stepvalue: {at * epoch}" for at in self.slow),
            iterations=self.epochs * epoch,
            display=epoch,
            seed=seed,
            tests=sizes["test"] // 100,
        )


def _set(block: Any, name: str, content: str) -> None:
    for field_ in block.all(name):
        field_.remove()
    block.append(f"{name} {{ {content} }}")


def digits(folder: Path, phase: str) -> Samples:
    """MNIST padded to 32 x 32, normalized."""
    images, labels = mnist(folder, phase)
    padded = np.pad(images[:, 0], ((0, 0), (2, 2), (2, 2)))
    return ((padded - 0.1307) / 0.3081)[:, None].astype(np.float32), labels


def photos(folder: Path, phase: str) -> Samples:
    """5,000 images of CIFAR-10, normalized."""
    images, labels = cifar(folder, phase, 5000)
    mean = np.array([0.4914, 0.4822, 0.4465])[:, None, None]
    spread = np.array([0.2023, 0.1994, 0.2010])[:, None, None]
    return ((images - mean) / spread).astype(np.float32), labels


COMMON = {"frac_length_floor": 1, "alpha": 1e-4, "buffer": 8}
ROWS = (
    Row("float, same loop", {"quantize": False}),
    Row("AdaPT"),
    Row("fixed <8,4>", {"adapt": False}, seeds=1),
)
EXPERIMENTS = {
    "mnist": Experiment(
        "lenet5", digits, 8, (4, 7), 256,
        {**COMMON, "lookback_max": 150, "lookback_momentum": 0.9}, ROWS,
    ),
    "cifar": Experiment("cifar10_alexnet", photos, 6, (4, 5), 128, COMMON, ROWS),
}  # fmt: skip


def run(experiment: Experiment, row: Row, seed: int, sizes: dict[str, int]) -> dict[str, Any]:
    """Train one net; its test accuracy, and what the performance model says at the end."""
    Path("net.prototxt").write_text(experiment.net(), encoding="utf-8")
    solver = Path("solver.prototxt")
    solver.write_text(experiment.solver(seed, sizes), encoding="utf-8")
    recipe = adaption.named_recipe("adapt", **{**experiment.policy, **row.settings})
    iterations = experiment.epochs * (sizes["train"] // experiment.batch)
    label = f"{row.name}, seed {seed}"
    done = train_shown(solver, label, iterations, policy=recipe, log_json="log.json")
    model = done.performance
    return {
        "accuracy": done.tests[0]["accuracy"],
        **{k: model[k] for k in ("speedup", "speedup_inference", "size_ratio",
                                 "size_ratio_weighted", "memory")},
        "word_lengths": [layer["word_length"] for layer in model["layers"]],
        "nonzero": [round(layer["nonzero"], 4) for layer in model["layers"]],
    }  # fmt: skip


def table(experiment: Experiment, runs: Sequence[dict[str, Any]]) -> str:
    """Markdown: means over the seeds, standard deviations in brackets."""
    head = ["run", "seeds", "accuracy %", "training speedup", "inference speedup", "model size",
            "by entries", "last word lengths"]  # fmt: skip
    lines = [head, ["---"] * len(head)]
    for row in experiment.rows:
        own = [r for r in runs if r["run"] == row.name]
        if not own:
            continue
        figures = ("speedup", "speedup_inference", "size_ratio", "size_ratio_weighted")
        lengths = "; ".join(" ".join(map(str, r["word_lengths"])) for r in own)
        lines.append(
            [
                row.name,
                str(len(own)),
                mean_and_spread(100 * r["accuracy"] for r in own),
                *(mean_and_spread((r[name] for r in own), 3) for name in figures),
                lengths,
            ]
        )
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
        settings = {"policy": experiment.policy, "solver": experiment.solver(0, sizes)}
        results = Results(Path("results.json"), settings)
        seeds = [int(seed) for seed in args.seeds.split(",")]
        for row in experiment.rows:
            for seed in seeds[: row.seeds]:
                key = {"run": row.name, "seed": seed}
                results.get(key, partial(run, experiment, row, seed, sizes))
        print(table(experiment, results.runs))
    except AdaptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
