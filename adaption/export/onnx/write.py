"""export_onnx: a net as an ONNX model, built layer by layer with onnx.helper."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from adaption.errors import UsageError
from adaption.exact.selection import select
from adaption.exact.ties import TieReport, count_ties
from adaption.export.onnx.file import check_model, write_model
from adaption.export.onnx.images import ImageInput, embed_images
from adaption.export.onnx.model import OPSET, OPSETS, build_model
from adaption.export.onnx.older import in_opset
from adaption.io.atomic import atomic_write
from adaption.net import Net
from adaption.numerics import FixedPoint

__all__ = ["ExportReport", "export_onnx"]


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote.

    `batch` is the batch size the model is made for, None when it takes any. `inputs` and
    `outputs` map names to shapes ("N": the batch size; None: a size that follows from it).
    `values` maps each layer to the names of its tops in the model.
    """

    path: Path
    style: str
    opset: int
    size_bytes: int
    batch: int | None
    inputs: Mapping[str, tuple[int | str | None, ...]]
    outputs: Mapping[str, tuple[int | str | None, ...]]
    values: Mapping[str, tuple[str, ...]]
    processor: str = "any"
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    ties: TieReport | None = None  # counted on data, where that was given

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {
            "path": os.fspath(self.path),
            "style": self.style,
            "processor": self.processor,
            "opset": self.opset,
            "size_bytes": self.size_bytes,
            "batch": self.batch,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "outputs": {name: list(shape) for name, shape in self.outputs.items()},
            "values": {name: list(tops) for name, tops in self.values.items()},
            "left_out": list(self.left_out),
            "notes": list(self.notes),
            "ties": None if self.ties is None else self.ties.to_dict(),
        }

    def __str__(self) -> str:
        def listed(blobs: Mapping[str, tuple[int | str | None, ...]]) -> str:
            return ", ".join(
                f"{name} ({', '.join('?' if d is None else str(d) for d in shape)})"
                for name, shape in blobs.items()
            )

        batch = "any batch size" if self.batch is None else f"batch size {self.batch}"
        lines = [
            f"{self.path}: {self.size_bytes} bytes, ONNX opset {self.opset}, style {self.style},"
            f" {batch}",
            f"  inputs: {listed(self.inputs)}",
            f"  outputs: {listed(self.outputs)}",
            *(f"  note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def export_onnx(
    net: Net,
    path: str | os.PathLike[str],
    *,
    style: str = "float",
    batch: int | None = None,
    opset: int | None = None,
    images: ImageInput | None = None,
    input_formats: Mapping[str, FixedPoint] | None = None,
    free_size: bool = False,
    processor: str = "any",
    inputs: Mapping[str, npt.ArrayLike] | None = None,
) -> ExportReport:
    """Write `net` as an ONNX model that computes the same.

    Value names are blob names; where an in-place layer overwrites a blob, the last value has its
    name, and earlier ones are called `blob@layer`. The same net always gives the same bytes.

    Args:
        net: a net in phase TEST. Data layers become inputs; losses, accuracies and what only
            prepares labels are left out. The net is not changed.
        path: file to write.
        style:
            "float": weights are float32 values on the grid of their format, activation points are
            elementary operators that equal our rounding bit for bit; between them the layers are
            float32 operators, equal up to the order of summation (`verify` checks this).
            "qdq": QuantizeLinear and DequantizeLinear with power-of-two scales, integers in the
            file; runtimes compute words of up to 8 bits on integers. Every code equals exact
            arithmetic's with rounding half_even and biases "product" (ExactOptions), but behind
            layers that the notes name; what float32 would round is written out for that.
            "qonnx": Quant operators of QONNX, for FPGA tool chains.
        batch: size of the batch axis; by default any ("N"), where no layer depends on it, else
            the net's own.
        opset: 11 to 21; by default 18, or the oldest that will do above it. onnxruntime 1.17 and
            later run up to 20, 1.18 and later 21. Older ones, for older runtimes, hold what
            their operators allow; UsageError says what is missing.
        images: let the model take images and preprocess them; for nets of one input.
        input_formats: round inputs of these names, as an LPAct behind them would, so that the
            first layer gets codes.
        free_size: take images of any height and width; LayerError names the first layer that
            depends on them (InnerProduct, pooling that rounds up).
        processor: of style qdq. "any": weights are uint8 wherever int8 ones could overflow 16-bit
            sums, so that the file is exact on every processor. "vnni": int8 throughout, which is
            faster, and exact on processors that add 8-bit products in 32 bits (x86 with AVX-512
            VNNI, AVX-VNNI or AMX; ARM); elsewhere onnxruntime needs the session option
            session.x64quantprecision=1.
        inputs: of style qdq: values by input blob, first axis the samples, on which exact
            arithmetic counts where rounding half to even gives other codes; where `images` is
            given, images as the model takes them.
    Raises: LayerError naming a layer that has no ONNX form (random rounding of activations, a
        layer type without one); UsageError on a bad argument, or when the model exceeds 2 GiB.
    """
    if opset is not None and opset not in OPSETS:
        raise UsageError(f"opset is {opset}, allowed: {OPSETS[0]}..{OPSETS[-1]}")
    if batch is not None and batch < 1:
        raise UsageError(f"batch is {batch}, allowed: 1 or more")
    built = build_model(
        net,
        select(net),
        style=style,
        batch=batch,
        opset=opset,
        input_formats=input_formats,
        free_size=free_size,
        processor=processor,
    )
    model = built.proto()
    if images is not None:
        if len(built.inputs) != 1:
            raise UsageError(
                f"the model has inputs {', '.join(map(repr, built.inputs))}, allowed with images:"
                " one",
                "preprocess outside the model",
            )
        embed_images(model, next(iter(built.inputs)), images)
    ties = None
    if inputs is not None:
        if style != "qdq":
            raise UsageError(
                f"style {style} rounds as the net does, ties are counted of style qdq",
                "leave the data out",
            )
        given = dict(inputs)
        if images is not None:
            given |= {n: images.prepared(np.asarray(x)) for n, x in inputs.items()}
        ties = count_ties(net, given, input_formats)
    constants = built.graph.read_constants()
    if built.opset < OPSET:
        in_opset(model, constants, built.opset)
    else:
        check_model(model, constants)
    try:
        with atomic_write(path) as out:
            size = write_model(model, constants, out)
    except UsageError as error:
        raise error.at(file=path) from None
    return ExportReport(
        path=Path(path),
        style=style,
        opset=built.opset,
        size_bytes=size,
        batch=built.batch,
        inputs=_shapes(model.graph.input),
        outputs=built.outputs,
        values={x.name: tuple(t for t in x.tops if t) for x in built.layers},
        processor=built.processor,
        left_out=built.selection.left_out,
        notes=(
            *built.notes,
            *(images.notes() if images else ()),
            *([ties.detail] if ties else []),
        ),
        ties=ties,
    )


def _shapes(values: Iterable[onnx.ValueInfoProto]) -> dict[str, tuple[int | str | None, ...]]:
    return {
        v.name: tuple(d.dim_param or d.dim_value or None for d in v.type.tensor_type.shape.dim)
        for v in values
    }
