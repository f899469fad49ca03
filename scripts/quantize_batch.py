"""Quantize a net in many ways and compare them: every rule at every word length.

    python scripts/quantize_batch.py deploy.prototxt net.caffemodel --data val_lmdb -o out \\
        --bits 16,8,6 --rules adaption,sqnr --mean-value 104,117,123

takes the flags of `adaption quantize`, --best, --refine, --calibration and --max-drop among them.
Each variant is one folder, out/RULE_BITS, with all files of that verb, and a log beside it; the
float net runs over the data once (out/float). A variant that is done is not run again: call the
same command to continue a batch that was stopped, or with more rules, word lengths or budgets to
add to it. A variant that was made with other flags is refused. Variants run side by side as far as
memory allows (--jobs). With --train-net each is fine-tuned on the training data of that net for
--finetune iterations, tested and exported again. With --recipe sdfp,wrpn a variant is a recipe at a
word length, written by `adaption rewrite`, which gets all flags that this script does not know; its
weights are those of the float net until it is fine-tuned. --random-weights needs no caffemodel:
anyone can try it. At the end: out/comparison.json, comparison.md and comparison.html.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# batch/ has what a variant is, and how it is made, fine-tuned and compared.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from batch.compare import compare
from batch.make import make_all, rewrite_all
from batch.progress import Progress
from batch.tune import finetune, tuning_of
from batch.variants import BUDGETS, SUMMARY, Variant, command_of

import adaption
from adaption.cli.options import add_preprocessing_flags, transform_of
from adaption.errors import AdaptionError, UsageError
from adaption.io.files import read_json


def main(argv: Sequence[str] | None = None) -> int:
    """Make what is missing, compare. Returns the exit code: 1 when a variant failed."""
    args, rest = parser().parse_known_args(argv)
    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        return run(args, rest)
    except AdaptionError as error:
        print(f"quantize_batch: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        number = stop.args[0] if stop.args else signal.SIGINT
        print("quantize_batch: interrupted; call it again to go on", file=sys.stderr)
        return 128 + int(number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end(number: int, frame: object) -> None:
    """End as Ctrl-C does, so that the children are ended, too."""
    raise KeyboardInterrupt(number)


def parser() -> argparse.ArgumentParser:
    """The batch's own flags, and those of quantize that it looks at."""
    made = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("net", type=Path, help="deploy prototxt of the float net")
    made.add_argument("weights", type=Path, nargs="?", help="its caffemodel")
    made.add_argument("--random-weights", action="store_true", help="draw weights instead")
    made.add_argument("--data", help="as of adaption quantize")
    made.add_argument("-o", "--out", type=Path, required=True, metavar="OUT")
    made.add_argument("--bits", default="16,8", help="word lengths, with commas (default 16,8)")
    made.add_argument("--rules", help="default adaption,sqnr; with --best error")
    made.add_argument("--jobs", type=int, help="variants side by side; default: as memory goes")
    made.add_argument("--limit", type=int, metavar="N", help="use the first N samples only")
    made.add_argument("--seed", type=int, default=0, help="of random numbers (default 0)")
    made.add_argument("--calibration", metavar="DATA", help="as of adaption quantize, and so are")
    made.add_argument("--calibration-root", metavar="DIR")
    made.add_argument("--calibration-limit", type=int, metavar="N")
    made.add_argument("--best", action="store_true")
    made.add_argument("--refine", action="store_true")
    for name, value in BUDGETS.items():
        made.add_argument(f"--max-{name}", metavar=value)
    made.add_argument(
        "--recipe", metavar="NAMES", help="recipes with commas, in place of --rules: sdfp,wrpn"
    )
    tune = made.add_argument_group("fine-tuning")
    tune.add_argument("--train-net", type=Path, help="train_val prototxt, with its data layers")
    tune.add_argument("--finetune", type=int, default=0, metavar="N", help="iterations")
    tune.add_argument("--finetune-lr", type=float, default=2e-5, help="default 2e-5 (Adam)")
    add_preprocessing_flags(made)
    return made


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """All steps of the batch."""
    if bool(args.weights) == args.random_weights:
        raise UsageError(
            "weights are given twice or not at all", "a caffemodel or --random-weights"
        )
    if args.finetune and not args.train_net:
        raise UsageError("--finetune is given without --train-net", "give the train_val prototxt")
    refuse_beside_recipe(args)
    args.rules = args.rules or ("error" if args.best else "adaption,sqnr")
    transform_of(args)  # refuses bad values before anything runs
    args.out.mkdir(parents=True, exist_ok=True)
    if args.random_weights:
        args.weights = args.out / "random.caffemodel"
        if not args.weights.exists():
            draw_weights(args.net, args.weights, args.seed)
    limits = {name: getattr(args, f"max_{name}") for name in BUDGETS}
    ending = "".join(f"_{name}_{most}" for name, most in limits.items() if most is not None)
    variants = [
        Variant(name, int(bits), args.out / f"{name}_{bits}{ending}", args.recipe is not None)
        for name in (args.recipe or args.rules).split(",")
        for bits in args.bits.split(",")
    ]
    missing = [v for v in variants if not v.is_done]
    for variant in variants:
        refuse_other_flags(args, rest, variant)
    if len(missing) < len(variants):
        print(f"{len(variants) - len(missing)} of {len(variants)} variants are there already")
    if args.recipe is None:
        make_all(args, rest, missing)
    elif missing:
        rewrite_all(args, rest, missing)
    done = [v for v in variants if v.is_done]
    if args.finetune:
        rest_of_them = [v for v in done if not (v.folder / "finetuned.json").exists()]
        progress = Progress(len(rest_of_them))
        for variant in rest_of_them:
            began = time.monotonic()
            finetune(args, variant)
            progress.end(variant.folder.name, "fine-tuned", time.monotonic() - began)
    compare(args.out, done)
    failed = [v.folder.name for v in variants if not v.is_done]
    for name in failed:
        print(f"failed: {name}, see {args.out / f'{name}.log'}", file=sys.stderr)
    return 1 if failed else 0


