"""What large runs cost: files, what processes exchange, and data-parallel training side by side.

    python scripts/bench/scale.py [--processes 1 2 4] [--train NET=BATCH ...] [--files NET ...]

Two tables. The first has, for nets of models/, the files that a snapshot writes, how long that
takes, and what each process sends in an iteration: gradients once around a ring of n processes,
2 (n - 1) / n of their bytes. The second trains for a few iterations with `torchrun` on this
machine, with as many samples per process whatever their number, on random images; the rate is
that of the log's lines. The runs take turns. Each process has one thread.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Run, facts_of
from google.protobuf import text_format
from nets import ROOT, train_net

from adaption import rewrite_files
from adaption.numerics import FixedPoint
from adaption.proto import caffe_pb2
from adaption.solver import Solver

SIDE = {"squeezenet": 227, "cifar10_full": 32, "caffenet": 227, "alexnet": 227}
FILES = ("squeezenet", "mobilenet", "resnet50", "vgg16")
FILES_HEADER = (
    "| net | parameters | caffemodel | solverstate | written in | gradients"
    " | sent per iteration, of 2, 4, 64 processes |"
)
TRAIN = ("cifar10_full=32", "squeezenet=4", "resnet50=2")
SHOWN = re.compile(r"(\d\d):(\d\d):(\d\d\.\d+) .*Iteration (\d+),? .*loss")
DISPLAY, ITERATIONS = 4, 16  # those up to the second line warm up


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--train", nargs="*", default=TRAIN, metavar="NET=BATCH")
    parser.add_argument("--files", nargs="*", default=FILES, metavar="NET")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(Run(facts_of(threads=1, quick=False), []).heading(), end="\n\n")
    with tempfile.TemporaryDirectory() as folder:
        if args.files:
            print(f"{FILES_HEADER}\n|---|---|---|---|---|---|---|")
        for name in args.files:
            for suffix in ("", "_lp"):
                print(files_row(name, suffix, Path(folder)), flush=True)
        if args.train:
            print("\n| net, samples per process | processes | samples/s | against one |\n"
                  "|---|---|---|---|")  # fmt: skip
        for text in args.train:
            name, _, batch = text.partition("=")
            train_rows(name, int(batch), args.processes, args.rounds, Path(folder))


def solver_of(name: str, suffix: str, batch: int, prefix: Path) -> caffe_pb2.SolverParameter:
    """SGD with momentum on random images."""
    path = ROOT / f"models/{name}/train_val.prototxt"
    if suffix:  # any formats will do: the size of the files does not depend on word lengths
        low = prefix.with_name("low.prototxt")
        rewrite_files(path, low, weight=FixedPoint.q("2.14"), activation=FixedPoint.q("8.8"))
        path = low
    net = train_net(path, batch, SIDE.get(name, 224))
    if suffix:
        path.unlink()
    return caffe_pb2.SolverParameter(
        net_param=net, base_lr=1e-5, lr_policy="fixed", momentum=0.9, weight_decay=1e-4,
        random_seed=1, display=DISPLAY, max_iter=ITERATIONS, snapshot_prefix=str(prefix),
        snapshot_after_train=False,
    )  # fmt: skip


def files_row(name: str, suffix: str, folder: Path) -> str:
    """What a snapshot of one net takes, and what its processes exchange."""
    solver = Solver(solver_of(name, suffix, 1, folder / "snap"))
    gradients = sum(p.blob.grad.nbytes for p in solver.params if not p.is_copy)
    start = time.perf_counter()
    solver.snapshot()
    seconds = time.perf_counter() - start
    sizes = {path.suffix: path.stat().st_size for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()
    sent = ", ".join(megabytes(2 * (n - 1) / n * gradients) for n in (2, 4, 64))
    return (
        f"| {name}{suffix} | {gradients // 4:,} | {megabytes(sizes['.caffemodel'])} MB"
        f" | {megabytes(sizes['.solverstate'])} MB | {seconds:.1f} s | {megabytes(gradients)} MB"
        f" | {sent} MB |"
    )


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f}"


def train_rows(name: str, batch: int, counts: list[int], rounds: int, folder: Path) -> None:
    """Print a row for each number of processes."""
    path = folder / f"{name}.prototxt"
    path.write_text(text_format.MessageToString(solver_of(name, "", batch, folder / "snap")))
    rates: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            rates[count].append(count * batch * rate(path, count))
    for count in counts:
        pairs = zip(rates[count], rates[counts[0]], strict=True)
        ratio = statistics.median(a / b for a, b in pairs)
        median = statistics.median(rates[count])
        print(f"| {name}, {batch} | {count} | {median:.1f} | {ratio:.2f} |", flush=True)


def rate(solver: Path, processes: int) -> float:
    """Iterations a second, by the log. Raises: RuntimeError with the log when there are none."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run"),
        *("--standalone", f"--nproc-per-node={processes}"),
        *("-m", "adaption", "train", f"--solver={solver}"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    shown = [(3600 * int(h) + 60 * int(m) + float(s), int(i)) for h, m, s, i in
             SHOWN.findall(done.stderr)]  # fmt: skip
    if done.returncode or len(shown) < 3:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    (start, first), (end, last) = shown[1], shown[-1]
    return (last - first) / ((end - start) % 86400)  # a run may go past midnight


if __name__ == "__main__":
    main()
