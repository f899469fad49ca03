"""What do batches made ahead in threads bring, and how many images a second come?

    python scripts/bench/data.py [--lmdb DB] [--list LIST --root FOLDER] [--rounds 5]

Without data of one's own: 6400 random images 28x28 in an LMDB, and 200 of 256x256 as ImageNet has
them: JPEGs in a list, the same in an LMDB, and their pixels in an LMDB, cropped and mirrored at
random. "feed" is the data layer alone, "train" a forward and backward pass of a small net on its
batches. Each is timed with batches made when the layer asks for them ("inline") and with batches
made ahead, in turn, so that a drifting machine meets both. A layer itself makes ahead only where
"ahead" says so.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import machine
from PIL import Image

from adaption.data.feed import FedLayer
from adaption.data.lmdb_writer import write_lmdb
from adaption.graph import NetState, build_spec
from adaption.io.netfile import from_document
from adaption.io.prototxt import parse
from adaption.net import Net
from adaption.proto import caffe_pb2

RAW = """layer {{ name: "d" type: "Data" top: "data" top: "label"
  transform_param {{ scale: 0.00390625 }} data_param {{ source: "{source}" batch_size: 64 }} }}"""
LIST = """layer {{ name: "d" type: "ImageData" top: "data" top: "label"
  transform_param {{ crop_size: 224 mirror: true }}
  image_data_param {{ source: "{source}" root_folder: "{root}" batch_size: 16 shuffle: true }} }}"""
CROPPED = """layer {{ name: "d" type: "Data" top: "data" top: "label"
  transform_param {{ crop_size: 224 mirror: true }}
  data_param {{ source: "{source}" backend: LMDB batch_size: 16 }} }}"""
NET = """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 20 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 1000 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }"""


def main() -> None:
    """Print one table, a row per kind of data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lmdb", type=Path, help="LMDB of Datum")
    parser.add_argument("--list", type=Path, help="list of `file label`")
    parser.add_argument("--root", default="", help="folder that the files of the list are in")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(f"{machine()}, {torch.get_num_threads()} threads, torch {torch.__version__};")
    print(f"medians of {args.rounds} rounds, images a second; times of ahead over inline")
    print("data                  feed: inline     ahead  ratio  train: inline    ahead  ratio")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lmdb = args.lmdb or digits(folder)
        row("LMDB, raw", RAW.format(source=lmdb), args.rounds, batches=100, size=64)
        images = args.list or photographs(folder)
        crops = {"list of JPEG": LIST.format(source=images, root=args.root)}
        if args.list is None:
            for kind in ("JPEG", "pixels"):
                database = records(folder, kind)
                crops[f"LMDB of {kind}"] = CROPPED.format(source=database)
        for what, layer in crops.items():
            row(what, layer, args.rounds, batches=20, size=16)


def digits(folder: Path) -> Path:
    """Random images as small as MNIST's."""
    rng = np.random.default_rng(0)
    records = (
        caffe_pb2.Datum(channels=1, height=28, width=28, data=rng.bytes(784), label=i % 10)
        for i in range(6400)
    )
    write_lmdb(
        folder / "lmdb", ((b"%08d" % i, r.SerializeToString()) for i, r in enumerate(records))
    )
    return folder / "lmdb"


def photographs(folder: Path) -> Path:
    """JPEGs of smooth noise, about as large as those of photographs."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(200):
        noise = Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8))
        noise.resize((256, 256), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=90)
        lines.append(f"{folder / f'{i}.jpg'} {i}\n")
    (folder / "list.txt").write_text("".join(lines))
    return folder / "list.txt"


def records(folder: Path, kind: str) -> Path:
    """The photographs in an LMDB, encoded or as pixels."""
    made = []
    for i, line in enumerate((folder / "list.txt").read_text().splitlines()):
        file = Path(line.split()[0])
        if kind == "JPEG":
            datum = caffe_pb2.Datum(encoded=True, data=file.read_bytes(), label=i)
        else:
            pixels = np.asarray(Image.open(file))[..., ::-1].transpose(2, 0, 1)
            channels, height, width = pixels.shape
            datum = caffe_pb2.Datum(
                channels=channels, height=height, width=width, data=pixels.tobytes(), label=i
            )
        made.append((b"%08d" % i, datum.SerializeToString()))
    write_lmdb(folder / kind, iter(made))
    return folder / kind


def row(name: str, layer: str, rounds: int, batches: int, size: int) -> None:
    """Measure one kind of data and print its line."""
    cells = []
    for text in (layer, layer + NET):
        nets = [net(text, workers) for workers in (0, None)]
        inline, ahead = timed(nets, rounds, batches)
        cells.append(f"{size / inline:12.0f} {size / ahead:9.0f} {ahead / inline:6.2f}")
    source: Any = nets[1].nodes[0].layer
    workers = source.workers()
    print(f"{name + f' ({workers} ahead)':20s} {'   '.join(cells)}", flush=True)


def net(text: str, workers: int | None) -> Net:
    """A net whose data layer makes batches ahead in so many threads; None: as it chooses."""
    made = Net(build_spec(from_document(parse(text)).message, NetState("TRAIN")), phase="TRAIN")
    layer = made.nodes[0].layer
    assert isinstance(layer, FedLayer)
    if workers is not None:
        object.__setattr__(layer, "workers", lambda: workers)
    return made


def step(made: Net) -> None:
    """What a solver does with a batch, short of the update."""
    made.forward()
    made.clear_param_diffs()
    made.backward()


def timed(nets: list[Net], rounds: int, batches: int) -> list[float]:
    """Median seconds of a step, for each of the nets, which take turns.

    A turn begins with an unread source and ends its threads: else a net would work ahead in the
    other's time.
    """
    seconds: list[list[float]] = [[] for _ in nets]
    for _ in range(rounds):
        for made, kept in zip(nets, seconds, strict=True):
            start = time.perf_counter()
            for _ in range(batches):
                step(made)
            kept.append((time.perf_counter() - start) / batches)
            made.nodes[0].runtime.state.clear()
            while any(thread.name == "adaption-data" for thread in threading.enumerate()):
                time.sleep(0.01)
    return [statistics.median(kept) for kept in seconds]


if __name__ == "__main__":
    main()
