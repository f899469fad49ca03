"""Give damaged and odd inputs to everything that reads files, and report what is not one message.

    python scripts/fuzz.py                       # a few hundred of each format
    python scripts/fuzz.py lmdb onnx --count 5000 --seed 3
    python scripts/fuzz.py --long                # 10^6 of each cheap format, 10^5 of each dear one
    python scripts/fuzz.py --case prototxt:0:1234 --keep /tmp/case    # one of them again

Inputs are made of whole files (the project's own, and those of ../shared where it is there) by
damage that knows their structure, always the same for a seed. Each is read in a child process with
limits of time and memory, as the verbs do it. It has to be accepted, or refused with an
AdaptionError of one fact and one fix without control characters; anything else is a fault: another
exception, a process that ends, an input that takes 10 s of a core, 60 s in all, or 2 GiB.

--long takes days: the formats take turns, 5,000 or 50,000 inputs at a time, and each turn prints
how far its format is. Stop it with Ctrl-C and continue with --start.

Exit code: 0 without a fault, 1 with one, 2 for a wrong command.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from fuzzing.corpus import Corpus  # noqa: E402
from fuzzing.formats import FORMATS  # noqa: E402
from fuzzing.runner import Result, fuzz, run_one  # noqa: E402

SHORT = 300
LONG = {True: 1_000_000, False: 100_000}  # by whether a format is cheap
PART = {True: 50_000, False: 5_000}  # the same way: inputs before it is the next format's turn
HEAD = f"{'format':16} {'inputs':>9} {'accepted':>9} {'refused':>9} {'faults':>7} {'seconds':>8}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--count", type=int, help=f"inputs of each format (default {SHORT})")
    parser.add_argument("--long", action="store_true", help="10^6 of cheap formats, 10^5 of others")
    parser.add_argument("--seed", type=int, default=0, help="other inputs (default 0)")
    parser.add_argument("--start", type=int, default=0, help="number of the first input")
    parser.add_argument("--own", action="store_true", help="leave ../shared out")
    parser.add_argument("--json", metavar="FILE", help="append a line per part")
    parser.add_argument(
        "--case", metavar="FORMAT:SEED:NUMBER", help="one input, with its traceback"
    )
    parser.add_argument("--keep", metavar="DIR", help="folder for the inputs of faults")
    args = parser.parse_args()
    unknown = [name for name in args.formats if name not in FORMATS]
    if unknown:
        parser.error(f"no such format: {', '.join(unknown)}; known: {', '.join(FORMATS)}")
    if args.case:
        return _one(args.case, args.keep, not args.own)
    names = []
    for name in args.formats or list(FORMATS):
        if FORMATS[name].is_possible:
            names.append(name)
        else:
            print(f"{name:16} left out: needs the package {FORMATS[name].needs}")
    wanted = {
        name: args.count or (LONG[FORMATS[name].is_cheap] if args.long else SHORT) for name in names
    }
    totals = {name: Result(name) for name in names}
    corpus = Corpus(shared=not args.own)
    print(HEAD)
    try:
        for turn in count() if names else ():  # in turn: a run that is stopped has tried all
            parts = {name: PART[FORMATS[name].is_cheap] for name in names}
            left = {name: wanted[name] - turn * part for name, part in parts.items()}
            if max(left.values()) <= 0:
                break
            for name, part in parts.items():
                _part(totals[name], turn * part, min(part, left[name]), corpus, args)
    except KeyboardInterrupt:
        print("stopped; so far:")
        for name in names:
            _show(totals[name], args)
    faults = sum(sum(result.faults.values()) for result in totals.values())
    print("no faults" if not faults else f"{faults} faults")
    return 1 if faults else 0


def _part(total: Result, start: int, size: int, corpus: Corpus, args: argparse.Namespace) -> None:
    """Try some inputs of a format, and report how far it has come."""
    if size <= 0:
        return
    # A fresh process has no threads, which must not be forked, and forgets what formats keep.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        first = args.start + start
        part = pool.submit(fuzz, total.name, size, args.seed, first, corpus).result()
    total.tried += part.tried
    total.accepted += part.accepted
    total.refused += part.refused
    total.seconds += part.seconds
    for fault, times in part.faults.items():
        total.add(fault, part.examples[fault], times)
    _show(total, args)
    if args.json:
        line = {**vars(part), "faults": dict(part.faults), "seed": args.seed, "start": first}
        with Path(args.json).open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")


def _show(result: Result, args: argparse.Namespace) -> None:
    faults = sum(result.faults.values())
    print(
        f"{result.name:16} {result.tried:9} {result.accepted:9} {result.refused:9} {faults:7}"
        f" {result.seconds:8.0f}"
    )
    for fault, times in result.faults.most_common():
        number = result.examples[fault]
        print(f"    {times} x {fault}  (--case {result.name}:{args.seed}:{number})")
        if args.keep:
            _keep(result.name, args.seed, number, Path(args.keep), not args.own)
    sys.stdout.flush()


def _keep(name: str, seed: int, number: int, folder: Path, shared: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    chosen = FORMATS[name]
    chosen.prepare(Corpus(shared=shared))
    (folder / f"{name}-{seed}-{number}-{chosen.file}").write_bytes(chosen.input(number, seed))


def _one(case: str, keep: str | None, shared: bool) -> int:
    """Run one input in this process."""
    import tempfile
    import traceback

    name, seed, number = case.rsplit(":", 2)
    chosen = FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        chosen.prepare(Corpus(shared=shared))
        content = chosen.input(int(number), int(seed))
        if keep:
            _keep(name, int(seed), int(number), Path(keep), shared)
        print(repr(content[:3000]))
        os.environ["ADAPTION_MEMORY_LIMIT"] = "64M"
        Path(chosen.file).write_bytes(content)
        try:
            chosen.run(Path(chosen.file))
            print("accepted")
        except BaseException:
            traceback.print_exc()
        fault = run_one(name, int(number), int(seed))
        os.chdir("/")
    print({None: "refused", "": "accepted"}.get(fault, fault))
    return 1 if fault else 0


if __name__ == "__main__":
    raise SystemExit(main())
