"""Write a net for another tool: ONNX in several styles, a caffemodel with weights on their grid
that plain Caffe and OpenCV run, integer codes in one npz, or a C99 program of them. Each target
says what it had to leave out.
"""

from __future__ import annotations

import argparse
import json
import shlex
from typing import Any

from adaption.cli.flags import add_flags, value_of
from adaption.cli.options import (
    add_input_flag,
    add_output_flags,
    add_preprocessing_flags,
    input_format_of,
    input_shapes_of,
    transform_of,
)
from adaption.errors import UsageError
from adaption.options import NET, RunOptions

HELP = "write a net as ONNX, plain caffemodel, integer codes, a C program"
EXAMPLE = (
    "  adaption export net_lp.prototxt net_lp.caffemodel --to onnx --style qdq -o net_int8.onnx\n"
    "  adaption export net_lp.prototxt net_lp.caffemodel --to caffemodel -o baked.caffemodel\n"
    "  adaption export deploy.prototxt net.caffemodel --to onnx --embed-preprocessing \\\n"
    "      --image-layout NHWC --image-order RGB --mean-value 104,117,123"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt of the net")
    parser.add_argument("weights", help="caffemodel, binary or HDF5")
    parser.add_argument(
        "--to",
        required=True,
        metavar="TARGET",
        help="onnx, caffemodel, npz, c; a wrong one lists all",
    )
    parser.add_argument(
        "-o", "--out", metavar="OUT", help="what to write (default: named after NET)"
    )
    onnx = parser.add_argument_group("onnx")
    onnx.add_argument("--style", metavar="NAME", help="float (default), qdq, integer, qonnx")
    onnx.add_argument("--batch", type=int, metavar="N", help="fix the batch size")
    onnx.add_argument(
        "--opset",
        type=int,
        metavar="N",
        help="11 to 21; default: 18, or the oldest above it that will do",
    )
    parser.add_argument(
        "--input-format",
        action="append",
        default=[],
        metavar="BLOB=Qm.f",
        help="round an input as it comes in, so that the first layer gets codes",
    )
    onnx.add_argument(
        "--free-size",
        action="store_true",
        default=None,
        help="take images of any height and width, where every layer allows it",
    )
    onnx.add_argument(
        "--processor",
        choices=("any", "vnni"),
        help="of style qdq: exact on any processor (default), or int8 weights throughout: faster,"
        " and exact on x86 with AVX-512 VNNI, AVX-VNNI or AMX and on ARM; elsewhere onnxruntime"
        " needs the session option session.x64quantprecision=1",
    )
    onnx.add_argument(
        "--data",
        metavar="FILE",
        help="of style qdq: npz with one array per input blob, or npy, on which exact arithmetic"
        " counts where rounding half to even gives other codes than half away from zero; with"
        " --embed-preprocessing images as the model takes them",
    )
    onnx.add_argument("--samples", type=int, metavar="N", help="of the data (default: all)")
    onnx.add_argument(
        "--embed-preprocessing",
        action="store_true",
        help="take images; channel order, mean and scale (flags below) become part of the model",
    )
    onnx.add_argument("--image-layout", choices=("NCHW", "NHWC"), help="default NCHW")
    onnx.add_argument("--image-type", choices=("uint8", "float32"), help="default uint8")
    onnx.add_argument("--image-order", choices=("BGR", "RGB"), help="as images come in: BGR")
    nullhop = parser.add_argument_group("nullhop")
    nullhop.add_argument(
        "--pixels", metavar="FILE", help="the image, as the net takes it: .npy (C, H, W)"
    )
    nullhop.add_argument(
        "--original-semantics", action="store_true", help="with the defects of caffe2nullhop.py"
    )
    add_flags(parser, RunOptions(), *NET)
    add_input_flag(parser)
    add_preprocessing_flags(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.export.targets import export_net
    from adaption.io.npy import read_npy

    options = value_of(args, RunOptions())
    made = export_net(
        args.net,
        args.weights,
        to=args.to,
        out=args.out,
        net_options={**options.for_net(), "input_shapes": input_shapes_of(args)},
        style=args.style,
        batch=args.batch,
        opset=args.opset,
        images=_images(args),
        free_size=args.free_size,
        processor=args.processor,
        data=args.data,
        samples=args.samples,
        input_formats=dict(map(input_format_of, args.input_format)) or None,
        pixels=None if args.pixels is None else read_npy(args.pixels),
        original_semantics=args.original_semantics or None,
    )
    if args.json:
        print(json.dumps(made.to_dict(), indent=2))
        return 0
    print(made)
    if not args.quiet and made.next:
        print(f"next: adaption {shlex.join(made.next)}")
    return 0


def _images(args: argparse.Namespace) -> Any:
    """The ImageInput that the flags describe, None when no images are to go in."""
    transform = transform_of(args)
    given = {"layout": args.image_layout, "dtype": args.image_type, "order": args.image_order}
    chosen = {name: value for name, value in given.items() if value is not None}
    if not args.embed_preprocessing:
        if chosen or transform is not None:
            raise UsageError(
                "preprocessing is given, and is not to be part of the model",
                "add --embed-preprocessing, or leave those flags out",
            )
        return None
    from adaption.data import Transform
    from adaption.export.onnx.images import ImageInput

    return ImageInput(transform or Transform(), **chosen)
