"""Convolutions, deconvolutions and inner products of integer codes by kernels of 8 bits.

A code of n bytes is, after adding 2^(8n-1) to a signed one, n unsigned bytes; the topmost has the
zero point 128 then. A product of codes is the sum over pairs of bytes, each pair shifted to its
place. Bytes are unsigned on both sides: with signed weights, onnxruntime's kernel for AVX2 without
VNNI saturates pairs of products at 16 bits (its quantization guide: "reduce_range").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from adaption.errors import LayerError
from adaption.exact.program import Product, Value
from adaption.export.onnx.float_products import lower_by_floats
from adaption.export.onnx.integer_codes import Codes
from adaption.export.onnx.integer_windows import LAST
from adaption.numerics.exact import bits_of

__all__ = ["lower_product"]

UINT8, INT32, INT64 = TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64


@dataclass(frozen=True)
class _Bytes:
    """Names of the bytes of a value, lowest first, and the zero point of each."""

    names: tuple[str, ...]
    zeros: tuple[int, ...]


def lower_product(c: Codes, op: Product, x: str) -> str:
    """The operators of one product; returns the name of the sums."""
    if op.shift:
        raise LayerError(
            "an accumulator that shifts every product has no ONNX form",
            "leave out per_product: the sum is shifted instead",
        )
    made: str = op.form.lower(_ProductGraph(c, op), x, "weight")
    return c.cast(made, c.type_of(c.top(op).bits))


class _ProductGraph:
    """Implements layers.base.Lowering: takes Conv, ConvTranspose and Gemm apart into bytes."""

    def __init__(self, c: Codes, op: Product) -> None:
        self.c = c
        self.product = op
        self.bottom = c.bottom(op)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.product.weight.shape if name == "weight" else self.bottom.shape

    def value(self, name: str) -> npt.NDArray[np.float32]:
        raise NotImplementedError("convolutions and inner products read no values of blobs")

    def constant(self, value: Any) -> str:
        return self.c.graph.constant(value)

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        weight = self.product.weight
        if self.c.in_float and op_type in ("Conv", "ConvTranspose"):
            made = lower_by_floats(self.c, self.product, op_type, inputs[0], attributes)
            if made is not None:
                return made
        if op_type == "Conv":
            return self._by_bytes("ConvInteger", inputs[0], weight, **attributes)
        if op_type == "ConvTranspose":
            return self._transposed(inputs[0], weight, **attributes)
        if op_type == "Gemm":
            columns = weight.T if attributes["transB"] else weight
            return self._by_bytes("MatMulInteger", inputs[0], columns)
        kind = self.c.types[inputs[0]]
        return self.c.op(kind, op_type, *inputs, **attributes)

    def _by_bytes(
        self, op_type: str, x: str, weight: npt.NDArray[np.int64], **attributes: Any
    ) -> str:
        c, value = self.c, self.bottom
        left = _bytes_of(c, x, value)
        right = _weight_bytes(weight)
        kind = INT32 if len(left.names) == len(right) == 1 else INT64
        total = ""
        for i, (name, zero) in enumerate(zip(left.names, left.zeros, strict=True)):
            for j, (part, part_zero) in enumerate(right):
                most = max(zero, 255 - zero) * _greatest_sum(part, part_zero, op_type)
                if most >= 1 << 31:
                    raise LayerError(
                        f"sums of bytes reach {most}, which 32 bits do not hold",
                        "split the layer's bottom by channels, or use style float",
                    )
                y = c.op(
                    INT32, op_type, name, c.graph.constant(part),
                    c.graph.constant(np.uint8(zero)), c.graph.constant(np.uint8(part_zero)),
                    **attributes,
                )  # fmt: skip
                y = c.cast(y, kind)
                if i + j:
                    y = c.op(kind, "Mul", y, c.constant(1 << (8 * (i + j)), kind))
                total = c.op(kind, "Add", total, y) if total else y
        return total

    def _transposed(self, x: str, weight: npt.NDArray[np.int64], **attributes: Any) -> str:
        """A deconvolution is a convolution of the bottom with zeros between its values."""
        c, group, strides = self.c, attributes["group"], attributes["strides"]
        kind, n = c.types[x], len(strides)
        for i, stride in enumerate(strides):
            if stride > 1:
                x = self._spaced(x, 2 + i, 2 + n, stride)
        # Behind the last value come no zeros; a pad beyond the kernel's reach cuts values off.
        kernel, dilations = weight.shape[2:], attributes["dilations"]
        reach = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        pads_begin = [r - p for r, p in zip(reach, attributes["pads"], strict=False)]
        cut = [max(0, -p) for p in pads_begin]
        if any(cut) or max(strides) > 1:
            ends = [1 - s - e or LAST for s, e in zip(strides, cut, strict=True)]
            x = c.op(
                kind, "Slice", x,
                *(c.graph.constant(e) for e in (cut, ends, list(range(2, 2 + n)))),
            )  # fmt: skip
        grouped = weight.reshape(group, -1, *weight.shape[1:]).swapaxes(1, 2)
        flipped = np.flip(grouped, tuple(range(3, 3 + n)))
        return self._by_bytes(
            "ConvInteger",
            x,
            np.ascontiguousarray(flipped.reshape(-1, *flipped.shape[2:])),
            kernel_shape=list(kernel),
            strides=[1] * n,
            pads=[max(0, p) for p in pads_begin] * 2,
            dilations=dilations,
            group=group,
        )

    def _spaced(self, x: str, axis: int, rank: int, stride: int) -> str:
        """x with stride - 1 zeros behind each value along an axis, whatever its size."""
        c, kind = self.c, self.c.types[x]
        swap = list(range(rank))
        swap[axis], swap[-1] = rank - 1, axis
        if axis < rank - 1:  # Reshape can join the last two axes without their sizes
            x = c.op(kind, "Transpose", x, perm=swap)
        x = c.op(kind, "Unsqueeze", x, c.graph.constant([rank]))
        pads = c.graph.constant([0] * (2 * rank + 1) + [stride - 1])
        x = c.op(kind, "Pad", x, pads, c.constant(0, kind))
        x = c.op(kind, "Reshape", x, c.graph.constant([0] * (rank - 1) + [-1]))
        return c.op(kind, "Transpose", x, perm=swap) if axis < rank - 1 else x


def _bytes_of(c: Codes, x: str, value: Value) -> _Bytes:
    """The operators that cut codes into bytes."""
    if x in c.as_bytes:
        name, zero = c.as_bytes[x]
        return _Bytes((name,), (zero,))
    if c.types[x] not in (INT32, INT64):
        x = c.cast(x, INT64)
    low = min(value.low, 0)  # padding is 0
    signed = low < 0
    count = -(-(bits_of(low, value.high) - (not signed)) // 8) or 1
    kind = c.types[x]
    if signed:
        if bits_of(0, value.high + (1 << (8 * count - 1))) > 32:
            kind = INT64
        x = c.op(kind, "Add", c.cast(x, kind), c.constant(1 << (8 * count - 1), kind))
    names = []
    for i in range(count):
        part = x if i == 0 else c.op(kind, "Div", x, c.constant(1 << (8 * i), kind))
        if i < count - 1:
            part = c.remainder(kind, part, 256)
        names.append(c.op(UINT8, "Cast", part, to=UINT8))
    return _Bytes(tuple(names), (*[0] * (count - 1), 128 if signed else 0))


def _weight_bytes(weight: npt.NDArray[np.int64]) -> list[tuple[npt.NDArray[np.uint8], int]]:
    """Bytes of constant codes, lowest first, with their zero points."""
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    signed = low < 0
    count = -(-(bits_of(low, high) - (not signed)) // 8) or 1
    shifted = weight + ((1 << (8 * count - 1)) if signed else 0)
    return [
        (
            np.ascontiguousarray((shifted >> (8 * i)) & 255).astype(np.uint8),
            128 if signed and i == count - 1 else 0,
        )
        for i in range(count)
    ]


def _greatest_sum(part: npt.NDArray[np.uint8], zero: int, op_type: str) -> int:
    """Greatest sum of magnitudes of one byte of the weights over what meets in one output."""
    magnitudes = np.abs(part.astype(np.int64) - zero)
    axes = (0,) if op_type == "MatMulInteger" else tuple(range(1, part.ndim))
    return int(magnitudes.sum(axes).max(initial=0))
