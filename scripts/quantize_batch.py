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
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import adaption
from adaption.cli.options import add_preprocessing_flags, transform_of
from adaption.errors import AdaptionError, UsageError
from adaption.io.atomic import atomic_write
from adaption.io.files import read_json
from adaption.job.score import DataScore
from adaption.options.recipes import known_recipe_options
from adaption.precision.proposal import Proposal
from adaption.report.comparison import comparison_grid, write_comparison
from adaption.report.format import duration

SOLVER = """net: "{net}"
type: "Adam" base_lr: {rate} momentum: 0.9 momentum2: 0.999 lr_policy: "fixed"
max_iter: {iterations} display: {display} snapshot: {snapshot}
snapshot_prefix: "{prefix}" random_seed: 1
"""

BUDGETS = {"drop": "POINTS", "size": "BYTES", "macbits": "N"}  # --max-drop, ...
SUMMARY = "the results of a variant"  # in errors
PULSE_S = 30.0  # after so long without a line, print how far the variants are


@dataclass(frozen=True)
class Variant:
    """One rule, or recipe, at one word length."""

    rule: str
    bits: int
    folder: Path
    is_recipe: bool = False

    @property
    def is_done(self) -> bool:
        return (self.folder / "summary.json").exists()


Running = list[tuple[Variant, "subprocess.Popen[bytes]"]]


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


def tuning_of(args: argparse.Namespace) -> dict[str, Any]:
    """What a fine-tuned variant depends on."""
    return {
        "iterations": args.finetune,
        "rate": args.finetune_lr,
        "train_net": str(args.train_net),
    }


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


def make_all(args: argparse.Namespace, rest: list[str], missing: list[Variant]) -> None:
    """Quantize: the first variant alone, since it makes the reference, the others side by side."""
    alone = not (args.out / "float" / "run.npz").exists()
    progress = Progress(len(missing))
    running: Running = []
    try:
        for number, variant in enumerate(missing):
            jobs = 1 if alone and number < 2 else args.jobs or jobs_by_memory(args.weights)
            while len(running) >= jobs:
                running = wait(running, progress)
            progress.say(f"{variant.folder.name}: quantizing ({number + 1} of {len(missing)})")
            running.append((variant, start(args, rest, variant)))
        while running:
            running = wait(running, progress)
    finally:
        for _, process in running:
            process.terminate()
        for _, process in running:
            process.wait()


class Progress:
    """Lines about how far the batch is."""

    def __init__(self, count: int) -> None:
        self.count = self.left = count
        self.started: dict[Path, float] = {}
        self.began = self.spoke = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)
        self.spoke = time.monotonic()

    def end(self, name: str, how: str, seconds: float) -> None:
        """Say how a variant ended, how fast they come, and when the last one will."""
        self.left -= 1
        each = (time.monotonic() - self.began) / (self.count - self.left)
        rest = f"{self.left} left"
        if self.left:
            rest += f", {3600 / each:.3g} variants/h, about {duration(each * self.left)} more"
        self.say(f"{name}: {how}, {duration(seconds)}, {rest}")

    def pulse(self, running: Sequence[Variant]) -> None:
        """Once in a while: the last line of each log."""
        if time.monotonic() - self.spoke >= PULSE_S:
            for variant in running:
                self.say(f"{variant.folder.name}: {last_line(log_of(variant)) or 'starting'}")


def log_of(variant: Variant) -> Path:
    """The output of its process."""
    return variant.folder.with_name(f"{variant.folder.name}.log")


