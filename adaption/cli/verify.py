"""Check that two ways to compute the net agree, layer by layer.

A and B are an ONNX file (run by onnxruntime), an npz of recorded blobs (keyed by blob name, as
Caffe, OpenCV or a device gave them), or one of: lp (the low-precision net in float32), lp64 (in
float64), exact (integer codes), exact-half-even, c (the exported C program), float, baked, opencv.
With A alone it is compared with what it should equal: a recording and an ONNX file of style float
with lp, of style integer with exact, of style qdq with exact-half-even. Exit code 1 when a
difference is not explained by the order of float32 sums, where equality is promised and does not
hold (two exact ones that round alike; files of styles integer and qdq are exact up to the layers
that their export named), or beyond the tolerance.

int32 in place of A: one training step's products of rounded bottoms, weights and gradients, on
integer codes with sums of 32 bits (or int24, ...), against the simulation, and which sums overflow.
NET is then a net with a loss in phase TRAIN.

A file that takes images and preprocesses them gets the images of --data, when they are uint8 or
preprocessing flags are given; our net gets what the flags say (without flags: what the file says of
itself) makes of them. Exit code 1 when the two differ in any bit.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adaption.cli.flags import add_flags, value_of
from adaption.cli.options import (
    add_input_flag,
    add_output_flags,
    add_preprocessing_flags,
    input_format_of,
    input_shapes_of,
    transform_of,
)
from adaption.errors import one_line
from adaption.options import NET, RunOptions

if TYPE_CHECKING:
    from adaption.net import Net
    from adaption.numerics import FixedPoint

SAMPLES = 4  # of data, where neither a recording nor a training step takes them all

HELP = "compare a net with its ONNX file, exact arithmetic, recorded blobs, ..."
EXAMPLE = (
    "  adaption verify out/net_lp.prototxt out/net_lp.caffemodel out/net_lp.onnx\n"
    "  adaption verify deploy.prototxt net.caffemodel reference.npz --data input.npy\n"
    "  adaption verify net_lp.prototxt net_lp.caffemodel lp64 exact --data input.npy \\\n"
    "      --input-format auto\n"
    "  adaption verify deploy.prototxt net.caffemodel net.onnx --data images.npy \\\n"
    "      --mean-value 104,117,123\n"
    "  adaption verify train_val_sdfp.prototxt net.caffemodel int32"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt")
    parser.add_argument("weights", help="caffemodel")
    parser.add_argument(
        "a",
        metavar="A",
        help="the ONNX file made from the net, an npz of recorded blobs, or a way to compute it:"
        " lp, lp64, exact, exact-half-even, c, float, baked, opencv, int32",
    )
    parser.add_argument(
        "b",
        metavar="B",
        nargs="?",
        help="the same; without it, A is compared with what it should equal",
    )
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="inputs: npz with one array per input blob, npy for a net of one input, or whatever"
        " quantize takes (a folder or list of images, LMDB, LevelDB, HDF5, idx); an ONNX file is"
        " tried on random values without it; where it preprocesses images, images as it takes them,"
        " in npz or npy",
    )
    parser.add_argument(
        "--samples",
        "--limit",
        dest="samples",
        type=int,
        metavar="N",
        help="use N samples of the data at most (default: all of recorded blobs, else 4)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        help="of recorded blobs against lp, relative to a blob's greatest magnitude (default 2e-4);"
        " of an ONNX file of style float alone, how many times float32's own error a layer may be"
        " off (default 32); of anything else, in LSBs at quantization points (default 0 where"
        " equality is promised)",
    )
    parser.add_argument(
        "--input-format",
        action="append",
        default=[],
        metavar="BLOB=Qm.f",
        help="round an input first, for both sides; auto: to the shortest word that holds the data,"
        " 16 bits at most",
    )
    add_input_flag(parser)
    add_flags(parser, RunOptions(), *NET)
    add_preprocessing_flags(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.compare import verify
    from adaption.net import Net

    shapes, options = input_shapes_of(args), value_of(args, RunOptions())
    is_step = re.fullmatch(r"int\d+", args.a) is not None
    phase = "TRAIN" if is_step else "TEST"
    net = Net(args.net, args.weights, phase=phase, input_shapes=shapes, **options.for_net())
    for notice in net.notices:
        print(f"warning: {one_line(notice)}", file=sys.stderr)
    inputs = None
    if args.data is not None:
        takes_all = is_step or (args.b is None and args.a.endswith((".npz", ".npy")))
        inputs = _read(args, net, args.samples or (None if takes_all else SAMPLES))
    report = verify(
        net,
        args.a,
        args.b,
        inputs,
        # Of images on disk, what reads them has preprocessed them.
        transform=transform_of(args) if inputs is None or _holds_arrays(args.data) else None,
        input_formats=_input_formats(args.input_format, inputs),
        tolerance=args.tolerance,
    )
    print(json.dumps(report.to_dict(), indent=2) if args.json else report)
    return 0 if report.ok else 1


def _holds_arrays(data: str) -> bool:
    return data.endswith((".npz", ".npy"))


def _read(args: argparse.Namespace, net: Net, limit: int | None) -> dict[str, Any]:
    """The first samples of --data, by input blob: as they are in arrays, else preprocessed."""
    if _holds_arrays(args.data):
        from adaption.io.arrays import read_arrays

        arrays = read_arrays(args.data, only=net.inputs[0] if net.inputs else "")
        return {name: arrays[name][:limit] for name in net.inputs if name in arrays}
    import numpy as np

    from adaption.job.feed import feed_from_data

    options = RunOptions(limit=limit)
    feed = feed_from_data(net.spec, args.data, transform_of(args), options, root=args.root)
    batches = [batch.blobs for batch in feed]
    return {name: np.concatenate([blobs[name] for blobs in batches]) for name in batches[0]}


def _input_formats(given: Sequence[str], inputs: Mapping[str, Any] | None) -> dict[str, FixedPoint]:
    from adaption.errors import UsageError
    from adaption.exact.inputs import format_of_data

    if "auto" not in given:
        return dict(map(input_format_of, given))
    if inputs is None:
        raise UsageError("--input-format auto needs data", "give --data with an npz or npy file")
    found = {name: format_of_data(x) for name, x in inputs.items()}
    return {**found, **dict(input_format_of(text) for text in given if text != "auto")}
