"""Check that something else computes what the net computes.

With an ONNX file: onnxruntime against the net, blob by blob; which layer first differs and by how
much. With an npz of recorded blobs (keyed by blob name, as Caffe, OpenCV or a device gave them):
the net against the recording. Exit code 1 when a difference is not explained by the order of
float32 sums, or a recorded blob is beyond the tolerance.
"""

from __future__ import annotations

import argparse
import json
import sys

from adaption.cli.options import (
    add_input_flag,
    add_net_flags,
    add_output_flags,
    shape_of,
)

HELP = "compare a net with its ONNX file, or with recorded blobs"
EXAMPLE = (
    "  adaption verify out/net_lp.prototxt out/net_lp.caffemodel out/net_lp.onnx\n"
    "  adaption verify deploy.prototxt net.caffemodel reference.npz --data input.npy"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt")
    parser.add_argument("weights", help="caffemodel")
    parser.add_argument("other", help="ONNX file made from them, or npz of recorded blobs")
    parser.add_argument(
        "--data",
        metavar="FILE",
        help="inputs: npz with one array per input blob, or npy for a net of one input; an ONNX"
        " file is tried on random values without it",
    )
    parser.add_argument(
        "--samples", type=int, metavar="N", help="of the data (default 4 with ONNX, else all)"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        help="of recorded blobs, relative to a blob's greatest magnitude (default 2e-4)",
    )
    add_input_flag(parser)
    add_net_flags(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.errors import UsageError
    from adaption.export import verify
    from adaption.export.recorded import TOLERANCE, read_arrays, verify_recorded
    from adaption.net import Net

    net = Net(
        args.net,
        args.weights,
        level=args.level,
        stages=[s for s in args.stage.split(",") if s],
        dialect=args.dialect,
        end=args.end,
        python_modules=args.allow_python,
        input_shapes=dict(shape_of(text) for text in args.input),
    )
    for notice in net.notices:
        print(f"warning: {notice}", file=sys.stderr)
    is_onnx = args.other.endswith(".onnx")
    inputs = None
    if args.data is not None:
        arrays = read_arrays(args.data, only=net.inputs[0] if net.inputs else "")
        samples = args.samples or (4 if is_onnx else None)
        inputs = {name: arrays[name][:samples] for name in net.inputs if name in arrays}
    if is_onnx:
        report: object = verify(net, args.other, inputs)
    elif inputs is None:
        raise UsageError("recorded blobs need their inputs", "give --data with an npz or npy file")
    else:
        tolerance = TOLERANCE if args.tolerance is None else args.tolerance
        report = verify_recorded(net, args.other, inputs, tolerance=tolerance)
    print(json.dumps(report.to_dict(), indent=2) if args.json else report)  # type: ignore[attr-defined]
    return 0 if report.ok else 1  # type: ignore[attr-defined]
