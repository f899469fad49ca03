"""Make a prototxt of a net descriptor in ADaPTION's names and layout: conv_lp_1, act_lp_2, ...
in a file called LP_NAME_16_bit_train.prototxt. The strings: docs/reference/descriptors.md.
"""

from __future__ import annotations

import argparse
import json
import shlex
from typing import TYPE_CHECKING

from adaption.cli.options import add_output_flags
from adaption.options.formats import ROUNDING_WORDS, of_weights, rounding_named

if TYPE_CHECKING:
    from adaption.numerics import FixedPoint

HELP = "make a prototxt of a net descriptor, in ADaPTION's names and layout"
EXAMPLE = (
    "  adaption create LeNet 20C5S1 A 2P2 50C5S1 A 2P2 500F A ReLU 10F Accuracy loss \\\n"
    "      --weight Q2.6 --activation Q4.4,Q5.3,Q6.2 -o ."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name of the net")
    parser.add_argument("descriptor", nargs="*", help="its strings: 64C3S1p1 A ReLU 2P2 ...")
    parser.add_argument("--file", metavar="FILE", help="read them from a JSON list instead")
    parser.add_argument("-o", "--out", required=True, metavar="PATH", help="folder, or file")
    parser.add_argument(
        "--mode",
        default="train",
        choices=("train", "deploy", "vis"),
        help="train: fillers; deploy, vis: for testing and drawing (default train)",
    )
    parser.add_argument(
        "--weight", metavar="Q[,Q...]", help="Qm.f of all weights, or one per layer; none: float"
    )
    parser.add_argument(
        "--activation", metavar="Q[,Q...]", help="Qm.f of all results (default: the weights')"
    )
    parser.add_argument(
        "--rounding",
        default="deterministic",
        metavar=f"{{{','.join(ROUNDING_WORDS)}}}",
        help="ties away from zero (default), at random, or results to even, as ONNX rounds",
    )
    parser.add_argument("--round-bias", action="store_true", help="round biases, too")
    parser.add_argument("--filler", default="xavier", choices=("xavier", "gaussian"))
    parser.add_argument("--no-scale", action="store_true", help="do not scale pixels by 1/255")
    parser.add_argument(
        "--header-folder", metavar="DIR", help="where header.prototxt, header_deploy.prototxt are"
    )
    parser.add_argument(
        "--original-semantics", action="store_true", help="with the defects of the original"
    )
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from adaption.io.atomic import atomic_write
    from adaption.io.kinds import is_folder
    from adaption.io.outputs import keep_inputs
    from adaption.precision.original.create import create

    rounding = rounding_named(args.rounding)
    weights = _formats(args.weight, of_weights(rounding))
    made = create(
        args.name,
        _descriptor(args),
        weights,
        _formats(args.activation or args.weight, rounding)[: None if args.activation else 1],
        mode=args.mode,
        lp=bool(weights),
        scale=not args.no_scale,
        filler=args.filler,
        round_bias=args.round_bias,
        header_folder=args.header_folder,
        original_semantics=args.original_semantics,
    )
    path = Path(args.out)
    path = path / made.file_name if is_folder(path) else path
    keep_inputs([path], [args.file])
    with atomic_write(path, "w") as file:
        file.write(made.text)
    if args.json:
        print(json.dumps({"file": str(path)}))
    elif not args.quiet:
        print(f"written: {path}\nnext: adaption inspect {shlex.quote(str(path))}")
    return 0


def _descriptor(args: argparse.Namespace) -> list[str]:
    from adaption.errors import FileFormatError, UsageError
    from adaption.io.files import read_json

    if bool(args.descriptor) == (args.file is not None):
        raise UsageError(
            "the descriptor comes from the command line or from --file, exactly one",
            "write 64C3S1p1 A ReLU ... behind the name, or --file descriptor.json",
        )
    if args.file is None:
        return list(args.descriptor)
    values = read_json(args.file, "a descriptor")
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise FileFormatError("is no descriptor", "write one with adaption extract NET -o FILE").at(
            file=args.file
        )
    return values


def _formats(text: str | None, rounding: str) -> list[FixedPoint]:
    from adaption.numerics import FixedPoint

    if text is None:
        return []
    return [FixedPoint.q(part, rounding) for part in text.split(",")]
