"""FunctionBuilder: what is not linear, as tables of codes and as interpolated factors.

A function of each value alone (Sigmoid, TanH, ELU, ...) becomes one table from bottom codes to top
codes. Its entries are computed in float64: the function of code · 2^-frac_length, then the rounding
and saturation of the quantization point behind it. Layers of that kind that follow one another are
one table. Bottoms have at most 16 bits.

LRN and Normalize are x · factor(S), S the sum of squares over a window: exact, an integer. The
factor is an integer with F fractional bits, interpolated between nodes that lie closer where S is
small, see `numerics.exact.interpolated`. F gives the least factor 24 bits. The product of x and the
factor is exact; the next point rounds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isqrt, prod

import numpy as np
import numpy.typing as npt
import torch

from adaption.errors import FieldError, LayerError
from adaption.exact.constants import half_away, multiplier
from adaption.exact.entries import Function, Real
from adaption.exact.options import ExactOptions
from adaption.exact.products import ProductBuilder
from adaption.exact.program import Apply, Interpolate, Multiply, SquareSum, Table, Value
from adaption.layers.base import Layer, Lowering, Shape
from adaption.numerics import FixedPoint
from adaption.numerics.exact import MOST_BITS, bits_of, interpolated, node_places

__all__ = ["FunctionBuilder"]

TABLE_BITS = 16  # of a bottom that is looked up
POINT_BITS = 32  # of a format that a table rounds to
SEGMENT_BITS = 9  # 512 nodes between a power of two and the next: chords err by less than 2^-20
FACTOR_BITS = 24  # of the least factor
LEAST_FACTOR_BITS = 16  # the same, where 61 bits do not hold more

Codes = npt.NDArray[np.int64]
Factor = Callable[[Real], Real]


class FunctionBuilder(ProductBuilder):
    """ProductBuilder, and the layers that are not linear."""

    def __init__(self, options: ExactOptions, *, scales_sums: bool = False) -> None:
        super().__init__(options, scales_sums=scales_sums)
        self._tables: dict[tuple[Function, FixedPoint | None], Value] = {}

    # -- layers.base.IntegerLowering ---------------------------------------------------------

    def function(self, x: str) -> str:
        entry = self.entries[x]
        source = entry if isinstance(entry, Function) else self._codes(x)
        return self.name(Function(self.member, source))

    def widen(self, x: str, rank: int) -> str:
        v = self._codes(x)
        top = replace(v, name=self.free("wide"), shape=(*v.shape, *[1] * (rank - len(v.shape))))
        if top.shape == v.shape:
            return x
        return self.name(self._add(Apply, [v], [top], form=_Widened(rank)))

    def normalize(self, x: str, windows: Sequence[int | None], factor: Factor) -> str:
        v = self._codes(x)
        sizes = [n or size for n, size in zip(windows, v.shape[1:], strict=True)]
        most = min(self.options.word_length, (MOST_BITS - prod(sizes).bit_length()) // 2)
        v = self.narrowed(v, most, "before they are squared")
        greatest = v.bound**2 * prod(sizes)
        shape = _top_shape(v.shape, windows)
        squares = Value(self.free("squares"), shape, 2 * v.frac_length, 0, greatest, v.divisor**2)
        made = _Nodes.of(factor, squares, v)
        self._add(SquareSum, [v], [squares], windows=tuple(windows))
        self.is_lossless = False
        self._note(
            "its factor is interpolated between"
            f" {made.codes.size} nodes, with a relative error of {made.error:.1e} at most"
        )
        low, high = int(made.codes.min()), int(made.codes.max())
        by = Value(self.free("factor"), shape, made.frac_length, low, high)
        self._add(Interpolate, [squares], [by], nodes=made.codes, segment_bits=SEGMENT_BITS)
        top = replace(
            v,
            name=self.free("product"),
            frac_length=v.frac_length + made.frac_length,
            low=-made.bound if v.low < 0 else 0,
            high=made.bound,
        )
        return self.name(self._add(Multiply, [v, by], [top]))

    # -- for the walk over the net -----------------------------------------------------------

    def tabulated(self, entry: Function, fmt: FixedPoint | None) -> Value:
        """The codes of a function, rounded to `fmt`; without one to as many bits as a weight layer
        may read, which is said.

        Raises: LayerError when its bottom has too many bits.
        """
        key = entry, fmt
        if key not in self._tables:
            try:
                self._tables[key] = self._tabulated(entry, fmt)
            except LayerError as error:
                spec = entry.member.spec
                raise error.at(layer=spec.name, layer_type=spec.type, line=spec.line) from None
        return self._tables[key]

    def where_tabulated(self, entry: Function) -> Value | None:
        """The codes of a function that no point has rounded, if anything asked for them."""
        return self._tables.get((entry, None))

    # -- inner -------------------------------------------------------------------------------

    def _codes(self, name: str) -> Value:
        entry = self.entries[name]
        return self.tabulated(entry, None) if isinstance(entry, Function) else super()._codes(name)

    def _tabulated(self, entry: Function, fmt: FixedPoint | None) -> Value:
        v = entry.base
        if v.high - v.low >= 1 << TABLE_BITS:
            raise LayerError(
                f"a table takes codes of {TABLE_BITS} bits, its bottom may have {v.bits}",
                f"put an LPAct of {TABLE_BITS} bits or less before it",
            )
        codes = np.arange(v.low, v.high + 1, dtype=np.float64)
        with torch.no_grad():
            real = _run(entry, torch.from_numpy(np.ldexp(codes, -v.frac_length) / v.divisor))
        missing = int(torch.count_nonzero(real.isnan()))
        if missing:
            self.is_lossless = False
            self._note(
                f"{missing} of {codes.size} codes give no number; 0 stands there", entry.member
            )
            real = real.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
        entries, frac_length = self._entries(entry, real, fmt)
        low, high = int(entries.min()), int(entries.max())
        divisor = 1 if fmt is None else fmt.divisor
        top = Value(self.free("table"), v.shape, frac_length, low, high, divisor)
        return self._add(Table, [v], [top], first=v.low, entries=entries)

    def _entries(
        self, entry: Function, real: torch.Tensor, fmt: FixedPoint | None
    ) -> tuple[Codes, int]:
        if fmt is not None:
            if fmt.word_length > POINT_BITS:
                raise FieldError("word_length", fmt.word_length, f"{POINT_BITS} or less")
            rounded = self.options.at_point(fmt).codes(real)
            return np.asarray(rounded.to(torch.int64).numpy()), fmt.frac_length
        if not real.isfinite().all():
            raise LayerError("it is infinite for some codes", "put an LPAct behind it")
        made = multiplier(np.asarray(real.numpy()), self.options.word_length - 1)
        if not made.is_exact:
            self.is_lossless = False
            self._note(
                f"its table is rounded to {self.options.word_length} bits"
                f" ({made.frac_length} fractional bits), since no format is stated there",
                entry.member,
            )
        return made.codes, made.frac_length


@dataclass(frozen=True)
class _Widened(Layer):
    rank: int

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(*x.shape, *[1] * (self.rank - x.dim()))

    def lower(self, g: Lowering, *names: str) -> str:
        axes = list(range(len(g.shape(names[0])), self.rank))
        y: str = g.op("Unsqueeze", names[0], g.constant(axes))
        return y


def _run(entry: Function, x: torch.Tensor) -> torch.Tensor:
    """The function in float64."""
    node = entry.member.node
    bottom = x if isinstance(entry.source, Value) else _run(entry.source, x)
    top: torch.Tensor = node.layer.run(node.runtime, bottom)
    return top


def _top_shape(bottom: Shape, windows: Sequence[int | None]) -> Shape:
    pairs = zip(windows, bottom[1:], strict=True)
    return (bottom[0], *(1 if window is None else size for window, size in pairs))


@dataclass(frozen=True)
class _Nodes:
    """A factor's nodes as codes. `bound`: greatest magnitude of a value times its factor; `error`:
    of the interpolated factor, relative."""

    codes: Codes
    frac_length: int
    bound: int
    error: float

    @classmethod
    def of(cls, factor: Factor, squares: Value, x: Value) -> _Nodes:
        """The nodes for sums of squares of `x`.

        Raises: LayerError when the factor is not positive, or grows, or needs too many bits.
        """
        places = node_places(squares.high, SEGMENT_BITS)
        with np.errstate(all="ignore"):
            real = factor(places.astype(np.float64) * squares.scale)
        real[0] = real[1]  # where the sum is 0, so is the value
        if not (np.isfinite(real).all() and (real > 0).all()):
            raise LayerError("its factor has no integer form: it is not above 0 for every sum")
        if (real[1:] > real[:-1] * (1 + 1e-9)).any():
            raise LayerError("its factor has no integer form: it grows with the sum of squares")
        finest = FACTOR_BITS - int(np.frexp(real[-1])[1])
        for frac_length in range(finest, finest - FACTOR_BITS + LEAST_FACTOR_BITS - 1, -1):
            if np.ldexp(real[0], frac_length) >= 2.0**MOST_BITS:
                continue
            codes = np.minimum.accumulate(half_away(np.ldexp(real, frac_length)))
            bound = _greatest_product(codes, places, x.bound)
            falls = (codes[:-1] - codes[1:]).astype(np.float64) * np.diff(places)
            if bits_of(-bound, bound) <= MOST_BITS and falls.max() < 2.0**MOST_BITS:
                error = _error(factor, squares.scale, codes, frac_length, places)
                return cls(codes, frac_length, bound, error)
        raise LayerError(
            f"its factor has no integer form: sums of squares reach {squares.high}",
            "put an LPAct of fewer bits before it",
        )


def _greatest_product(nodes: Codes, places: Codes, bound: int) -> int:
    """Of a value and its factor: the value's square is part of the sum."""
    ends = (min(bound, isqrt(int(end))) for end in places[1:])
    return max(int(node) * end for node, end in zip(nodes, ends, strict=False))


def _error(factor: Factor, scale: float, nodes: Codes, frac_length: int, places: Codes) -> float:
    """Greatest relative error, found at the nodes and in the middle between them."""
    middles = (places[:-1] + places[1:]) // 2
    x = np.concatenate([places[1:-1], middles[1:]])
    found = interpolated(torch.from_numpy(x), torch.from_numpy(nodes), SEGMENT_BITS).numpy()
    return float(np.abs(np.ldexp(found / factor(x * scale), -frac_length) - 1).max(initial=0.0))
