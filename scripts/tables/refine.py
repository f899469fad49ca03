"""What --best reaches without training, on three published nets at several word lengths.

    python scripts/tables/refine.py SHARED -o out [--only resnet20:4/4,lenet] [--rule sqnr]
        [--limit 10000]

SHARED holds models/ and data/: SqueezeNet v1.0 and 500 ImageNet images, ResNet-20 and CIFAR-10,
LeNet and MNIST. Formats come from calibration samples, none of which is scored: of the ImageNet
images each half is scored by a net that was calibrated on the other; of CIFAR-10 and MNIST the
training images calibrate, and 2,000 test images are scored, or --limit of them. With --rule the
rows are those of --int8 alone under that rule. What is done is not done again. Prints one Markdown
table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import adaption
from adaption.data import Transform
from adaption.errors import AdaptionError
from adaption.options import BEST, INT8

HEAD = (
    *("net", "bits W/A", "samples", "float", "fixed point", "drop", "target", "flipped"),
    *("target", "equalized", "refining, CPU s"),
)


@dataclass(frozen=True)
class Net:
    """A net with its data. targets: by word lengths, the most drop in points and flipped in %."""

    folder: str
    targets: dict[str, tuple[float | None, float | None]]
    settings: dict[str, Any]


NETS = {
    "squeezenet": Net(
        "models/squeezenet_v1.0",
        {"8/8": (1.0, 8.0), "6/6": (2.5, None), "4/8": (8.0, None)},
        {"transform": Transform(crop_size=(227, 227), mean_value=(104, 117, 123))},
    ),
    "resnet20": Net(
        "models/cifar10_resnet20",
        {
            "8/8": (None, 1.6),
            "6/6": (0.5, None),
            "4/8": (0.4, None),
            "3/8": (1.2, None),
            "4/4": (2.0, None),
        },
        {"fold": True, "calibration_limit": 512, "limit": 2000},
    ),
    "lenet": Net(
        "models/lenet",
        {"2/2": (98.65 - 95.5, None)},
        {"transform": Transform(scale=1 / 256), "calibration_limit": 512, "limit": 2000},
    ),
}


def main() -> int:
    """Quantize what is missing, print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path, metavar="SHARED")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--only", help="nets, or NET:W/A, with commas between")
    parser.add_argument("--rule", help="--int8 with this rule instead of --int8 --best")
    parser.add_argument("--limit", type=int, help="scored images of CIFAR-10 and MNIST")
    args = parser.parse_args()
    wanted = args.only.split(",") if args.only else list(NETS)
    return print_table(
        HEAD,
        (
            row(args, name, net, bits)
            for name, net in NETS.items()
            for bits in net.targets
            if {name, f"{name}:{bits}"} & set(wanted)
        ),
    )


def print_table(head: Sequence[str], rows: Iterable[list[str]]) -> int:
    """Print each row when it is made, then all as a Markdown table. Returns the exit code."""
    made = []
    try:
        for row in rows:
            made.append(row)
            print(" | ".join(row), file=sys.stderr, flush=True)
    except AdaptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    print("\n".join(f"| {' | '.join(row)} |" for row in made))
    return 0


def row(args: argparse.Namespace, name: str, net: Net, bits: str) -> list[str]:
    """One row of the table, over all of its splits of the data."""
    choices = {**INT8, **(BEST if args.rule is None else {"rule": args.rule})}
    weight, activation = bits.split("/")
    choices["bits"] = [activation, f"weight={weight}"]
    choices["onnx"] = "qdq"
    found = []
    for number, split in enumerate(splits(args, name)):
        folder = f"{name}_{weight}_{activation}_{args.rule or 'best'}_{number}"
        found.append(quantized(args, name, number, split, folder, choices))
    return cells(name, bits, net.targets[bits], found)


