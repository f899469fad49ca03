"""What benchmarks share: calls that take turns, so that a drifting machine meets all of them."""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

__all__ = ["add_options", "machine", "ratio", "start", "take_turns"]

WARM_UP = 2  # rounds that do not count


def add_options(parser: argparse.ArgumentParser, rounds: int) -> None:
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--cpu",
        action="store_true",
        help="count the process' CPU time, which other programs disturb less than wall time; for"
        " one thread, as more than one also count their waiting",
    )


def start(args: argparse.Namespace) -> str:
    """Set the threads; returns what the first line of a table says."""
    torch.set_num_threads(args.threads)
    threads = "1 thread" if args.threads == 1 else f"{args.threads} threads"
    clock = "CPU" if args.cpu else "wall"
    return (
        f"{machine()}, {threads}, torch {torch.__version__}; medians of {args.rounds} rounds,"
        f" {clock} time"
    )


def machine() -> str:
    """Name of the CPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def take_turns(
    calls: Sequence[Callable[[], object]], args: argparse.Namespace
) -> list[list[float]]:
    """Seconds of each call in each round."""
    clock = time.process_time if args.cpu else time.perf_counter
    found: list[list[float]] = [[] for _ in calls]
    for turn in range(args.rounds + WARM_UP):
        for call, seconds in zip(calls, found, strict=True):
            begin = clock()
            call()
            if turn >= WARM_UP:
                seconds.append(clock() - begin)
    return found


def ratio(seconds: Sequence[float], base: Sequence[float]) -> float:
    """Median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(seconds, base, strict=True))
