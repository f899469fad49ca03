"""Write a wider version of a net: every weight layer but the last ones gets F times the filters.

num_output becomes F * num_output, rounded half to even, then rounded to the nearest multiple of the
layer's groups, the groups of each layer that reads it, and --multiple-of. Last layers, behind which
no weight layer reads their channels, keep theirs. Depthwise layers, shared parameters, sums, slices
and reshapes follow; a net in which something cannot follow is refused, with the layer and the
reason. Only the lines that change are touched. A wider net starts from random weights.
"""

from __future__ import annotations

import argparse
import json
import shlex

from adaption.cli.options import (
    add_also_flag,
    add_input_flag,
    add_output_flags,
    also_of,
    input_shapes_of,
)

HELP = "a wider version of a net: more filters in every layer but the last"
EXAMPLE = (
    "  adaption widen deploy.prototxt -o wide.prototxt --factor 2 \\\n"
    "      --also train_val.prototxt train_val_wide.prototxt --solver solver.prototxt"
    " solver_wide.prototxt"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt to widen (deploy or train_val)")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="prototxt to write")
    parser.add_argument(
        "--factor", required=True, metavar="F", help="how much wider: 2, 1.5, 1.3, 3/2, ..."
    )
    parser.add_argument(
        "--widen-first",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also widen the layers that read the net's input (default)",
    )
    parser.add_argument(
        "--project",
        action="store_true",
        help="with --no-widen-first: where a first layer is added to wider channels, put a 1 x 1"
        " convolution in between, with batch norm and scale where the branch beside it has them",
    )
    parser.add_argument(
        "--multiple-of",
        type=int,
        default=1,
        metavar="N",
        help="every width that changes becomes a multiple of N",
    )
    add_also_flag(parser, "widened in step")
    parser.add_argument(
        "--solver",
        nargs=2,
        metavar=("SOLVER", "OUT"),
        help="a solver of these nets, written so that it names the wider ones",
    )
    add_input_flag(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.precision.widen import widen
    from adaption.report.widened import layers_table

    made = widen(
        args.net,
        args.out,
        factor=args.factor,
        widen_first=args.widen_first,
        project=args.project,
        multiple_of=args.multiple_of,
        also=also_of(args),
        solver=None if args.solver is None else (args.solver[0], args.solver[1]),
        inputs=input_shapes_of(args),
    )
    if args.json:
        print(json.dumps(made.to_dict(), indent=2))
        return 0
    print(layers_table(made))
    for note in made.notes:
        print(f"note: {note}")
    if not args.quiet:
        print("\n".join(f"written: {path}" for path in made.files))
        hint = ["adaption", "cost", args.out, "--against", args.net]
        if args.solver is not None:
            hint = ["adaption", "train", "--solver", args.solver[1]]
        print(f"next: {shlex.join(hint)}")
    return 0
