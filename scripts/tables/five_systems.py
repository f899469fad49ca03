"""Five systems on one net: accuracy, bits, costs. For docs/recipes/index.md.

    python scripts/tables/five_systems.py -o out

trains the net of models/lenet_digits in float and in each system, with one solver and three seeds:
from scratch, but for ADaPTION, which fine-tunes the float net. Run in the top folder of the
project, where the paths in the solver start; runs that are done are not redone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import adaption
from adaption.cli.main import main as cli
from adaption.report.tables import Grid

EXAMPLE = Path("models/lenet_digits")
BITS = 4  # of the systems that do not choose for themselves
TEST_BATCHES = 4  # of 90: the 360 test digits, once


@dataclass(frozen=True)
class Row:
    """What one system came to with one seed."""

    accuracy: float
    weight_bits: float  # mean over weights
    mac_bits: float  # MACs times (weight bits + activation bits), float is 1
    memory: float  # C_W + C_A + C_C: bits that training keeps and sends, float is 1
    adders: float  # C_M: full adders of multipliers in a training iteration, float is 1
    seconds: float


class Bench:
    """The runs of one seed, in a folder."""

    def __init__(self, folder: Path, seed: int, iterations: int) -> None:
        self.folder, self.seed, self.iterations = folder, seed, iterations
        folder.mkdir(parents=True, exist_ok=True)
        text = (EXAMPLE / "train_val.prototxt").read_text()
        self.net = folder / "train_val.prototxt"
        self.net.write_text(text.replace("batch_size: 100", "batch_size: 90"))

    def solver(self, name: str, net: Path, extra: str = "") -> Path:
        """The solver of the example for another net."""
        lines = []
        for line in (EXAMPLE / "solver.prototxt").read_text().splitlines():
            key = line.partition(":")[0]
            said = {
                "net": f'net: "{net}"',
                "snapshot_prefix": f'snapshot_prefix: "{self.folder / name}"',
                "random_seed": f"random_seed: {self.seed}",
                "max_iter": f"max_iter: {self.iterations}",
                "snapshot": f"snapshot: {self.iterations}",
            }
            lines.append(said.get(key, line))
        path = self.folder / f"{name}_solver.prototxt"
        path.write_text("\n".join([*lines, extra, ""]))
        return path

    def call(self, *words: object) -> None:
        """A verb of the shell, quietly."""
        code = cli([*map(str, words)])
        if code:
            raise SystemExit(f"adaption {' '.join(map(str, words))}: exit code {code}")

    def trained(self, name: str, net: Path, extra: str = "", weights: Path | None = None) -> Path:
        """Train; returns the caffemodel."""
        adaption.train(self.solver(name, net, extra), weights=weights)
        return self.folder / f"{name}_iter_{self.iterations}.caffemodel"

    def row(self, net: Path, weights: Path, seconds: float) -> Row:
        """Measure a trained net."""
        scores = adaption.test(net, weights, iterations=TEST_BATCHES).scores
        (accuracy,) = (score.mean for score in scores if score.output == "accuracy")
        cost = adaption.cost(net, against=self.net, phase="TRAIN")
        layers = cost.net.layers
        bits = sum(x.weights * x.weight_bits for x in layers) / sum(x.weights for x in layers)
        own = cost.per_tensor.to_dict()
        plain = adaption.cost(self.net, phase="TRAIN").per_tensor.to_dict()
        kept = ("C_W", "C_A", "C_C")
        memory = sum(own[k] for k in kept) / sum(plain[k] for k in kept)
        return Row(accuracy, bits, cost.relative, memory, own["C_M"] / plain["C_M"], seconds)

    def float_net(self) -> Row:
        start = time.perf_counter()
        weights = self.trained("float", self.net)
        return self.row(self.net, weights, time.perf_counter() - start)

    def adaption(self) -> Row:
        """Formats from the ranges of the float net, fine-tuned."""
        start = time.perf_counter()
        weights = self.folder / f"float_iter_{self.iterations}.caffemodel"
        measured, plan = self.folder / "measured.json", self.folder / "plan.json"
        low, low_weights = self.folder / "adaption.prototxt", self.folder / "adaption.caffemodel"
        self.call("measure", self.net, weights, "--data", EXAMPLE / "digits_train_lmdb",
                  "--scale", "0.0625", "-o", measured, "--quiet")  # fmt: skip
        self.call("propose", self.net, measured, "--bits", BITS, "--rule", "sqnr", "--unsigned",
                  "--lpact", "after-relu", "-o", plan, "--quiet")  # fmt: skip
        self.call("rewrite", self.net, "-o", low, "--plan", plan, "--backward-weights",
                  "--weights", weights, "--weights-out", low_weights, "--quiet")  # fmt: skip
        made = self.trained("adaption", low, weights=low_weights)
        return self.row(low, made, time.perf_counter() - start)

    def wrpn(self) -> Row:
        """Twice the filters; first and last layer with float weights."""
        start = time.perf_counter()
        wide, low = self.folder / "wide.prototxt", self.folder / "wrpn.prototxt"
        self.call("widen", self.net, "-o", wide, "--factor", 2, "--quiet")
        self.call("rewrite", wide, "-o", low, "--recipe", "wrpn", "--weight-bits", BITS,
                  "--activation-bits", BITS, "--quiet")  # fmt: skip
        return self.row(low, self.trained("wrpn", low), time.perf_counter() - start)

    def sdfp(self, first_last: str = "float") -> Row:
        """First and last layer float, as is the default, or rounded as the others."""
        start = time.perf_counter()
        name = f"sdfp_{first_last}"
        low = self.folder / f"{name}.prototxt"
        self.call("rewrite", self.net, "-o", low, "--recipe", "sdfp", "--bits", BITS,
                  "--first-last", first_last, "--quiet")  # fmt: skip
        return self.row(low, self.trained(name, low), time.perf_counter() - start)

    def per_tensor(self) -> Row:
        """Formats from a float run of its own, whose time counts."""
        start = time.perf_counter()
        out = self.folder / "assigned"
        self.call("assign", self.net, "--solver", self.solver("assign", self.net), "-o", out,
                  "--quiet")  # fmt: skip
        adaption.train(out / "solver.prototxt", seed=self.seed)
        weights = out / f"assigned_iter_{self.iterations}.caffemodel"
        return self.row(out / "net.prototxt", weights, time.perf_counter() - start)

    def adapt(self) -> Row:
        """Its costs are those of the formats at the end."""
        start = time.perf_counter()
        policy = 'precision_policy { type: "adapt" adapt_param { } }'
        weights = self.trained("adapt", self.net, policy)
        seconds = time.perf_counter() - start
        out = self.folder / "frozen"
        self.call("freeze", self.net, weights, "--state", weights.with_suffix(".solverstate"),
                  "-o", out, "--quiet")  # fmt: skip
        return self.row(out / "frozen.prototxt", out / "frozen.caffemodel", seconds)


SYSTEMS: dict[str, Callable[[Bench], Row]] = {
    "float": Bench.float_net,
    f"ADaPTION, {BITS}/{BITS} bits, fine-tuned": Bench.adaption,
    f"WRPN, {BITS}/{BITS} bits, twice as wide": Bench.wrpn,
    f"S-DFP, {BITS} bits": Bench.sdfp,
    f"S-DFP, {BITS} bits, first and last layer too": lambda bench: bench.sdfp("quantized"),
    "per-tensor (chooses bits)": Bench.per_tensor,
    "AdaPT (chooses bits)": Bench.adapt,
}


def spread(values: Sequence[float], digits: int) -> str:
    """Mean, and how far apart least and greatest are."""
    low, high = min(values), max(values)
    mean = f"{statistics.fmean(values):.{digits}f}"
    return (
        mean if high - low < 10.0**-digits / 2 else f"{mean} ({low:.{digits}f}..{high:.{digits}f})"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--iterations", type=int, default=540, help="default 540, as the solver")
    args = parser.parse_args(argv)
    file = args.out / "rows.json"
    done: dict[str, dict[str, dict[str, float]]] = (
        json.loads(file.read_text()) if file.exists() else {}
    )
    for seed in map(int, args.seeds.split(",")):
        bench = Bench(args.out / f"seed{seed}", seed, args.iterations)
        for name, run in SYSTEMS.items():
            if str(seed) not in done.setdefault(name, {}):
                done[name][str(seed)] = asdict(run(bench))
                file.write_text(json.dumps(done, indent=1))
    rows = []
    for name, by_seed in done.items():
        values = {
            key: [row[key] for row in by_seed.values()] for key in next(iter(by_seed.values()))
        }
        rows.append([
            name, spread([100 * x for x in values["accuracy"]], 2),
            spread(values["weight_bits"], 1), spread(values["mac_bits"], 3),
            spread(values["memory"], 3), spread(values["adders"], 3), spread(values["seconds"], 0),
        ])  # fmt: skip
    head = ("system", "accuracy %", "weight bits", "MAC bits", "C_W+C_A+C_C", "C_M", "seconds")
    print(Grid(head, rows).plain())
    return 0


if __name__ == "__main__":
    sys.exit(main())
