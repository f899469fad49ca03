"""How fast is the int8 qdq export in onnxruntime, against our float forward pass at batch 1?

    python scripts/bench/deploy.py net.prototxt[=net.caffemodel] ... [--threads 2] [--rounds 10]

Without weights they are random. Three run in turn, round by round, so that a drifting machine meets
all of them: our float net, its float ONNX file and its 8-bit qdq file in onnxruntime. "integer"
says how many of the weight layers run on integer kernels. The processor decides, too: without VNNI
an 8-bit product takes three instructions, with VNNI one.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import onnxruntime
import torch

from adaption.export import export_onnx
from adaption.graph import NetState, build_spec, input_shapes, with_inputs
from adaption.io.netfile import read_net
from adaption.net import Net
from adaption.numerics import FixedPoint
from adaption.precision.measure import measure_net
from adaption.precision.propose import propose
from adaption.precision.rewrite import rewrite

INTEGER = ("QLinearConv", "QGemm")
FLOAT = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "ConvTranspose")


class OneBatch:
    """One random sample per input."""

    def __init__(self, net: Net) -> None:
        generator = torch.Generator().manual_seed(0)
        self.blobs = {
            n: torch.randn(net.blobs[n].shape, generator=generator) * 50 for n in net.inputs
        }
        self.names = ["0"]


def main() -> None:
    """Print one table, a row per net."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="+", metavar="NET[=WEIGHTS]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{machine()}, {args.threads} threads, torch {torch.__version__}, onnxruntime")
    print(f"{onnxruntime.__version__}; median of {args.rounds} rounds, ratios are of medians")
    print(
        "net                    ours ms  ort float  ort qdq  qdq/ours  qdq/float"
        "  float MB  qdq MB  size  integer"
    )
    for text in args.nets:
        path, _, weights = text.partition("=")
        with tempfile.TemporaryDirectory() as folder:
            print(row(Path(path), weights or None, args.rounds, Path(folder)), flush=True)


def machine() -> str:
    """Processor, and whether it has instructions for 8-bit products."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    name = next((x.split(":")[1].strip() for x in text.splitlines() if "model name" in x), "")
    has = [flag for flag in ("avx2", "avx512_vnni", "avx_vnni", "amx_int8") if flag in text]
    return f"{name} ({', '.join(has) or platform.machine()})"


def row(path: Path, weights: str | None, rounds: int, folder: Path) -> str:
    """The figures of one net."""
    file = read_net(path)
    spec = build_spec(file.message, NetState(), file=file.file)
    one = {name: (1, *shape[1:]) for name, shape in input_shapes(spec).items()}
    net = Net(with_inputs(spec, one), weights, seed=0)
    if weights is None:
        fill(net)
        weights = str(folder / "random.caffemodel")
        net.save(weights)
    batch = OneBatch(net)
    proposal = propose(net.spec, measure_net(net, [batch]), bits=8, round_bias=True)
    low_spec = build_spec(rewrite(file, proposal).message, NetState())
    low = Net(with_inputs(low_spec, one), weights, seed=0)
    formats = {name: FixedPoint(8, -1) for name in net.inputs}  # -254 .. 254
    sizes, sessions, kernels = [], [], []
    for made, style, given in ((net, "float", None), (low, "qdq", formats)):
        target = folder / f"{style}.onnx"
        report = export_onnx(made, target, style=style, input_formats=given)
        sizes.append(report.size_bytes / 1e6)
        session, ran = opened(target)
        sessions.append(session)
        kernels.append(ran)
        target.unlink()
    low.release()
    feeds = {name: x.numpy() for name, x in batch.blobs.items()}
    ours, plain, integer = compare(
        [
            lambda: net.forward(batch.blobs),
            lambda: sessions[0].run(None, feeds),
            lambda: sessions[1].run(None, feeds),
        ],
        rounds,
    )
    count = sum(kernels[1].count(name) for name in INTEGER)
    total = count + sum(kernels[1].count(name) for name in FLOAT)
    return (
        f"{path.stem[:22]:22} {ours * 1e3:7.1f} {plain * 1e3:10.1f} {integer * 1e3:8.1f}"
        f" {integer / ours:9.2f} {integer / plain:10.2f} {sizes[0]:9.1f} {sizes[1]:7.1f}"
        f" {sizes[1] / sizes[0]:5.2f}  {count}/{total}"
    )


def fill(net: Net) -> None:
    """Random weights that keep the variance of what passes (He et al. 2015), biases of 0."""
    generator = torch.Generator().manual_seed(0)
    for node in net.nodes:
        for i, blob in enumerate(node.masters):
            fan_in = blob.count / blob.shape[0]
            values = torch.randn(blob.shape, generator=generator) * (2 / fan_in) ** 0.5
            blob.write((values * (i == 0)).numpy())


def opened(path: Path) -> tuple[onnxruntime.InferenceSession, list[str]]:
    """A session, and the operators it runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    options.optimized_model_filepath = str(path.with_suffix(".run.onnx"))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    run = onnx.load(options.optimized_model_filepath, load_external_data=False)
    Path(options.optimized_model_filepath).unlink()
    return session, [node.op_type for node in run.graph.node]


def compare(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each call; the calls take turns."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds + 2):
        for call, found in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if turn >= 2:  # the first two warm up
                found.append(time.perf_counter() - start)
    return [statistics.median(found) for found in times]


if __name__ == "__main__":
    main()
