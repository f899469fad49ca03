"""Lay out the files that the guides in docs/ work on, made of the embedded example:

    python scripts/example_files.py try && cd try

gives `deploy.prototxt`, `net.caffemodel`, `train_val.prototxt` and `solver.prototxt` of a small
LeNet, its 8 x 8 digits as LMDBs (`train_lmdb`, `val_lmdb`), 60 of them as images in a folder per
class (`images/`) with a list (`val.txt`), and 8 as arrays (`images.npy`, and `input.npy`, already
scaled). Pixels are 0..16: give `--scale 0.0625`. The solver trains for 40 iterations.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

EXAMPLE = Path(__file__).resolve().parent.parent / "models/lenet_digits"
IMAGES = 60
SOLVER = """# A short run: as models/lenet_digits/solver.prototxt, with 40 iterations.
net: "train_val.prototxt"
test_iter: 4
test_interval: 20
base_lr: 0.01
momentum: 0.9
weight_decay: 0.0005
lr_policy: "fixed"
display: 10
max_iter: 40
snapshot: 20
snapshot_prefix: "run"
solver_mode: CPU
random_seed: 1
"""


def main(argv: list[str] | None = None) -> int:
    """Write the files. Returns the exit code: 2 when the folder exists already."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to make")
    out: Path = parser.parse_args(argv).out
    if out.exists():
        fix = f"cd {out} goes on with it; or remove it, or name another folder"
        print(f"{out} exists already\n  fix: {fix}", file=sys.stderr)
        return 2
    out.mkdir(parents=True)
    lay_out(out)
    print(f"made: {out}\nnext: cd {out}")
    return 0


def lay_out(out: Path) -> None:
    """Write all files into an existing folder."""
    shutil.copyfile(EXAMPLE / "deploy.prototxt", out / "deploy.prototxt")
    shutil.copyfile(EXAMPLE / "lenet_digits.caffemodel", out / "net.caffemodel")
    net = (EXAMPLE / "train_val.prototxt").read_text("utf-8")
    for part, name in (("train", "train_lmdb"), ("test", "val_lmdb")):
        shutil.copytree(EXAMPLE / f"digits_{part}_lmdb", out / name)
        net = net.replace(f"models/lenet_digits/digits_{part}_lmdb", name)
    (out / "train_val.prototxt").write_text(net, "utf-8")
    (out / "solver.prototxt").write_text(SOLVER, "utf-8")
    with h5py.File(EXAMPLE / "digits_test.h5") as file:
        pixels = np.rint(np.asarray(file["data"][:IMAGES]) * 16).astype(np.uint8)
        labels = np.asarray(file["label"][:IMAGES]).astype(int)
    lines = []
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        path = out / "images" / str(label) / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
        lines.append(f"{path.relative_to(out / 'images').as_posix()} {label}\n")
    (out / "val.txt").write_text("".join(lines), "utf-8")
    np.save(out / "images.npy", pixels[:8].transpose(0, 2, 3, 1))
    np.save(out / "input.npy", pixels[:8].astype(np.float32) / 16)


if __name__ == "__main__":
    raise SystemExit(main())
