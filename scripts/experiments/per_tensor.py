"""Per-tensor fixed point (Sakr, Shanbhag 2019) in small: from a float run to the precision of every
tensor, and what training in these precisions, in more and in less, gives.

    scripts/experiments/per_tensor_mnist.sh MNIST OUT [--seeds 11,12,13] [--epochs 12]
    scripts/experiments/per_tensor_cifar.sh CIFAR OUT [--seeds 11]

MNIST is the folder with the four idx files (gzip or not), CIFAR the folder with cifar10_train*.npz
and cifar10_test*.npz. mnist: a perceptron 784-256-128-10. cifar: three convolutions with batch norm
and an inner product. Plain SGD with batches of 250; the rate falls to a tenth at three quarters of
the epochs; the last tenth of the training source is held out. Runs have the formats of `adaption
assign` (C_o) with so many bits more or less: C_o+1 everywhere, acc-10 at the accumulators alone.
OUT/results.json keeps every run; what is there is not run again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import DATA, Results, Samples, cifar, mean_and_spread, mnist, train_shown, write_data

import adaption
from adaption.errors import AdaptionError, LayerError
from adaption.io.netfile import read_net, write_net
from adaption.job import AssignResult
from adaption.job.assign_nets import with_plan
from adaption.recipes.per_tensor_plan import KINDS

BATCH = 250
HELD_OUT = 0.1  # of the training source, by `assign`
RUNS = {
    "C_o": (0, KINDS),
    "C_o+1": (1, KINDS),
    "C_o-1": (-1, KINDS),
    "C_o-2": (-2, KINDS),
    "acc-10": (-10, ("weight_accumulator",)),
}
FC = """layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}"
  inner_product_param {{ num_output: {count}
    weight_filler {{ type: "xavier" variance_norm: AVERAGE }} }} }}
"""
CONV = """layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"
  convolution_param {{ num_output: {count} kernel_size: 3 pad: 1 bias_term: false
    weight_filler {{ type: "xavier" variance_norm: AVERAGE }} }} }}
layer {{ name: "{name}_bn" type: "BatchNorm" bottom: "{name}" top: "{name}" }}
layer {{ name: "{name}_scale" type: "Scale" bottom: "{name}" top: "{name}"
  scale_param {{ bias_term: true }} }}
"""
CLIP = """layer {{ name: "{name}_clip" type: "Clip" bottom: "{name}" top: "{name}"
  clip_param {{ min: 0 max: 2 }} }}
"""
POOL = """layer {{ name: "{name}_pool" type: "Pooling" bottom: "{name}" top: "{name}_pool"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
"""
END = """layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{0}" bottom: "label" top: "loss" }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "{0}" bottom: "label" top: "accuracy"
  include {{ phase: TEST }} }}
