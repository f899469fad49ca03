"""Program: a low-precision net as integer operations; what exact arithmetic runs, and what the
integer forms (ONNX, C) are written from.

A `Value` is a tensor of integer codes. It stands for code · 2^-frac_length / divisor; the divisor
is odd, and 1 except on WRPN's grids, and behind an average over a number of pixels that is no power
of two. Every value has a static bound low..high that no input can leave.

The operations, on codes x (all exact; nothing rounds but `Quantize` and `Round`):

    Quantize     float32 to codes: clamp(round(x 2^f)), as FixedPoint does it
    Product      convolution, deconvolution or inner product with weight codes; frac lengths add
    MultiplyAdd  x · multiplier + addend, constants that broadcast against one sample
    Round        clamp(round(x · factor / divisor)): requantization, the only rounding of codes
    Accumulate   clamp or wrap(round(x / 2^shift) + addend): an accumulator of a given width
    Slope        x · positive where x > 0, else x · negative (leaky ReLU, PReLU)
    Clamp        min(max(x, low), high)
    MaxPool      greatest code of each window; WindowSum: sum of the codes of each window
    Add          sum of values of one scale; Multiply: product, axes of size 1 are spread
    Table        entries[x - first]: a function of one code, with the rounding of the point behind
    SquareSum    sum of x² over a window around each value (LRN), or over whole axes (Normalize)
    Interpolate  a falling function of x >= 0 by chords between its nodes, see
                 `numerics.exact.interpolated`: the factor of LRN and Normalize
    Apply        the layer's own forward, where it moves, picks or compares values (Concat, Flatten,
                 ReLU, Eltwise MAX, ...); all values have one scale
    Dequantize   codes to float32: code · 2^-frac_length / divisor
    FloatLayer   a layer in float32: one that only moves or compares values, or one behind the last
                 integer layer (Softmax)

What else is computed in float32, before the first point and behind sums of WRPN weights, is in
`float_ops`.

round is the format's own: half_away, half_even or floor, of the exact quotient. A bias joins the
sum before rounding. Where it lies off the sum's grid it is rounded to odd at half a step, which
moves it across no rounding threshold (`numerics.exact.round_to_odd`): through any monotonic layer
the next quantization point then rounds what the unrounded bias gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from adaption.layers.base import Layer, Runtime, Shape, canonical_axis
from adaption.layers.inner_product import InnerProduct
from adaption.layers.pooling import Pooling
from adaption.net.node import Node
from adaption.numerics import FixedPoint
from adaption.numerics.exact import (
    bits_of,
    exact_product,
    interpolated,
    overflowed,
    round_divide,
    window_sums,
)

__all__ = [
    "Accumulate", "Add", "Apply", "Clamp", "Dequantize", "FloatLayer", "Interpolate", "MaxPool",
    "Multiply", "MultiplyAdd", "Op", "Product", "Program", "Quantize", "Round", "Slope",
    "SquareSum", "Table", "TopValue", "Value", "WindowSum",
]  # fmt: skip

Codes = npt.NDArray[np.int64]
PIECE = 1 << 22  # weights that are held in float64 at once


@dataclass(frozen=True)
class Value:
    """Integer codes of one tensor: name, shape, scale and bound."""

    name: str
    shape: Shape
    frac_length: int
    low: int
    high: int
    divisor: int = 1

    @property
    def scale(self) -> float:
        """What one code stands for: 2^-frac_length / divisor."""
        return float(np.ldexp(1.0, -self.frac_length)) / self.divisor

    @property
    def bits(self) -> int:
        """Least word length, sign included, that holds every code there can be."""
        return bits_of(self.low, self.high)

    @property
    def bound(self) -> int:
        """Greatest magnitude of a code."""
        return max(-self.low, self.high)

    def to_float(self, codes: Tensor) -> Tensor:
        """float32 values: the float64 quotient, rounded once more."""
        return (codes.double() * float(np.ldexp(1.0, -self.frac_length)) / self.divisor).float()


def _tensor(codes: Codes) -> Tensor:
    return torch.from_numpy(np.asarray(codes, np.int64))


@dataclass(frozen=True)
class Op:
    """One operation; reads the values `inputs`, writes `outputs`, belongs to a layer of the net."""

    layer: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, *xs: Tensor) -> Tensor | Sequence[Tensor]:
        """int64 codes (or float32 values) in, int64 codes (or float32 values) out."""
        raise NotImplementedError


@dataclass(frozen=True)
class Quantize(Op):
    format: FixedPoint

    def run(self, *xs: Tensor) -> Tensor:
        return self.format.codes(xs[0]).to(torch.int64)


def in_pieces(
    form: InnerProduct, x: Tensor, weight: Tensor, some: Callable[[Tensor, slice], Tensor]
) -> Tensor:
    """An inner product with a weight (outputs, inputs), some outputs at a time: a large weight is
    never held in float64 as a whole.

    Args:
        some: makes the outputs of a slice of the weight, from the rows of `x`.
    """
    rows = x.flatten(canonical_axis(form.axis, x.dim()))
    step = max(1, PIECE // max(1, weight.shape[1]))
    parts = [some(rows, slice(i, i + step)) for i in range(0, len(weight), step)]
    return torch.cat(parts, dim=-1)


@dataclass(frozen=True)
class Product(Op):
    """`form` is the Convolution, Deconvolution or InnerProduct with its geometry; it has no bias
    here. `codes` are the weight's, in the blob's shape and a short type; `bound` limits every part
    of every sum.

    With a `shift` every single product loses that many bits, rounded, before they are summed.
    """

    form: Layer
    codes: npt.NDArray[Any]
    weight_frac_length: int
    bound: int
    shift: int = 0
    rounding: str = "floor"

    def run(self, *xs: Tensor) -> Tensor:
        if self.shift:
            return self._with_shifted_products(xs[0], _tensor(self.weight))
        form, w = self.form, torch.from_numpy(self.codes)
        if not isinstance(form, InnerProduct) or form.transpose:
            return exact_product(form.forward, xs[0], w.double(), self.bound)

        def some(rows: Tensor, part: slice) -> Tensor:
            return exact_product(F.linear, rows, w[part].double(), self.bound)

        return in_pieces(form, xs[0], w, some)

    @property
    def weight(self) -> Codes:
        """The codes as int64, a copy."""
        return self.codes.astype(np.int64)

    def _with_shifted_products(self, x: Tensor, w: Tensor) -> Tensor:
        """Products one tap at a time: position k of every filter with what it meets."""
        total: Tensor | None = None
        flat = w.flatten(1)
        for k in range(flat.shape[1]):
            # One-hot filters pick the bottom that tap k meets, per output.
            tap = torch.zeros_like(flat)
            tap[:, k] = 1
            met = self.form.forward(x.double(), tap.view_as(w).double()).to(torch.int64)
            factors = flat[:, k].view(-1, *[1] * (met.dim() - 2))
            part = round_divide(met * factors, 1 << self.shift, self.rounding)
            total = part if total is None else total + part
        assert total is not None
        return total


@dataclass(frozen=True)
class MultiplyAdd(Op):
    multiplier: Codes
    addend: Codes

    def run(self, *xs: Tensor) -> Tensor:
        return xs[0] * _tensor(self.multiplier) + _tensor(self.addend)


@dataclass(frozen=True)
class Round(Op):
    """`low` and `high` are None where nothing can saturate."""

    factor: int
    divisor: int
    rounding: str
    low: int | None
    high: int | None

    def run(self, *xs: Tensor) -> Tensor:
        rounded = round_divide(self._scaled(xs[0]), self.divisor, self.rounding)
        return rounded if self.low is None else rounded.clamp(self.low, self.high)

    def beyond(self, x: Tensor) -> int:
        """How many values lie outside the range, those included that round to its ends."""
        if self.low is None or self.high is None or not x.numel():
            return 0
        scaled, word = self._scaled(x), torch.iinfo(torch.int64)
        # No value is beyond an end that int64 does not hold.
        least = max(self.low * self.divisor, word.min)
        most = min(self.high * self.divisor, word.max)
        if int(scaled.min()) >= least and int(scaled.max()) <= most:
            return 0
        return int(torch.count_nonzero((scaled < least) | (scaled > most)))

    def ties(self, x: Tensor) -> int:
        """How many values lie exactly between two codes."""
        half, is_odd = divmod(self.divisor, 2)
        if is_odd:
            return 0
        scaled = self._scaled(x)
        is_power = not self.divisor & (self.divisor - 1)
        rest = scaled & (self.divisor - 1) if is_power else scaled % self.divisor
        return int(torch.count_nonzero(rest == half))

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.factor == 1 else x * self.factor


@dataclass(frozen=True)
class Accumulate(Op):
    """An accumulator of `word_length` bits; `overflow` is "saturate" or "wrap"."""

    shift: int
    rounding: str
    addend: Codes
    word_length: int
    overflow: str

    def run(self, *xs: Tensor) -> Tensor:
        return overflowed(self.unbounded(xs[0]), self.word_length, self.overflow)

    def unbounded(self, x: Tensor) -> Tensor:
        """What an accumulator without a limit would hold."""
        return round_divide(x, 1 << self.shift, self.rounding) + _tensor(self.addend)


@dataclass(frozen=True)
class Slope(Op):
    positive: int
    negative: Codes

    def run(self, *xs: Tensor) -> Tensor:
        return torch.where(xs[0] > 0, xs[0] * self.positive, xs[0] * _tensor(self.negative))


@dataclass(frozen=True)
class Clamp(Op):
    low: int | None
    high: int | None

    def run(self, *xs: Tensor) -> Tensor:
        return xs[0].clamp(self.low, self.high)


@dataclass(frozen=True)
class MaxPool(Op):
    form: Pooling

    def run(self, *xs: Tensor) -> Tensor:
        top: Tensor = self.form.run(Runtime(), xs[0].double())
        return top.to(torch.int64)


@dataclass(frozen=True)
class WindowSum(Op):
    form: Pooling

    def run(self, *xs: Tensor) -> Tensor:
        return self.form.window_sums(xs[0].double()).to(torch.int64)


@dataclass(frozen=True)
class Add(Op):
    def run(self, *xs: Tensor) -> Tensor:
        return reduce(torch.add, xs)


@dataclass(frozen=True)
class Multiply(Op):
    def run(self, *xs: Tensor) -> Tensor:
        return reduce(torch.mul, xs)


@dataclass(frozen=True)
class Table(Op):
    """`first` is the code that the first entry stands for."""

    first: int
    entries: Codes

    def run(self, *xs: Tensor) -> Tensor:
        return _tensor(self.entries)[xs[0] - self.first]


@dataclass(frozen=True)
class SquareSum(Op):
    """`windows`: for each axis behind the first an odd size, with zeros outside, or None: the whole
    axis, along which the top has size 1."""

    windows: tuple[int | None, ...]

    def run(self, *xs: Tensor) -> Tensor:
        total = xs[0].square()
        for axis, size in enumerate(self.windows, 1):
            if size is None:
                total = total.sum(axis, keepdim=True)
            elif size > 1:
                total = window_sums(total, axis, size)
        return total


@dataclass(frozen=True)
class Interpolate(Op):
    """`nodes` as codes; 2^segment_bits of them between a power of two and the next."""

    nodes: Codes
    segment_bits: int

    def run(self, *xs: Tensor) -> Tensor:
        return interpolated(xs[0], _tensor(self.nodes), self.segment_bits)


@dataclass(frozen=True)
class Apply(Op):
    form: Layer

    def run(self, *xs: Tensor) -> Tensor | Sequence[Tensor]:
        made: Tensor | Sequence[Tensor] = self.form.forward(*xs)
        return made


@dataclass(frozen=True)
class Dequantize(Op):
    value: Value

    def run(self, *xs: Tensor) -> Tensor:
        return self.value.to_float(xs[0])


@dataclass(frozen=True)
class FloatLayer(Op):
    """`node` runs without rounding its tops."""

    node: Node

    def run(self, *xs: Tensor) -> Sequence[Tensor]:
        return self.node.forward(list(xs), record=False)


@dataclass(frozen=True)
class TopValue:
    """Where a top of a layer of the net is; `value` None: folded into the layers behind it.

    `is_float` says that the value holds float32, not codes.
    """

    layer: str
    type: str
    blob: str
    value: str | None
    is_float: bool = False
    format: FixedPoint | None = None  # of the quantization point that made it


@dataclass(frozen=True)
class Program:
    """The operations in order. `inputs` and `outputs` map blobs to values, float32 both.

    `views` are the codes of bottoms that a layer rounds for itself, by layer and index.
    `is_lossless` is False where a constant or an intermediate value had to be rounded that the
    simulation does not round; `notes` says where. `exceptions` are layers in float32 that other
    programs may compute with other last bits, before a point: codes behind them may differ there.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    ops: tuple[Op, ...]
    values: Mapping[str, Value]  # of codes; float32 values are not listed
    tops: tuple[TopValue, ...]
    is_lossless: bool
    notes: tuple[str, ...] = field(default=())
    views: Mapping[tuple[str, int], str] = field(default_factory=dict)
    float_shapes: Mapping[str, Shape] = field(default_factory=dict)  # of float32 values but inputs
    exceptions: tuple[str, ...] = ()

    def of_kind(self, kind: type[Op]) -> list[Any]:
        """The operations of one kind, in order."""
        return [op for op in self.ops if type(op) is kind]
