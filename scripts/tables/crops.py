"""How good the nets are that search.py has made of SqueezeNet, over ten crops of each image.

    python scripts/tables/crops.py SHARED -o out [--bits 8,6]

Corners and middle, each also mirrored: 500 images give 5,000 predictions. Top-1, predictions that
differ from the float net's, and the mean divergence KL(p || q) of class shares q from the float
net's p: chance moves it least. `out` is the folder of search.py. Prints one Markdown table.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import refine as published
import torch

from adaption.data import open_source
from adaption.errors import AdaptionError, UsageError
from adaption.net import Net
from adaption.numerics.measures import divergence

NAME = "squeezenet"
SIDE = 227
MEAN = (104, 117, 123)


def main() -> int:
    """Score the nets, print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path, metavar="SHARED")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--bits", default="8,6", help="uniform word lengths, with commas between")
    args = parser.parse_args()
    args.limit = None
    right, changed, apart = Counter[str](), Counter[str](), defaultdict[str, float](float)
    predictions = 0
    try:
        for number, split in enumerate(published.splits(args, NAME)):
            nets = _nets(args, number)
            for sample in open_source(split["data"], root=split["root"], is_color=True):
                crops = torch.from_numpy(_crops(np.asarray(sample.image, np.float32)))
                shares = {name: _shares(net, crops) for name, net in nets.items()}
                predictions += len(crops)
                full = shares["float"]
                for name, found in shares.items():
                    classes = found.argmax(1)
                    right[name] += int((classes.numpy() == sample.label).sum())
                    changed[name] += int((classes != full.argmax(1)).sum())
                    apart[name] += float(divergence(found.log(), full.log(), 1, 1)[0].sum())
    except AdaptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("| net | predictions | top-1 | flipped | divergence |\n|---|---|---|---|---|")
    for name in right:
        cells = [f"{100 * count[name] / predictions:.2f} %" for count in (right, changed)]
        print(
            f"| {name} | {predictions:,} | {' | '.join(cells)} | {apart[name] / predictions:.4f} |"
        )
    return 0


def _nets(args: argparse.Namespace, number: int) -> dict[str, Net]:
    files = args.shared / published.NETS[NAME].folder
    nets = {"float": Net(files / "deploy.prototxt", files / "deploy.caffemodel")}
    for bits in args.bits.split(","):
        for name, end in (("uniform", ""), ("searched", "_less")):
            folder = published.folder_of(args, NAME, f"{NAME}_{number}_{bits}{end}")
            net = next(folder.glob("*_lp.prototxt"), None)
            if net is None:
                raise UsageError(f"{folder} holds no net", "run search.py with the same -o first")
            nets[f"{bits}, {name}"] = Net(net, net.with_suffix(".caffemodel"))
    return nets


def _crops(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(10, 3, 227, 227), less the mean; the fifth is the crop that search.py scores."""
    height, width = (size - SIDE for size in image.shape[1:])
    corners = [(0, 0), (0, width), (height, 0), (height, width), (height // 2, width // 2)]
    plain = [image[:, y : y + SIDE, x : x + SIDE] for y, x in corners]
    crops = np.stack([*plain, *(x[:, :, ::-1] for x in plain)])
    return crops - np.array(MEAN, np.float32)[:, None, None]


def _shares(net: Net, crops: torch.Tensor) -> torch.Tensor:
    """Of the classes, (10, 1000), above 0."""
    with torch.no_grad():
        found = net.forward({net.inputs[0]: crops})[net.outputs[0]]
    return found.flatten(1).double().clamp_min(1e-12)


if __name__ == "__main__":
    sys.exit(main())
