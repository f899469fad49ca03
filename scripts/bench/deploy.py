"""How fast is the int8 qdq export in onnxruntime, against our float forward pass at batch 1?

    python scripts/bench/deploy.py net.prototxt[=net.caffemodel] ... [--threads 2] [--rounds 10]

Without weights they are random. Compared are our float net, its float ONNX file and its qdq files
with the formats of --int8 (for any processor, and for one with VNNI) in onnxruntime. Each has a
process of its own that sleeps until its turn comes: the worker threads of torch and of onnxruntime
spin for a while after a call, and in one process would take the cores from whoever computes next.
Turns go round, so that a drifting machine meets all; in each, some calls warm up and the rest are
timed.

"integer" says how many of the operators that multiply by weights are integer kernels (a bottom of
24 bits, behind LRN, takes several in float32). The processor decides, too: without VNNI an 8-bit
product takes three instructions, with VNNI one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from adaption.export.onnx import export_onnx
from adaption.graph import NetSpec, NetState, build_spec, input_shapes, with_inputs
from adaption.io.netfile import NetFile, read_net
from adaption.net import Net
from adaption.options import INT8
from adaption.precision.measure import measure_net
from adaption.precision.propose import propose
from adaption.precision.rewrite import rewrite

INTEGER = ("QLinearConv", "QGemm")
FLOAT = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "ConvTranspose")
OURS, PLAIN = "ours, float", "onnx float"
WARM_UP = 3  # calls at the start of a turn that do not count
PAUSE = 0.1  # seconds in which the threads of the last one fall asleep

Feeds = Mapping[str, np.ndarray]
Made = tuple[Callable[[], object], list[str]]  # what to call, and the operators that it runs


class OneBatch:
    """One random sample per input."""

    def __init__(self, net: Net) -> None:
        generator = torch.Generator().manual_seed(0)
        self.blobs = {
            n: torch.randn(net.blobs[n].shape, generator=generator) * 50 for n in net.inputs
        }
        self.names = ["0"]


class Form:
    """One way to compute a net, in a process of its own that sleeps between its turns."""

    def __init__(self, make: Callable[..., Made], *what: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        given = (theirs, torch.get_num_threads(), make, what)
        self._process = context.Process(target=serve, args=given, daemon=True)
        self._process.start()
        theirs.close()
        self.operators: list[str] = self._pipe.recv()

    def turn(self, calls: int) -> float:
        """Median seconds of some calls."""
        self._pipe.send(calls)
        seconds: float = self._pipe.recv()
        return seconds

    def close(self) -> None:
        self._pipe.send(0)
        self._process.join()


def serve(pipe: Connection, threads: int, make: Callable[..., Made], what: tuple[object]) -> None:
    """The process of a Form: how many calls in, their median seconds out; ends at 0."""
    torch.set_num_threads(threads)
    call, operators = make(*what)
    pipe.send(operators)
    while calls := pipe.recv():
        times = []
        for i in range(WARM_UP + calls):
            start = time.perf_counter()
            call()
            if i >= WARM_UP:
                times.append(time.perf_counter() - start)
        pipe.send(statistics.median(times))


def our_net(path: Path, weights: str, feeds: Feeds) -> Made:
    """Our forward pass in float."""
    net = net_of(read_net(path), weights)
    blobs = {name: torch.from_numpy(x) for name, x in feeds.items()}
    return lambda: net.forward(blobs), []


def onnx_file(path: Path, feeds: Feeds) -> Made:
    """onnxruntime on a file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    options.optimized_model_filepath = str(path.with_suffix(".run.onnx"))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    run = onnx.load(options.optimized_model_filepath, load_external_data=False)
    Path(options.optimized_model_filepath).unlink()
    return lambda: session.run(None, feeds), [node.op_type for node in run.graph.node]


