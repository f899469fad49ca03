"""Compare a net with its ONNX file in onnxruntime, blob by blob: greatest and mean error, which
layer first differs and by how much. Exit code 1 when a difference is not explained by the order
of float32 sums.
"""

from __future__ import annotations

import argparse
import json

from adaption.cli.options import add_output_flags

HELP = "compare a net with its ONNX file, blob by blob"
EXAMPLE = "  adaption verify out/net_lp.prototxt out/net_lp.caffemodel out/net_lp.onnx"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt")
    parser.add_argument("weights", help="caffemodel")
    parser.add_argument("onnx", help="ONNX file made from them")
    parser.add_argument(
        "--data", metavar="NPZ", help="inputs: one array per input blob; random values without it"
    )
    parser.add_argument("--samples", type=int, default=4, help="of the data (default 4)")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.data import Batches, open_source
    from adaption.export import verify
    from adaption.net import Net

    net = Net(args.net, args.weights)
    inputs = None
    if args.data is not None:
        shapes = {name: net.blobs[name].shape for name in net.inputs}
        batches = Batches(open_source(args.data), None, args.samples, shapes, limit=args.samples)
        inputs = next(iter(batches)).blobs
    report = verify(net, args.onnx, inputs)
    print(json.dumps(report.to_dict(), indent=2) if args.json else report)
    return 0 if report.ok else 1
