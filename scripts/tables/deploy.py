"""Accuracy of a low-precision net's simulation and of each of its exports, side by side.

    python scripts/tables/deploy.py net_lp.prototxt net_lp.caffemodel --data test.npz --samples 1000

The net, exact arithmetic, onnxruntime on each ONNX style and the C program get the same inputs,
rounded to the format that --input-format says, or else to the shortest one of at most 16 bits that
holds them. Style qdq rounds half to even and biases to the grid of the products; the row of exact
arithmetic that does so, too, is what its files equal. Preprocessing flags are those of `adaption
quantize`. Exit code 1 when predictions differ where they are promised equal: among exact
arithmetic, style integer and the C program; between qdq and its row of exact arithmetic.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adaption.cli.options import add_preprocessing_flags, input_format_of, transform_of
from adaption.compare.c_backend import CProgram
from adaption.compare.named_backends import backend_of
from adaption.compare.onnx_worker import runtime
from adaption.errors import AdaptionError
from adaption.exact import ExactNet, ExactOptions
from adaption.exact.inputs import format_of_data
from adaption.export.onnx import export_onnx
from adaption.job.feed import Feed, feed_from_data
from adaption.net import Net
from adaption.numerics import FixedPoint
from adaption.options import RunOptions

Formats = Mapping[str, FixedPoint]
Scores = Callable[[Mapping[str, np.ndarray]], np.ndarray]  # inputs to (N, classes)

HEAD = ("form", "Top-1", "Top-5", "predictions unlike lp", "greatest score difference")
STYLES = ("float", "integer", "qdq")
HALF_EVEN = "exact, as qdq rounds"
C_PROGRAM = "C program"
EQUAL = (("exact", "ONNX integer"), ("exact", C_PROGRAM), (HALF_EVEN, "ONNX qdq"))

onnxruntime = runtime()


def simulation(net: Net, blob: str) -> Scores:
    """The net as it is simulated, float32."""

    def scores(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        with torch.no_grad():
            return net.forward(inputs)[blob].numpy()

    return scores


def in_float64(net: Net, blob: str, formats: Formats) -> Scores:
    """The same with sums that do not round; at quantization points exact arithmetic's equal."""
    backend = backend_of("lp64", net, formats)
    last = next(n.spec.name for n in reversed(net.nodes) if blob in n.spec.tops)
    return lambda inputs: backend.run(inputs).values[last, blob]


def exact(net: Net, blob: str, formats: Formats, **options: Any) -> Scores:
    """Integer codes."""
    made = ExactNet(net, ExactOptions(formats, **options))
    return lambda inputs: made.run(inputs).outputs[blob].numpy()


def exported(net: Net, blob: str, formats: Formats, style: str, folder: Path) -> Scores:
    """onnxruntime on the net exported in a style."""
    path = folder / f"{style}.onnx"
    export_onnx(net, path, style=style, input_formats=formats)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    return lambda inputs: session.run([blob], {n: inputs[n] for n in names})[0]


def in_c(net: Net, formats: Formats) -> Scores:
    """The C program, whose outputs are codes."""
    program = CProgram(net, formats)
    return lambda inputs: program.outputs(inputs)[0]


class Row:
    """Counts of one form. `gap` stays None where its scores are not those of the others."""

    def __init__(self, name: str, scores: Scores) -> None:
        self.name, self.scores = name, scores
        self.right = self.right5 = self.unlike = 0
        self.gap: float | None = None
        self.predictions: list[int] = []

    def add(self, found: np.ndarray, reference: np.ndarray, labels: np.ndarray | None) -> None:
        """Count one batch."""
        order = np.argsort(-found, 1, kind="stable")
        self.predictions += order[:, 0].tolist()
        self.unlike += int((order[:, 0] != reference.argmax(1)).sum())
        if self.name != C_PROGRAM:
            self.gap = max(self.gap or 0.0, float(np.abs(found - reference).max()))
        if labels is not None:
            self.right += int((order[:, 0] == labels).sum())
            self.right5 += int((order[:, :5] == labels[:, None]).any(1).sum())

    def same_as(self, other: Row) -> bool:
        """Whether both predicted the same for every sample."""
        return self.predictions == other.predictions

    def cells(self, samples: int) -> list[str]:
        """What the table says."""
        shares = [f"{100 * n / samples:.2f} %" for n in (self.right, self.right5)]
        gap = "-" if self.gap is None else f"{self.gap:.3g}"
        return [self.name, *shares, f"{self.unlike} of {samples}", gap]