def main() -> None:
    """Print one table, a few rows per net."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="+", metavar="NET[=WEIGHTS]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=10, help="timed per turn (default 10)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{machine()}, {args.threads} threads, torch {torch.__version__}, onnxruntime")
    print(f"{onnxruntime.__version__}; medians of {args.rounds} turns of {args.calls} calls each")
    print(f"{'net':22} {'form':12}      ms  / ours  / onnx float      MB  size  integer")
    for text in args.nets:
        path, _, weights = text.partition("=")
        with tempfile.TemporaryDirectory() as folder:
            print("\n".join(rows(Path(path), weights, args, Path(folder))), flush=True)


def machine() -> str:
    """Processor, and whether it has instructions for 8-bit products."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    name = next((x.split(":")[1].strip() for x in text.splitlines() if "model name" in x), "")
    has = [flag for flag in ("avx2", "avx512_vnni", "avx_vnni", "amx_int8") if flag in text]
    return f"{name} ({', '.join(has) or platform.machine()})"


def rows(path: Path, weights: str, args: argparse.Namespace, folder: Path) -> list[str]:
    """The figures of one net."""
    weights, feeds, files = exported(path, weights, folder)
    makers: dict[str, tuple[object, ...]] = {
        OURS: (our_net, path, weights, feeds),
        **{name: (onnx_file, file, feeds) for name, file in files.items()},
    }
    forms = {name: Form(*what) for name, what in makers.items()}
    seconds = take_turns(forms, args)
    size = {name: file.stat().st_size / 1e6 for name, file in files.items()}
    lines = []
    for name, form in forms.items():
        found = seconds[name]
        line = f"{path.stem[:22]:22} {name:12} {found * 1e3:7.2f} {found / seconds[OURS]:7.2f}"
        if name in files:
            count = sum(form.operators.count(kind) for kind in INTEGER)
            total = count + sum(form.operators.count(kind) for kind in FLOAT)
            line += (
                f" {found / seconds[PLAIN]:13.2f} {size[name]:7.1f}"
                f" {size[name] / size[PLAIN]:5.2f}  {count}/{total}"
            )
        lines.append(line)
    return lines


def take_turns(forms: Mapping[str, Form], args: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a call of each form; closes them."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(args.rounds):
        for name, form in forms.items():
            time.sleep(PAUSE)
            times[name].append(form.turn(args.calls))
    for form in forms.values():
        form.close()
    return {name: statistics.median(found) for name, found in times.items()}


def exported(path: Path, weights: str, folder: Path) -> tuple[str, Feeds, dict[str, Path]]:
    """The net's weights, one sample, and its ONNX files by name."""
    file = read_net(path)
    net = net_of(file, weights or None)
    if not weights:
        fill(net)
        weights = str(folder / "random.caffemodel")
        net.save(weights)
    batch = OneBatch(net)
    proposal = propose(net.spec, measure_net(net, [batch]), **INT8)
    low = net_of(rewrite(file, proposal), weights)
    files = {name: folder / f"{i}.onnx" for i, name in enumerate((PLAIN, "qdq", "qdq, vnni"))}
    export_onnx(net, files[PLAIN])
    export_onnx(low, files["qdq"], style="qdq")
    export_onnx(low, files["qdq, vnni"], style="qdq", processor="vnni")
    low.release()
    return weights, {name: x.numpy() for name, x in batch.blobs.items()}, files


def net_of(file: NetFile, weights: str | None) -> Net:
    """The net with one sample per input."""
    spec: NetSpec = build_spec(file.message, NetState(), file=file.file)
    one = {name: (1, *shape[1:]) for name, shape in input_shapes(spec).items()}
    return Net(with_inputs(spec, one), weights, seed=0)


def fill(net: Net) -> None:
    """Random weights that keep the variance of what passes (He et al. 2015), biases of 0."""
    generator = torch.Generator().manual_seed(0)
    for node in net.nodes:
        for i, blob in enumerate(node.masters):
            fan_in = blob.count / blob.shape[0]
            values = torch.randn(blob.shape, generator=generator) * (2 / fan_in) ** 0.5
            blob.write((values * (i == 0)).numpy())


if __name__ == "__main__":
    main()
