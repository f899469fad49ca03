"""Weights of qdq files: their codes, how large sums of them can grow, and how they are stored.

Kernels for AVX2 and AVX-512 without VNNI add pairs of uint8 times int8 products in 16 bits, and
saturate. Weights are int8 only where such a pair cannot reach 2^15 (codes 0..127 times int8 never
do); elsewhere they are uint8 with zero point 128, for which the kernels add in 32 bits. So the file
is exact on every processor, without a session option. With `adds_in_32_bits` weights are int8
throughout, which is faster where the processor adds such products in 32 bits.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from onnx import NodeProto

from adaption.export.onnx.graph import Array, OnnxGraph
from adaption.export.onnx.grids import Container, Grid
from adaption.numerics import FixedPoint

__all__ = ["QdqWeights", "worst_sum"]

PAIR_LIMIT = 2**15 - 1  # of the 16 bits in which some kernels add two products


class QdqWeights:
    """Writes weights into a graph. `kept`: codes made so far, also for an earlier graph."""

    def __init__(self, g: OnnxGraph, kept: dict[Hashable, Array], *, adds_in_32_bits: bool) -> None:
        self.g = g
        self._kept = kept
        self._adds_in_32_bits = adds_in_32_bits
        self._copies: dict[str, str] = {}

    def codes(self, values: Array, fmt: FixedPoint) -> Array:
        """Integer codes, int8 where that holds them; the same array for the same values."""
        key = (values.ctypes.data, values.shape, fmt)
        if key not in self._kept:
            step = 2.0**-fmt.frac_length
            is_short = values.min(initial=0) >= -128 * step and values.max(initial=0) <= 127 * step
            codes = np.empty(values.shape, np.int8 if is_short else np.int16)
            for to, row in zip(codes, values, strict=True):  # large blobs in pieces
                to[...] = np.rint(row * np.float32(2.0**fmt.frac_length))
            self._kept[key] = codes
        return self._kept[key]

    def stored(
        self, name: str, codes: Array, fmt: FixedPoint, grid: Grid | None, bottom: Container | None
    ) -> str:
        """The codes of blob `name` as integers behind DequantizeLinear, for a bottom on `grid` in
        that container; layers that share them share it."""
        g = self.g
        container = self._container(codes, grid, bottom)
        key = f"{name}/{container}"
        if key not in self._copies:
            stored = codes
            if container.dtype != codes.dtype:
                stored = (codes.astype(np.int16) + container.zero_point).astype(container.dtype)
            self._copies[key] = g.op(
                "DequantizeLinear",
                g.blob(0, stored),
                g.constant(np.float32(fmt.lsb)),
                g.constant(container.dtype(container.zero_point)),
            )
        return self._copies[key]

    def _container(self, codes: Array, grid: Grid | None, bottom: Container | None) -> Container:
        if codes.dtype != np.int8:
            return Container(np.int16, 0)
        if self._adds_in_32_bits or grid is None or bottom is None:
            return Container(np.int8, 0)
        greatest = max(int(codes.max(initial=0)), -int(codes.min(initial=0)))
        pair = 2 * (grid.hi + bottom.zero_point) * greatest
        return Container(np.int8, 0) if pair <= PAIR_LIMIT else Container(np.uint8, 128)


def worst_sum(node: NodeProto, codes: Array, grid: Grid) -> int:
    """Greatest magnitude that an integer sum can reach, over all outputs; without bias."""
    attributes = {a.name: a.i for a in node.attribute}
    outputs = 1 if node.op_type == "Gemm" and not attributes.get("transB") else 0
    axes = tuple(i for i in range(codes.ndim) if i != outputs)
    positive = np.maximum(codes, 0).sum(axis=axes, dtype=np.int64)
    negative = np.minimum(codes, 0).sum(axis=axes, dtype=np.int64)
    lo, hi = min(grid.lo, 0), max(grid.hi, 0)
    most = positive * hi + negative * lo
    least = positive * lo + negative * hi
    return int(max(most.max(initial=0), -least.min(initial=0)))