def refuse_beside_recipe(args: argparse.Namespace) -> None:
    """Raises: UsageError on flags that choose formats of quantize, where a recipe has its own."""
    names = ("rules", "best", "refine", "calibration", *(f"max_{name}" for name in BUDGETS))
    said = [f"--{name.replace('_', '-')}" for name in names if getattr(args, name)]
    if args.recipe is not None and said:
        raise UsageError(f"{', '.join(said)} beside --recipe", "leave out one of them")


def refuse_other_flags(args: argparse.Namespace, rest: list[str], variant: Variant) -> None:
    """Raises: UsageError where a variant was made, or fine-tuned, with other flags than these."""
    fix = f"call it as before, give another --out, or remove {variant.folder}"
    if variant.is_done:
        made = read_json(variant.folder / "summary.json", SUMMARY).get("command", [])
        now = command_of(args, rest, variant)[1:]
        only = [shlex.join(w for w in a if w not in b) for a, b in ((made, now), (now, made))]
        if any(only):
            facts = [f"made with {only[0]}" if only[0] else "", f"now {only[1]}" if only[1] else ""]
            raise UsageError(f"{variant.folder}: {', '.join(filter(None, facts))}", fix)
    tuned = variant.folder / "finetuned.json"
    if args.finetune and tuned.exists():
        before, these = read_json(tuned, SUMMARY).get("settings", {}), tuning_of(args)
        if before != these:
            raise UsageError(f"{variant.folder}: fine-tuned with {before}, now {these}", fix)


def draw_weights(net: Path, out: Path, seed: int) -> None:
    """Weights that keep the scale of what flows through ReLU layers (He et al. 2015)."""
    made = adaption.Net(net, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for node in made.nodes:
        if node.layer.writes_blobs or not node.blobs:
            continue
        for blob in node.blobs:
            if len(blob.shape) > 1:
                values = torch.randn(blob.shape, generator=generator)
                blob.set(values * (2 * blob.shape[0] / blob.count) ** 0.5)
    made.save(out)


if __name__ == "__main__":
    sys.exit(main())
