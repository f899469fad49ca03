"""ADaPTION's headline in small: what rounding costs on MNIST, and what an epoch of fine-tuning with
dual-copy weights wins back, at several word lengths.

    python scripts/tables/finetune.py MNIST -o out

MNIST is the folder with the four idx files (gzip or not). A dense net 784-256-256-10 is trained for
8 epochs; every row then measures (max-abs), proposes, rewrites, tests, and fine-tunes for one epoch
at lr 0.01. "floor" is the original's CPU stochastic rounding, which in fact cuts off. Zeros are
shares of the test data's activations behind each ReLU, and of the rounded weights. What is done is
not done again.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch

import adaption
from adaption.data import open_source
from adaption.data.lmdb_writer import DatumForm, datum_records, write_lmdb
from adaption.errors import AdaptionError
from adaption.report import Progress
from adaption.solver import Listener

BITS = (16, 8, 6, 5, 4)
EPOCH = 468  # iterations: 60,000 digits in batches of 128
HEAD = (
    *("bits", "Q weights / activations", "rounded only", "+ 1 epoch", "floor"),
    *("activation zeros L1, L2", "weight zeros"),
)
DATA = """
layer {{ name: "mnist" type: "Data" top: "data" top: "label"
  include {{ phase: {phase} }}
  transform_param {{ scale: 0.00390625 }}
  data_param {{ source: "{source}" batch_size: {batch} backend: LMDB }} }}"""
DENSE = """
layer {{ name: "ip{i}" type: "InnerProduct" bottom: "{bottom}" top: "ip{i}"
  param {{ lr_mult: 1 }} param {{ lr_mult: 2 }}
  inner_product_param {{ num_output: {count} weight_filler {{ type: "xavier" }} }} }}"""
RELU = """
layer {{ name: "relu{i}" type: "ReLU" bottom: "ip{i}" top: "ip{i}" }}"""
END = """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip3" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip3" bottom: "label" top: "accuracy"
  include { phase: TEST } }
"""
SOLVER = """net: "{net}"
base_lr: {rate} lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005
max_iter: {iterations} snapshot_prefix: "{prefix}" random_seed: 1
"""


def main() -> int:
    """Train, round, fine-tune, print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mnist", type=Path, metavar="MNIST")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    source = args.mnist.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    os.chdir(args.out)
    try:
        print(table(source))
    except AdaptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def table(source: Path) -> str:
    """The Markdown table of all word lengths."""
    for name, phase in (("train", "TRAIN"), ("t10k", "TEST")):
        lmdb = Path(f"mnist_{phase.lower()}_lmdb")
        if not lmdb.exists():
            images = next(source.glob(f"{name}-images-idx3-ubyte*"), None)
            images = images or source / f"{name}-images-idx3-ubyte.gz"
            write_lmdb(lmdb, datum_records(open_source(images), DatumForm()))
    Path("float.prototxt").write_text(dense_net(), encoding="utf-8")
    full = trained("float", 8 * EPOCH, 0.05)
    control = trained("control", EPOCH, 0.01, net="float", weights=full)
    scores = [percent(accuracy("float", weights)) for weights in (full, control)]
    rows = [["float", "", *scores, "", *zeros("float", full)], *(row(bits, full) for bits in BITS)]
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def dense_net() -> str:
    """784-256-256-10 with ReLU, on MNIST scaled by 1/256."""
    parts = ['name: "dense"']
    for phase, batch in (("TRAIN", 128), ("TEST", 100)):
        source = f"mnist_{phase.lower()}_lmdb"
        parts.append(DATA.format(phase=phase, source=source, batch=batch))
    for i, count in enumerate((256, 256, 10), 1):
        parts.append(DENSE.format(i=i, bottom="data" if i == 1 else f"ip{i - 1}", count=count))
        parts.append(RELU.format(i=i) if i < 3 else END)
    return "".join(parts)


class Shown(Listener):
    """A progress line."""

    def __init__(self, label: str, total: int) -> None:
        self.progress = Progress(total, label, unit="iterations")

    def stepped(self, iteration: int) -> None:
        self.progress.advance()


def trained(
    name: str, iterations: int, rate: float, *, net: str = "", weights: Path | None = None
) -> Path:
    """The caffemodel of a training run, made when it is not there."""
    made = Path(f"{name}_iter_{iterations}.caffemodel")
    if made.exists():
        return made
    solver = Path(f"{name}.solver.prototxt")
    text = SOLVER.format(
        net=f"{net or name}.prototxt", rate=rate, iterations=iterations, prefix=name
    )
    solver.write_text(text, encoding="utf-8")
    shown = Shown(f"training {name}", iterations)
    with shown.progress:
        adaption.train(solver, weights=weights, listeners=[shown])
    return made


def row(bits: int, full: Path) -> list[str]:
    """One word length: rounded, fine-tuned, and with the original's floor."""
    name = f"bits{bits}"
    measured = adaption.measure("float.prototxt", full, quiet=True)
    proposals = {
        rounding: adaption.propose("float.prototxt", measured, bits=bits, rounding=rounding)
        for rounding in ("half_away", "stochastic")
    }
    adaption.write_net(
        adaption.rewrite("float.prototxt", proposals["half_away"]), f"{name}.prototxt"
    )
    floor = adaption.rewrite("float.prototxt", proposals["stochastic"])
    adaption.write_net(floor, f"{name}_floor.prototxt")
    tuned = trained(name, EPOCH, 0.01, weights=full)
    four_blobs = Path(f"{name}_rounded.caffemodel")
    adaption.Net(f"{name}.prototxt", full).save(four_blobs)
    formats: dict[str, set[str]] = {"weight": set(), "activation": set()}
    for point, fmt in proposals["half_away"].plan.items():
        formats[point.kind].add(str(fmt))
    return [
        str(bits),
        " / ".join(" ".join(sorted(found)) for found in formats.values()),
        percent(accuracy(name, full)),
        percent(accuracy(name, tuned)),
        percent(accuracy(f"{name}_floor", four_blobs, original_semantics=True)),
        *zeros(name, full),
    ]


def accuracy(net: str, weights: Path, *, original_semantics: bool = False) -> float:
    """Top-1 on the 10,000 test digits."""
    made = adaption.Net(f"{net}.prototxt", weights, original_semantics=original_semantics, seed=0)
    total = 0.0
    with torch.no_grad():
        for _ in range(100):
            total += float(made.forward()["accuracy"])
    return total / 100


def zeros(net: str, weights: Path) -> list[str]:
    """Shares of zeros: activations behind each ReLU on the test digits, and rounded weights."""
    made = adaption.Net(f"{net}.prototxt", weights, seed=0)
    counts = dict.fromkeys(("ip1", "ip2"), 0.0)
    with torch.no_grad():
        for _ in range(100):
            made.forward()
            for blob in counts:
                counts[blob] += float((made.blobs[blob].tensor == 0).float().mean())
    index = 0 if net == "float" else 1
    rounded = [float((made.params[f"ip{i}"][index].data == 0).mean()) for i in (1, 2, 3)]
    return [
        ", ".join(f"{count:.1f}" for count in counts.values()),
        ", ".join(f"{100 * share:.1f}" for share in rounded),
    ]


def percent(share: float) -> str:
    """A share in percent with two digits."""
    return f"{100 * share:.2f}"


if __name__ == "__main__":
    sys.exit(main())
