"""Quantize a net in many ways and compare them: every rule at every word length.

    python scripts/quantize_batch.py deploy.prototxt net.caffemodel --data val_lmdb -o out \\
        --bits 16,8,6 --rules adaption,sqnr --mean-value 104,117,123

takes the flags of `adaption quantize`. Each variant is one folder, out/RULE_BITS, with everything
that verb makes; the float net runs over the data once (out/float). What is done is not done again,
so a batch that was stopped goes on when it is called again. Variants run side by side as far as
memory goes (--jobs). With --train-net each is fine-tuned on the training data of that net for
--finetune iterations, tested and exported again. --random-weights needs no caffemodel: anyone can
try it. At the end: out/comparison.json, comparison.md and comparison.html.
"""

from __future__ import annotations

import argparse
import json
import os
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
from adaption.precision.proposal import Proposal
from adaption.report.comparison import comparison_grid, write_comparison

SOLVER = """net: "{net}"
type: "Adam" base_lr: {rate} momentum: 0.9 momentum2: 0.999 lr_policy: "fixed"
max_iter: {iterations} display: {display} snapshot: {snapshot}
snapshot_prefix: "{prefix}" random_seed: 1
"""


@dataclass(frozen=True)
class Variant:
    """One rule at one word length."""

    rule: str
    bits: int
    folder: Path

    @property
    def is_done(self) -> bool:
        return (self.folder / "summary.json").exists()


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
    args.rules = args.rules or ("error" if args.best else "adaption,sqnr")
    transform_of(args)  # refuses bad values before anything runs
    args.out.mkdir(parents=True, exist_ok=True)
    if args.random_weights:
        args.weights = args.out / "random.caffemodel"
        if not args.weights.exists():
            draw_weights(args.net, args.weights, args.seed)
    variants = [
        Variant(rule, int(bits), args.out / f"{rule}_{bits}")
        for rule in args.rules.split(",")
        for bits in args.bits.split(",")
    ]
    make_all(args, rest, [v for v in variants if not v.is_done])
    done = [v for v in variants if v.is_done]
    if args.finetune:
        for variant in done:
            finetune(args, variant)
    compare(args.out, done)
    failed = [v.folder.name for v in variants if not v.is_done]
    for name in failed:
        print(f"failed: {name}, see {args.out / f'{name}.log'}", file=sys.stderr)
    return 1 if failed else 0


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
    running: list[tuple[Variant, subprocess.Popen[bytes]]] = []
    try:
        for number, variant in enumerate(missing):
            jobs = 1 if alone and number < 2 else args.jobs or jobs_by_memory(args.weights)
            while len(running) >= jobs:
                running = [(v, p) for v, p in running if not ended(v, p)]
                time.sleep(0.2)
            print(f"{variant.folder.name}: quantizing", flush=True)
            running.append((variant, start(args, rest, variant)))
        for variant, process in running:
            process.wait()
            ended(variant, process)
    finally:
        for _, process in running:
            process.terminate()
        for _, process in running:
            process.wait()


def start(args: argparse.Namespace, rest: list[str], variant: Variant) -> subprocess.Popen[bytes]:
    """`adaption quantize` for one variant, its output in a log beside the folder."""
    command = [sys.executable, "-m", "adaption", "quantize", str(args.net), str(args.weights)]
    command += [f"--bits={variant.bits}", f"--rule={variant.rule}", f"--seed={args.seed}"]
    command += [f"--reference={args.out / 'float'}", f"--out={variant.folder}", "--quiet"]
    command += [*given(args), *rest]
    with (args.out / f"{variant.folder.name}.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def given(args: argparse.Namespace) -> Iterator[str]:
    """The flags of quantize that this script reads, too."""
    for name in ("data", "limit", "resize", "channel_order", "crop", "mean_value", "mean_file"):
        if getattr(args, name) is not None:
            yield f"--{name.replace('_', '-')}={getattr(args, name)}"
    for name in ("scale", "root", "calibration", "calibration_root", "calibration_limit"):
        if getattr(args, name) is not None:
            yield f"--{name.replace('_', '-')}={getattr(args, name)}"
    for name in ("mirror", "random_crop", "best", "refine"):
        if getattr(args, name):
            yield f"--{name.replace('_', '-')}"


def ended(variant: Variant, process: subprocess.Popen[bytes]) -> bool:
    """Whether a variant's process is over; says so."""
    code = process.poll()
    if code is None:
        return False
    words = {0: "done", 1: "done, but a check of the proof failed"}
    print(f"{variant.folder.name}: {words.get(code, f'failed with exit code {code}')}", flush=True)
    return True


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
    if result.exists():
        return
    prefix = folder / "finetuned"
    tuned = Path(f"{prefix}_iter_{args.finetune}.caffemodel")
    if not tuned.exists():
        solver = tuning_solver(args, variant, prefix)
        print(f"{folder.name}: fine-tuning for {args.finetune} iterations", flush=True)
        states = sorted(
            folder.glob("finetuned_iter_*.solverstate"), key=lambda p: p.stat().st_mtime
        )
        ends = adaption.train(
            solver,
            weights=None if states else folder / "net_lp.caffemodel",
            snapshot=states[-1] if states else None,
            log_json=folder / "finetuned.jsonl",
        )
        if ends.stopped:
            raise KeyboardInterrupt
    accuracy = None
    if json.loads((folder / "summary.json").read_text("utf-8"))["accuracy"]:  # else no labels
        found = adaption.score(
            *(folder / "net_lp.prototxt", tuned, args.data),
            transform=transform_of(args),
            root=args.root,
            limit=args.limit,
            seed=args.seed,
        )
        accuracy = dict(found.accuracy)
    adaption.export_onnx(adaption.Net(folder / "net_lp.prototxt", tuned), folder / "finetuned.onnx")
    with atomic_write(result, "w") as out:
        json.dump({"iterations": args.finetune, "accuracy": accuracy}, out, indent=2)


def tuning_solver(args: argparse.Namespace, variant: Variant, prefix: Path) -> Path:
    """Writes the low-precision train net and its solver; returns the solver's path."""
    proposal = Proposal.load(variant.folder / "plan.json")
    net = variant.folder / "train_lp.prototxt"
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
    flips = summary["flipped_predictions"]
    sqnr = [v for v in summary["output_sqnr_db"].values() if v is not None]
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
        "zero weights": summary["sparsity"]["weights_after"],
        "zero inputs": summary["sparsity"]["activations_after"],
        "verified": all(check["ok"] for check in summary["verification"]),
        "fine-tuned Top-1": tuned.get("top1"),
        "fine-tuned Top-5": tuned.get("top5"),
        "float Top-1": full.get("top1"),
        "float Top-5": full.get("top5"),
        "float zero weights": summary["sparsity"]["weights_before"],
        "float zero inputs": summary["sparsity"]["activations_before"],
        "folder": variant.folder.name,
        "seconds": summary["seconds"],
    }


if __name__ == "__main__":
    sys.exit(main())
