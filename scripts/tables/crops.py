"""Top-1 of the nets that search.py has made of SqueezeNet, over ten crops of each image.

    python scripts/tables/crops.py SHARED -o out [--bits 8,6]

Corners and middle, each also mirrored: 500 images give 5,000 predictions. `out` is the folder of
search.py. Prints one Markdown table.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import refine as published
import torch

from adaption.data import open_source
from adaption.errors import AdaptionError, UsageError
from adaption.net import Net

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
    right, changed = Counter[str](), Counter[str]()
    predictions = 0
    try:
        for number, split in enumerate(published.splits(args, NAME)):
            nets = _nets(args, number)
            for sample in open_source(split["data"], root=split["root"], is_color=True):
                crops = torch.from_numpy(_crops(np.asarray(sample.image, np.float32)))
                classes = {name: _classes(net, crops) for name, net in nets.items()}
                predictions += len(crops)
                for name, found in classes.items():
                    right[name] += int((found == sample.label).sum())
                    changed[name] += int((found != classes["float"]).sum())
    except AdaptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("| net | predictions | top-1 | flipped |\n|---|---|---|---|")
    for name in right:
        shares = (100 * count[name] / predictions for count in (right, changed))
        print(f"| {name} | {predictions:,} | {' | '.join(f'{x:.2f} %' for x in shares)} |")
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


def _classes(net: Net, crops: torch.Tensor) -> npt.NDArray[np.int64]:
    with torch.no_grad():
        scores = net.forward({net.inputs[0]: crops})[net.outputs[0]]
    return np.asarray(scores.flatten(1).argmax(1).numpy())


if __name__ == "__main__":
    sys.exit(main())