"""
SOLVER = """net: "{net}"
base_lr: 0.1 lr_policy: "step" gamma: 0.1 stepsize: {step} momentum: 0 weight_decay: 0
max_iter: {last} random_seed: {seed} snapshot_prefix: "{prefix}"
"""


def mlp() -> str:
    """784-256-128-10 with clip(x, 0, 2)."""
    parts = ['name: "mlp"\n', DATA.format(batch=BATCH)]
    for i, (bottom, count) in enumerate((("data", 256), ("ip1", 128), ("ip2", 10)), 1):
        parts.append(FC.format(name=f"ip{i}", bottom=bottom, count=count))
        parts.append(CLIP.format(name=f"ip{i}") if i < 3 else END.format("ip3"))
    return "".join(parts)


def convnet() -> str:
    """16C3-32C3-64C3-10 with batch norm, clip(x, 0, 2) and pooling behind each convolution."""
    parts = ['name: "convnet"\n', DATA.format(batch=BATCH)]
    bottom = "data"
    for i, count in enumerate((16, 32, 64), 1):
        name = f"conv{i}"
        parts.append(CONV.format(name=name, bottom=bottom, count=count))
        parts += [CLIP.format(name=name), POOL.format(name=name)]
        bottom = f"{name}_pool"
    return "".join([*parts, FC.format(name="ip", bottom=bottom, count=10), END.format("ip")])


def _exact(read: Callable[[Path, str], Samples]) -> Callable[[Path, str], Samples]:
    """Pixels times 1/256: 8 bits hold them without an error, which those times 1/255 have."""

    def samples(folder: Path, phase: str) -> Samples:
        images, labels = read(folder, phase)
        return np.rint(images * 255).astype(np.float32) / 256, labels

    return samples


@dataclass(frozen=True)
class Task:
    """A data set with its net."""

    net: str
    read: Callable[[Path, str], Samples]
    epochs: int


TASKS = {"mnist": Task(mlp(), _exact(mnist), 12), "cifar": Task(convnet(), _exact(cifar), 8)}


@dataclass(frozen=True)
class Experiment:
    """One task at one length; its files lie in the working directory."""

    task: Task
    sizes: dict[str, int]
    epochs: int

    @property
    def iterations(self) -> int:
        """Of a run. Epochs count what is not held out."""
        return self.epochs * self._epoch

    @property
    def _epoch(self) -> int:
        return (self.sizes["train"] - round(HELD_OUT * self.sizes["train"])) // BATCH

    def solver(self, net: Path, prefix: Path, seed: int) -> str:
        """A solver that trains a net file."""
        step = round(0.75 * self.epochs) * self._epoch
        return SOLVER.format(net=net, prefix=prefix, last=self.iterations, step=step, seed=seed)

    def assign(self, seed: int) -> AssignResult:
        """The float run and all that follows from it; at once where that is done."""
        folder = Path(f"seed_{seed}")
        folder.mkdir(exist_ok=True)
        net, solver = folder / "net.prototxt", folder / "solver.prototxt"
        net.write_text(self.task.net, encoding="utf-8")
        solver.write_text(self.solver(net, folder / "float", seed), encoding="utf-8")
        return adaption.assign(net, solver=solver, out=folder / "assigned", resume=True)

    def float_run(self, seed: int) -> dict[str, Any]:
        """Accuracy of the float net, and the precisions that follow from its training."""
        report = self.assign(seed).report
        keys = ("layers", "b_min", "p_m", "p_m_bound", "costs", "costs_float")
        return {
            "accuracy": report["runs"]["float"]["accuracy"],
            **{key: report[key] for key in keys},
        }

    def fixed_run(self, name: str, seed: int) -> dict[str, Any]:
        """Accuracy of a run in fixed point; None where a tensor is left without bits."""
        made = self.assign(seed)
        bits, kinds = RUNS[name]
        try:
            formats = made.plan.more(bits, kinds).plan()
        except LayerError as error:
            return {"accuracy": None, "note": str(error)}
        stem = made.folder / name.replace("+", "_plus_").replace("-", "_minus_")
        net, solver = stem.with_suffix(".prototxt"), stem.with_suffix(".solver.prototxt")
        # net.prototxt reads what is not held out; other formats take the place of its own.
        write_net(with_plan(read_net(made.folder / "net.prototxt"), formats), net)
        policy = 'precision_policy { type: "per_tensor" }\n'
        solver.write_text(self.solver(net, stem, seed) + policy, encoding="utf-8")
        done = train_shown(solver, f"seed {seed}, {name}", self.iterations)
        weights = Path(f"{stem}_iter_{done.iter}.caffemodel")
        found = adaption.test(net, weights, iterations=self.sizes["test"] // 100)
        return {"accuracy": found["accuracy"]}


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Markdown: test error by run and seed; precisions, mismatches and costs by seed."""
    seeds = list(dict.fromkeys(run["seed"] for run in runs))
    head = ["run", *(f"seed {seed}" for seed in seeds), "mean test error %"]
    lines = [head, ["---"] * len(head)]
    for name in ("float", *RUNS):
        own = {r["seed"]: r["accuracy"] for r in runs if r["run"] == name}
        errors = {seed: 100 * (1 - a) for seed, a in own.items() if a is not None}
        shown = [f"{errors[s]:.2f}" if s in errors else "-" if s in own else "" for s in seeds]
        lines.append([name, *shown, mean_and_spread(errors.values())])
    lines += [[], ["seed", "W", "A", "G W", "G A", "W acc", "B_min", "mismatches % by bits",
                   "less than float: C_W, C_A, C_M, C_C"], ["---"] * 9]  # fmt: skip
    for run in runs:
        if run["run"] != "float":
            continue
        bits = [
            " ".join(str(layer[kind]["bits"]) for layer in run["layers"])
            for kind in ("weight", "activation", "weight_grad", "activation_grad",
                         "weight_accumulator")
        ]  # fmt: skip
        shares = " ".join(f"{100 * share:.2f}" for share in run["p_m"].values())
        ratios = ", ".join(f"{run['costs_float'][m] / run['costs'][m]:.2f}" for m in run["costs"])
        lines.append([str(run["seed"]), *bits, str(run["b_min"]), shares, ratios])
    return "\n".join("| " + " | ".join(line) + " |" if line else "" for line in lines)


def main() -> int:
    """Run what is missing, print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=tuple(TASKS))
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the data set")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for all files")
    parser.add_argument("--seeds", default="11,12,13", help="comma between (default 11,12,13)")
    parser.add_argument("--epochs", type=int, help="of every run (default: mnist 12, cifar 8)")
    parser.add_argument("--runs", default=",".join(RUNS), help=f"of {', '.join(RUNS)}")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    task, source = TASKS[args.task], args.data.resolve()
    names = [name for name in args.runs.split(",") if name]
    unknown = [name for name in names if name not in RUNS]
    if unknown:
        parser.error(f"--runs {', '.join(unknown)}; allowed: {', '.join(RUNS)}")
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        os.chdir(args.out)
        experiment = Experiment(task, write_data(task.read, source), args.epochs or task.epochs)
        settings = {"net": task.net, "solver": experiment.solver(Path(), Path(), 0)}
        results = Results(Path("results.json"), settings)
        seeds = [int(seed) for seed in args.seeds.split(",")]
        for seed in seeds:
            results.get({"run": "float", "seed": seed}, partial(experiment.float_run, seed))
        for name in names:
            for seed in seeds:
                key = {"run": name, "seed": seed}
                results.get(key, partial(experiment.fixed_run, name, seed))
        print(table(results.runs))
    except AdaptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