def quantized(
    args: argparse.Namespace,
    name: str,
    number: int,
    split: dict[str, Any],
    folder: str,
    choices: dict[str, Any],
) -> dict[str, Any]:
    """The summary of one net on one split of its data, made now or before."""
    settings = {**NETS[name].settings, **split, **choices}
    if args.limit is not None and "limit" in settings:
        settings["limit"] = args.limit
    out, files = folder_of(args, name, folder), args.shared / NETS[name].folder
    kept = f"{name}_{number}_float_{settings.get('limit', 'all')}"
    if "calibration_limit" in choices:
        kept += f"_from_{choices['calibration_limit']}"
    if not (out / "summary.json").exists():
        adaption.quantize(
            files / "deploy.prototxt",
            files / "deploy.caffemodel",
            out=out,
            reference=args.out / kept,
            quiet=True,
            **settings,
        )
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text("utf-8"))
    unequal = [c["what"] for c in summary["verification"] if not c["ok"]]
    if unequal:
        print(f"{out}: not verified: {', '.join(unequal)}", file=sys.stderr)
    return summary


def folder_of(args: argparse.Namespace, name: str, folder: str) -> Path:
    """Where `quantized` writes a net."""
    is_limited = args.limit is not None and "limit" in NETS[name].settings
    return Path(args.out) / (f"{folder}_of_{args.limit}" if is_limited else folder)


def splits(args: argparse.Namespace, name: str) -> list[dict[str, Any]]:
    """Calibration data and scored data, never the same samples."""
    data = args.shared / "data"
    if name == "lenet":
        images = {x: data / f"mnist/{x}-images-idx3-ubyte.gz" for x in ("train", "t10k")}
        return [{"calibration": images["train"], "data": images["t10k"]}]
    if name == "resnet20":
        images = {x: data / f"cifar10/cifar10_{x}_jpeg.npz" for x in ("train", "test")}
        mean = args.shared / NETS[name].folder / "cifar10_mean.binaryproto"
        own = {"transform": Transform(channel_order="RGB", mean_file=mean)}
        return [{"calibration": images["train"], "data": images["test"], **own}]
    folder = data / "imagenet_sample"
    lines = (folder / "val.txt").read_text("utf-8").splitlines()
    args.out.mkdir(parents=True, exist_ok=True)
    halves = [args.out / f"imagenet_half_{i}.txt" for i in range(2)]
    for i, half in enumerate(halves):
        half.write_text("\n".join(lines[i::2]) + "\n", "utf-8")
    return [
        {"calibration": a, "data": b, "root": folder}
        for a, b in ((halves[0], halves[1]), (halves[1], halves[0]))
    ]


def cells(
    name: str, bits: str, targets: tuple[float | None, float | None], found: list[dict[str, Any]]
) -> list[str]:
    """Figures over all samples of all splits."""
    samples = sum(s["accuracy"]["samples"] for s in found)

    def share(side: str) -> float:
        hits = sum(s["accuracy"][side]["top1"] * s["accuracy"]["samples"] for s in found)
        return float(100 * hits / samples)

    flipped = 100 * sum(s["flipped_predictions"]["count"] for s in found) / samples
    drop = share("float") - share("quantized")
    refining = [s.get("refinement", {}) for s in found]
    return [
        name,
        bits,
        f"{samples:,}",
        f"{share('float'):.2f}",
        f"{share('quantized'):.2f}",
        f"{drop:.2f}",
        *_target(drop, targets[0]),
        f"{flipped:.2f} %",
        *_target(flipped, targets[1]),
        ", ".join("yes" if r.get("equalized_channels") else "no" for r in refining),
        ", ".join(f"{r['cpu_seconds']:.0f}" if r else "-" for r in refining),
    ]


def _target(value: float, most: float | None) -> list[str]:
    return ["-" if most is None else f"<= {most:.2f}{'' if value <= most + 1e-9 else ' (missed)'}"]


if __name__ == "__main__":
    sys.exit(main())
