"""Set precisions in a prototxt, in place: by layer name or pattern, or from a proposal (plan.json).
Only the lines that change are touched, comments stay. `--dry-run` shows the change as a diff and
writes nothing.

LAYER:POINT=VALUE: LAYER is a name, a pattern, or `all` for what is low precision already; POINT and
VALUE are weight, bias or activation and Qm.f or float; rounding and deterministic, stochastic or
half-even; round_bias and true or false.
"""

from __future__ import annotations

import argparse
import json
import shlex

from adaption.cli.options import add_output_flags
from adaption.errors import one_line

HELP = "set precisions in a prototxt, in place"
EXAMPLE = (
    "  adaption edit net_lp.prototxt 'conv*:weight=Q2.14' fc6:activation=Q5.11 \\\n"
    "      all:rounding=stochastic --dry-run"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt to edit")
    parser.add_argument("changes", nargs="*", metavar="LAYER:POINT=VALUE", help="see above")
    parser.add_argument("--plan", metavar="FILE", help="plan.json with formats to set first")
    parser.add_argument(
        "--import-names",
        default="sign-included",
        choices=("sign-included", "sign-excluded"),
        help="sign-excluded: the file is from before bd counted the sign bit (LP_VGG16_5_10...):"
        " every bd is raised by one, and 5_10 as a VALUE means Q6.10",
    )
    parser.add_argument(
        "--mend-roi-scale",
        action="store_true",
        help="set spatial_scale of ROIPooling right where it is ten times what it should be, as in"
        " ADaPTION's Faster R-CNN training nets (0.625)",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the diff, write nothing")
    parser.add_argument("-o", "--out", metavar="FILE", help="write here instead of in place")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from adaption.errors import UsageError
    from adaption.precision.edit import edit_file

    given = args.changes or args.plan or args.mend_roi_scale
    if not given and args.import_names == "sign-included":
        raise UsageError(
            "nothing to change is given",
            "for example: adaption edit net_lp.prototxt 'conv*:weight=Q2.14' fc6:activation=Q5.11",
        )
    made = edit_file(
        args.net,
        args.changes,
        plan=args.plan,
        import_names=args.import_names,
        mend_roi_scale=args.mend_roi_scale,
        out=args.out,
        dry_run=args.dry_run,
    )
    file = args.net if args.out is None else args.out
    written = not args.dry_run and (bool(made.changes) or args.out is not None)
    if args.json:
        changes = [asdict(change) for change in made.changes]
        print(json.dumps({"file": file if written else None, "changes": changes,
                          "diff": made.diff}, indent=2))  # fmt: skip
        return 0
    if args.dry_run:
        print(made.diff, end="")
    elif not args.quiet:
        print("\n".join(map(one_line, made.changes)) or "nothing to change: it says so already")
    if not args.quiet and written:
        print(f"written: {file}\nnext: adaption inspect {shlex.quote(file)}")
    return 0
