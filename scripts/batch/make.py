"""Making variants: processes of `adaption quantize`, or of `adaption rewrite` for recipes."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from batch.progress import Progress
from batch.variants import Variant, command_of, log_of, scored

from adaption.io.atomic import atomic_write

__all__ = ["make_all", "rewrite_all", "start"]

Running = list[tuple[Variant, "subprocess.Popen[bytes]"]]


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


def jobs_by_memory(weights: Path) -> int:
    """One variant needs about six times its weights, and room for batches; a core each at most."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 1
    need = 6 * weights.stat().st_size + (1 << 30)
    return max(1, min(os.cpu_count() or 1, int(free * 0.8 // need)))


def start(args: argparse.Namespace, rest: list[str], variant: Variant) -> subprocess.Popen[bytes]:
    """`adaption quantize` for one variant, its output in a log beside the folder."""
    command = [sys.executable, *command_of(args, rest, variant)]
    with log_of(variant).open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


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