def last_line(path: Path) -> str:
    """Of a log that is being written; "" while it is empty."""
    lines = path.read_text("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def wait(running: Running, progress: Progress) -> Running:
    """A moment of waiting; returns what still runs, and says what has ended."""
    time.sleep(0.2)
    left = []
    for variant, process in running:
        began = progress.started.setdefault(variant.folder, time.monotonic())
        code = process.poll()
        if code is None:
            left.append((variant, process))
            continue
        words = {0: "done", 1: "done, but a check of the proof failed"}
        how = words.get(code, f"failed with exit code {code}")
        progress.end(variant.folder.name, how, time.monotonic() - began)
    progress.pulse([variant for variant, _ in left])
    return left


def command_of(args: argparse.Namespace, rest: list[str], variant: Variant) -> list[str]:
    """The words that make one variant, from `python -m adaption` on."""
    if variant.is_recipe:
        return [*recipe_command(args, variant), *rest]
    command = ["-m", "adaption", "quantize", str(args.net), str(args.weights)]
    command += [f"--bits={variant.bits}", f"--rule={variant.rule}", f"--seed={args.seed}"]
    command += [f"--reference={args.out / 'float'}", f"--out={variant.folder}"]
    return [*command, *given(args), *rest]


def start(args: argparse.Namespace, rest: list[str], variant: Variant) -> subprocess.Popen[bytes]:
    """`adaption quantize` for one variant, its output in a log beside the folder."""
    command = [sys.executable, *command_of(args, rest, variant)]
    with log_of(variant).open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def rewrite_all(args: argparse.Namespace, rest: list[str], missing: list[Variant]) -> None:
    """Write the formats of each recipe, and score the net with them and in float."""
    print("the float net: testing", flush=True)
    full = scored(args, args.net, args.weights)
    progress = Progress(len(missing))
    for number, variant in enumerate(missing):
        name = variant.folder.name
        print(f"{name}: rewriting and testing ({number + 1} of {len(missing)})", flush=True)
        began = time.monotonic()
        variant.folder.mkdir(parents=True, exist_ok=True)
        low = variant.folder / "net_lp.prototxt"
        command = command_of(args, rest, variant)
        with log_of(variant).open("wb") as log:
            code = subprocess.call([sys.executable, *command], stdout=log, stderr=subprocess.STDOUT)
        if code:
            progress.end(name, f"failed with exit code {code}", time.monotonic() - began)
            continue
        score = scored(args, low, args.weights)
        summary = {
            "net": score.net,
            "accuracy": {"float": full.accuracy, "quantized": score.accuracy},
            "command": command[1:],
            "seconds": time.monotonic() - began,
        }
        with atomic_write(variant.folder / "summary.json", "w") as out:
            json.dump(summary, out, indent=2)
        progress.end(name, "done", time.monotonic() - began)


def scored(args: argparse.Namespace, net: Path, weights: Path) -> DataScore:
    """A net on the data of the batch."""
    transform = transform_of(args)
    more = {"root": args.root, "limit": args.limit, "seed": args.seed}
    return adaption.score(net, weights, args.data, transform=transform, **more)


def recipe_command(args: argparse.Namespace, variant: Variant) -> list[str]:
    """`adaption rewrite --recipe` for one variant, and for its train net."""
    low = variant.folder / "net_lp.prototxt"
    command = ["-m", "adaption", "rewrite", str(args.net), "-o", str(low)]
    command += ["--recipe", variant.rule]
    table = known_recipe_options()
    fields = table[variant.rule].declared() if variant.rule in table else {}
    for field in fields:  # of one word length, or one for weights and one for results
        if field == "bits" or field.endswith("_bits"):
            command.append(f"--{field.replace('_', '-')}={variant.bits}")
    if args.train_net:
        command += ["--also", str(args.train_net), str(variant.folder / "train_lp.prototxt")]
    return command


def given(args: argparse.Namespace) -> Iterator[str]:
    """The flags of quantize that this script reads, too."""
    of_data = ("data", "root", "limit", "calibration", "calibration_root", "calibration_limit")
    of_images = ("resize", "channel_order", "crop", "mean_value", "mean_file", "scale")
    for name in (*of_data, *of_images, *(f"max_{name}" for name in BUDGETS)):
        if getattr(args, name) is not None:
            yield f"--{name.replace('_', '-')}={getattr(args, name)}"
    for name in ("mirror", "random_crop", "best", "refine"):
        if getattr(args, name):
            yield f"--{name.replace('_', '-')}"


def jobs_by_memory(weights: Path) -> int:
    """One variant needs about six times its weights, and room for batches; a core each at most."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 1
    need = 6 * weights.stat().st_size + (1 << 30)
    return max(1, min(os.cpu_count() or 1, int(free * 0.8 // need)))


def finetune(args: argparse.Namespace, variant: Variant) -> None:
    """Train a variant on from its rounded weights, test and export it; resumes by itself."""
    folder = variant.folder
    result = folder / "finetuned.json"
    prefix = folder / "finetuned"
    tuned = Path(f"{prefix}_iter_{args.finetune}.caffemodel")
    if not tuned.exists():
        solver = tuning_solver(args, variant, prefix)
        print(f"{folder.name}: fine-tuning for {args.finetune} iterations", flush=True)
        states = sorted(
            folder.glob("finetuned_iter_*.solverstate"), key=lambda p: p.stat().st_mtime
        )
        # A recipe writes no weights of its own.
        start = args.weights if variant.is_recipe else folder / "net_lp.caffemodel"
        ends = adaption.train(
            solver,
            weights=None if states else start,
            snapshot=states[-1] if states else None,
            log_json=folder / "finetuned.jsonl",
        )
        if ends.stopped:
            raise KeyboardInterrupt
    accuracy = None
    if read_json(folder / "summary.json", SUMMARY)["accuracy"]:  # else no labels
        accuracy = dict(scored(args, folder / "net_lp.prototxt", tuned).accuracy)
    if not variant.is_recipe:  # formats that move need `adaption freeze` before an export
        low = adaption.Net(folder / "net_lp.prototxt", tuned)
        adaption.export_onnx(low, folder / "finetuned.onnx")
    with atomic_write(result, "w") as out:
        json.dump(
            {"iterations": args.finetune, "settings": tuning_of(args), "accuracy": accuracy},
            out,
            indent=2,
        )


def tuning_solver(args: argparse.Namespace, variant: Variant, prefix: Path) -> Path:
    """Writes the low-precision train net and its solver; returns the solver's path."""
    net = variant.folder / "train_lp.prototxt"
    if not variant.is_recipe:  # `rewrite --also` has written that of a recipe
        proposal = Proposal.load(variant.folder / "plan.json")
        adaption.write_net(adaption.rewrite(args.train_net, proposal, partly=True), net)
    solver = variant.folder / "finetune.prototxt"
    text = SOLVER.format(
        net=net,
        rate=args.finetune_lr,
        iterations=args.finetune,
        display=max(1, args.finetune // 20),
        snapshot=max(1, args.finetune // 4),
        prefix=prefix,
    )
    with atomic_write(solver, "w") as out:
        out.write(text)
    return solver


def compare(out: Path, variants: Sequence[Variant]) -> None:
    """Write and print the comparison of what is there."""
    rows = [facts(v) for v in variants]
    with atomic_write(out / "comparison.json", "w") as file:
        json.dump(rows, file, indent=2)
    grid = comparison_grid(rows)
    lines = [grid.columns, ["---"] * len(grid.columns), *grid.rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    with atomic_write(out / "comparison.md", "w") as file:
        file.write(table + "\n")
    write_comparison(rows, out / "comparison.html", rows[0]["net"] if rows else "net")
    print(table)
    print(f"report: {out / 'comparison.html'}")


def facts(variant: Variant) -> dict[str, Any]:
    """One row of the comparison, from what the variant's folder holds."""
    summary = json.loads((variant.folder / "summary.json").read_text("utf-8"))
    accuracy = summary["accuracy"] or {"float": {}, "quantized": {}}
    low, full = accuracy["quantized"], accuracy["float"]
    flips, sparsity = summary.get("flipped_predictions"), summary.get("sparsity", {})
    sqnr = [v for v in summary.get("output_sqnr_db", {}).values() if v is not None]
    checks = summary.get("verification")
    tuned: dict[str, Any] = {}
    if (variant.folder / "finetuned.json").exists():
        tuned = json.loads((variant.folder / "finetuned.json").read_text("utf-8"))["accuracy"] or {}
    return {
        "net": summary["net"],
        "rule": variant.rule,
        "bits": variant.bits,
        "Top-1": low.get("top1"),
        "change": low["top1"] - full["top1"] if low else None,
        "Top-5": low.get("top5"),
        "flipped": flips["share"] if flips else None,
        "output SQNR": min(sqnr, default=None),
        "zero weights": sparsity.get("weights_after"),
        "zero inputs": sparsity.get("activations_after"),
        "verified": None if checks is None else all(check["ok"] for check in checks),
        "fine-tuned Top-1": tuned.get("top1"),
        "fine-tuned Top-5": tuned.get("top5"),
        "float Top-1": full.get("top1"),
        "float Top-5": full.get("top5"),
        "float zero weights": sparsity.get("weights_before"),
        "float zero inputs": sparsity.get("activations_before"),
        "folder": variant.folder.name,
        "seconds": summary["seconds"],
    }


if __name__ == "__main__":
    sys.exit(main())
