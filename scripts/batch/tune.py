"""Fine-tuning a variant, and what it depends on."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from batch.variants import SUMMARY, Variant, scored

import adaption
from adaption.io.atomic import atomic_write
from adaption.io.files import read_json
from adaption.precision.proposal import Proposal

__all__ = ["finetune", "tuning_of"]

SOLVER = """net: "{net}"
type: "Adam" base_lr: {rate} momentum: 0.9 momentum2: 0.999 lr_policy: "fixed"
max_iter: {iterations} display: {display} snapshot: {snapshot}
snapshot_prefix: "{prefix}" random_seed: 1
"""


def tuning_of(args: argparse.Namespace) -> dict[str, Any]:
    """What a fine-tuned variant depends on."""
    return {
        "iterations": args.finetune,
        "rate": args.finetune_lr,
        "train_net": str(args.train_net),
    }


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
