"""Change the scale of a net's inputs together with its biases (and the statistics of batch norm),
so that it computes the same on inputs times FACTOR: scores come out times FACTOR, behind batch norm
they stay. Refuses nets with layers that cannot hand a scale on (LRN, Sigmoid, ...), naming them.
"""

from __future__ import annotations

import argparse
import json
import shlex

from adaption.cli.options import add_output_flags
from adaption.errors import one_line

HELP = "change the scale of a net's inputs and its biases together"
EXAMPLE = (
    "  adaption rescale deploy.prototxt vgg16.caffemodel --factor 0.00392156862745 \\\n"
    "      -o deploy_1.prototxt --weights-out vgg16_1.caffemodel"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt of a float net")
    parser.add_argument("weights", help="its caffemodel")
    parser.add_argument(
        "--factor", type=float, required=True, help="that inputs will be multiplied by, e.g. 1/255"
    )
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="prototxt to write")
    parser.add_argument("--weights-out", required=True, metavar="FILE", help="caffemodel to write")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="BLOB",
        help="blob that is scaled (may be given several times; default: all that hold images)",
    )
    parser.add_argument(
        "--allow", action="store_true", help="go on in spite of layers that change their results"
    )
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.io.atomic import together
    from adaption.io.caffemodel import write_weights
    from adaption.io.netfile import write_net
    from adaption.io.outputs import keep_inputs
    from adaption.precision.rescale import rescale

    made = rescale(args.net, args.weights, args.factor, inputs=args.input, allow=args.allow)
    keep_inputs([args.out, args.weights_out], [args.net, args.weights])
    with together():
        write_net(made.net, args.out)
        write_weights(args.weights_out, made.weights, name=made.net.message.name)
    if args.json:
        shown = {"factor": made.factor, "changed": made.changed, "notes": made.notes}
        print(json.dumps({**shown, "files": [args.out, args.weights_out]}, indent=2))
        return 0
    for name, what in made.changed.items():
        print(one_line(f"{name}: {what}"))
    for note in made.notes:
        print(f"note: {one_line(note)}")
    if not args.quiet:
        print(f"next: adaption inspect {shlex.join([args.out, args.weights_out])}")
    return 0
