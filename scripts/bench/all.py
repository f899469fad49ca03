"""Times and memory beside their targets, and beside the peers that are installed.

    python scripts/bench/all.py [--quick] [--only ROW ...] [--json FILE] [--against FILE]
                                [--markdown FILE] [--threads N] [--net NET[=WEIGHTS] ...]
    python scripts/bench/all.py --show FILE ... [--markdown FILE] [--against FILE]

Prints one table: our figure, the peer that it is compared with, the ratio (median, quartiles in
brackets, of rounds in which both sides took turns), the target, and further peers as ratios to the
same base. Peers are onnxruntime, OpenCV 4, eager torch, torch's fake_quantize, Brevitas and
protobuf; one that is missing is named as not installed, a row that lacks its data as skipped.
`--json` keeps the figures, `--against` prints what changed since such a file was written, and
`--show` prints files again, several as one table (rows that were measured apart).

Published models and data are looked for in $ADAPTION_SHARED or ../shared (`--material`). The nets
of "float", "low", "int8" and "measure" are those of models/ with random weights, or those of --net.
A row that fails is named with its error, and the exit code is 1; the others are still measured.
`--quick` takes less than three minutes: it leaves out VGG16 and ResNet-50, and has few rounds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

import torch
from figures import Figure, Run, changes, facts_of, join, table
from nets import ROOT
from turns import Settings

# The rows by the module that measures them, in the order of the table.
MODULES = ("main_job", "open_weights", "inference", "qat_step", "points_step", "measure",
           "verbs", "c_program")  # fmt: skip
ROWS = {row: module for module in MODULES for row in import_module(module).ROWS}


def main(arguments: list[str] | None = None) -> int:
    """Measure, or show what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = os.environ.get("ADAPTION_SHARED", ROOT.parent / "shared")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW",
                        help=f"rows to measure: {', '.join(ROWS)}")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="under three minutes")
    parser.add_argument("--rounds", type=int, help="rounds that count (default: by row)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--net", nargs="+", default=[], metavar="NET[=WEIGHTS]")
    parser.add_argument("--material", type=Path, default=Path(shared), metavar="FOLDER")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="keep the table")
    parser.add_argument("--against", type=Path, metavar="FILE", help="print what changed since")
    parser.add_argument("--show", type=Path, nargs="+", metavar="FILE", help="measure nothing")
    args = parser.parse_args(arguments)
    try:
        before = Run.load(args.against) if args.against else None
        run = shown(args.show) if args.show else measured(args)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = f"{run.heading()}\n\n{table(run.figures)}"
    print(text)
    if args.json and args.show:
        run.save(args.json)
    if args.markdown:
        args.markdown.write_text(text + "\n")
    if before is not None:
        print(f"\nagainst {args.against}, of {before.facts['date']}:\n{changes(before, run)}")
    return 1 if any(figure.is_failed for figure in run.figures) else 0


def shown(paths: Sequence[Path]) -> Run:
    """What was measured before, as one run. Raises: ValueError where it does not go together."""
    run = join([Run.load(path) for path in paths])
    return Run(run.facts, []).with_figures(run.figures, order=list(ROWS))


def measured(args: argparse.Namespace) -> Run:
    """The rows of --only, each module's in one go; --json has what is there after each."""
    torch.set_num_threads(args.threads)
    # What starts as a process of its own takes as many threads.
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    # Commands shall start as they do when installed: from compiled files.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    run = Run(facts_of(args.threads, args.quick), [])
    for module in dict.fromkeys(ROWS[row] for row in ROWS if row in args.only):
        rows = tuple(row for row in ROWS if row in args.only and ROWS[row] == module)
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(
                args.threads,
                args.quick,
                args.material.resolve(),
                tuple(args.net),
                Path(folder),
                args.rounds,
            )
            begin = time.perf_counter()
            found = list(announced(import_module(module).figures(settings, rows), rows))
            print(f"{module}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
        run = run.with_figures(found, order=list(ROWS))
        if args.json:
            run.save(args.json)
    return run


def announced(figures: Iterable[Figure], rows: Sequence[str]) -> Iterator[Figure]:
    """Each figure, with a line on stderr; for an error a figure in each of `rows`."""
    try:
        for figure in figures:
            said = figure.note if figure.value is None else f"{figure.value.median:.4g}"
            print(f"{figure.row}: {figure.what}: {said}", file=sys.stderr, flush=True)
            yield figure
    except Exception as error:  # of a peer or a file: the table names it
        traceback.print_exc()
        first = str(error).strip().partition("\n")[0]
        for row in rows:
            yield Figure.failed(row, f"{type(error).__name__}: {first}")


if __name__ == "__main__":
    sys.exit(main())