def main(argv: list[str] | None = None) -> int:
    """The table of what the arguments say. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("net", help="low-precision prototxt")
    parser.add_argument("weights", help="its caffemodel")
    parser.add_argument("--data", required=True, help="as of adaption quantize")
    parser.add_argument("--samples", type=int, metavar="N", help="default: all")
    parser.add_argument("--batch-size", type=int, default=20, metavar="N")
    parser.add_argument("--input-format", action="append", default=[], metavar="BLOB=Qm.f")
    add_preprocessing_flags(parser)
    try:
        return compare(parser.parse_args(argv))
    except AdaptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def compare(args: argparse.Namespace) -> int:
    """Run every form on every sample, print the table. Returns the exit code."""
    net = Net(args.net, args.weights)
    options = RunOptions(batch_size=args.batch_size, limit=args.samples)
    feed = feed_from_data(net.spec, args.data, transform_of(args), options, root=args.root)
    formats = input_formats(feed, net, dict(map(input_format_of, args.input_format)))
    blob = net.outputs[0]
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            Row("lp, float32", simulation(net, blob)),
            Row("lp64, float64", in_float64(net, blob, formats)),
            Row("exact", exact(net, blob, formats)),
            Row(HALF_EVEN, exact(net, blob, formats, biases="product", rounding="half_even")),
            *(Row(f"ONNX {s}", exported(net, blob, formats, s, Path(folder))) for s in STYLES),
        ]
        left_out = ""
        try:
            rows.append(Row(C_PROGRAM, in_c(net, formats)))
        except AdaptionError as error:  # no compiler, or a layer that C has no form of
            left_out = f"\nno {C_PROGRAM}: {error.fact}"
        samples = run(rows, feed, formats)
    by_name = {row.name: row for row in rows}
    print(table(rows, samples, formats) + left_out)
    pairs = [pair for pair in EQUAL if set(pair) <= set(by_name)]
    return 0 if all(by_name[a].same_as(by_name[b]) for a, b in pairs) else 1


def input_formats(feed: Feed, net: Net, stated: dict[str, FixedPoint]) -> dict[str, FixedPoint]:
    """Formats that hold all samples, for inputs without a stated one."""
    peaks: dict[str, np.ndarray] = {}
    for batch in feed:
        for name in net.inputs:
            if name not in stated:
                fresh = np.unique(batch.blobs[name])
                peaks[name] = np.union1d(peaks.get(name, fresh), fresh)
    return {**stated, **{name: format_of_data(values) for name, values in peaks.items()}}


def run(rows: list[Row], feed: Feed, formats: Formats) -> int:
    """Give every batch to every form; returns the number of samples."""
    samples = 0
    for batch in feed:
        inputs = {
            name: formats[name].quantize(torch.from_numpy(np.array(x, np.float32))).numpy()
            for name, x in batch.blobs.items()
            if name in formats
        }
        made = [row.scores(inputs) for row in rows]
        flat = [x.reshape(len(x), -1) for x in made]
        for row, found in zip(rows, flat, strict=True):
            row.add(found, flat[0], batch.labels)
        samples += len(flat[0])
    return samples


def table(rows: list[Row], samples: int, formats: Formats) -> str:
    """A Markdown table, and what the inputs were rounded to."""
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells(samples) for row in rows)]
    said = ", ".join(f'"{name}" rounded to {fmt}' for name, fmt in formats.items())
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ["", f"inputs: {said}"])


if __name__ == "__main__":
    sys.exit(main())
