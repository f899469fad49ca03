"""The three products of a weight layer in one training step, on codes, beside the simulation's.

What the layer read (its view of the bottoms, its weights, the gradient of its tops) is kept as the
step goes, with the grid of each. Sums of codes are computed in float64, which holds all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adaption.net.node import Node
from adaption.net.points import Points
from adaption.numerics import FixedPoint, Format
from adaption.numerics.exact import FLOAT64_BITS, bits_of

__all__ = ["LayerStep", "ProductCheck"]

UNIT = 2.0**-24  # of float32's rounding
EXACT = 2.0**24  # float32 holds every integer up to here


@dataclass(frozen=True)
class ProductCheck:
    """One product of one layer, for one of its bottoms.

    terms: most products that one sum has. exponents: of the two operands; that of the sums is
    their sum. bits: word length, sign included, that holds every sum such codes can have;
    peak_bits: that holds those found. overflows: sums beyond the register. exact: share of the
    sums that float32 holds whatever the order, so that they have to be equal. differing: sums
    that are not as they have to be.
    """

    layer: str
    product: str
    operands: tuple[str, str]
    terms: int
    exponents: tuple[int, int]
    bits: int
    peak_bits: int
    sums: int
    overflows: int
    exact: float
    differing: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**vars(self), "operands": [*self.operands], "exponents": [*self.exponents]}


class Recorder(Points):
    """Points that keep what they round, and on which grid."""

    def __init__(self, points: Points) -> None:
        super().__init__(**vars(points))
        self.grids: dict[tuple[str, int], Format] = {}
        self.values: dict[tuple[str, int], Tensor] = {}

    def resolved(self, kind: str, x: Tensor, index: int = 0) -> Format:
        found = self.grids[kind, index] = super().resolved(kind, x, index)
        return found

    def rounded(self, kind: str, x: Tensor, index: int = 0) -> Tensor:
        made = self.values[kind, index] = super().rounded(kind, x, index)
        return made

    def view(self, x: Tensor, index: int) -> tuple[Tensor, Callable[[], Tensor]]:
        made = super().view(x, index)
        self.values["bottom", index] = made[0].detach()
        return made

    def round_(self, kind: str, x: Tensor, index: int = 0, *, then_relu: bool = False) -> None:
        if kind == "activation":
            self.values["sum", index] = x.detach().clone()
        super().round_(kind, x, index, then_relu=then_relu)

    def top(self, x: Tensor, index: int, *, in_place: bool) -> Tensor:
        self.values["sum", index] = x.detach().clone()
        return super().top(x, index, in_place=in_place)


class LayerStep:
    """One weight layer in a step: what it read, and what it made in the simulation."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.points = node.points
        self.recorder = Recorder(node.points)
        self.bottoms: list[Tensor] = []
        self.tops: list[Tensor] = []
        self.bottom_grads: list[Tensor | None] = []
        self.weight_grad: Tensor | None = None

    def forward_done(self, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        """Keep what the forward pass read and made; tops before they were rounded."""
        self.bottoms = [x.detach() for x in bottoms]
        kept = self.recorder.values
        self.tops = [kept.get(("sum", i), top.detach()) for i, top in enumerate(tops)]

    # -- the three products ------------------------------------------------------------------

    def checks(self, register_bits: int, notes: list[str]) -> Iterator[ProductCheck]:
        """The products whose operands are codes; why others are not goes to `notes`."""
        name = self.node.spec.name
        rows = (
            ("forward", ("bottom", "weight"), True),
            ("backward data", ("activation_grad", "weight"), any(
                g is not None for g in self.bottom_grads)),
            ("backward weights", ("bottom", "activation_grad"), self.weight_grad is not None),
        )  # fmt: skip
        for product, kinds, has_run in rows:
            why = self._not_codes(product, kinds) if has_run else ""
            if why is None:
                make = {"forward": self._forward, "backward data": self._data}.get(product)
                yield from (make or self._weights)(register_bits)
            elif why:
                notes.append(f'layer "{name}": {product} {why}')

    def _not_codes(self, product: str, kinds: tuple[str, str]) -> str | None:
        """Why a product has no codes: None where it has, "" where nothing of it is rounded."""
        formats = self.node.formats
        missing = [kind for kind in kinds if formats.of(kind) is None]
        if len(missing) == len(kinds):
            return ""
        if missing:
            return f"reads floats, as {missing[0]} has no format"
        if product == "backward data" and formats.backward_weights != "QUANTIZED":
            return "reads the unrounded weights (backward_weights: MASTER)"
        grids = [self._grid(kind, 0) for kind in kinds]
        if not all(isinstance(grid, FixedPoint) and grid.is_binary for grid in grids):
            return "is on a grid whose step is no power of two"
        return None

    def _forward(self, register_bits: int) -> Iterator[ProductCheck]:
        bias = self._bias()
        for i, top in enumerate(self.tops):
            a, w = self._codes("bottom", i), self._codes("weight", 0)
            sums = _Sums(a, w, self._run)
            alone = self._run(self.recorder.values["bottom", i], self._weight())
            differing = sums.differing(alone)
            # The layer adds its bias, in float32, somewhere on the way.
            if bias is not None:
                addend = self._run(torch.zeros_like(a.codes), w.codes, bias.double())
                differing = max(differing, sums.beyond(top, addend))
            else:
                differing = max(differing, sums.differing(top))
            yield self._check("forward", ("bottom", "weight"), sums, register_bits, differing)

    def _data(self, register_bits: int) -> Iterator[ProductCheck]:
        for i, made in enumerate(self.bottom_grads):
            if made is None:
                continue
            x = self.bottoms[i]

            def form(g: Tensor, w: Tensor, x: Tensor = x) -> Tensor:
                return self._gradient(torch.zeros_like(x, dtype=g.dtype), w, g, of_weight=False)

            sums = _Sums(self._codes("activation_grad", i), self._codes("weight", 0), form)
            fmt = self.node.formats.bottom
            if fmt is not None and fmt.mask_saturated:
                sums.mask(self._grid("bottom", i).inside(self.bottoms[i]))
            differing = sums.differing(made)
            kinds = ("activation_grad", "weight")
            yield self._check("backward data", kinds, sums, register_bits, differing)

    def _weights(self, register_bits: int) -> Iterator[ProductCheck]:
        made = self.weight_grad
        assert made is not None

        def form(x: Tensor, g: Tensor) -> Tensor:
            w = self.node.masters[0].tensor
            return self._gradient(x, torch.zeros_like(w, dtype=x.dtype), g, of_weight=True)

        parts = [
            _Sums(self._codes("bottom", i), self._codes("activation_grad", i), form)
            for i in range(len(self.tops))
        ]
        fmt = self.node.formats.weight
        for part in parts:
            if fmt is not None and fmt.mask_saturated:
                part.mask(self._grid("weight", 0).inside(self.node.masters[0].tensor.detach()))
        kinds = ("bottom", "activation_grad")
        if len(parts) == 1:
            differing = parts[0].differing(made)
        else:  # each has its exponent; the simulation adds them up in float32
            total = sum(part.values for part in parts)
            room = sum(part.room * 2 for part in parts)
            differing = int(((made.double() - total).abs() > room).sum())
        for part in parts:
            yield self._check("backward weights", kinds, part, register_bits, differing)

    def _check(
        self, product: str, kinds: tuple[str, str], sums: _Sums, register_bits: int, differing: int
    ) -> ProductCheck:
        half = 2.0 ** (register_bits - 1)
        peak = int(sums.codes.abs().max()) if sums.codes.numel() else 0
        low, high = int(sums.codes.min()), int(sums.codes.max())
        formats = self.node.formats
        return ProductCheck(
            self.node.spec.name,
            product,
            (str(formats.of(kinds[0])), str(formats.of(kinds[1]))),
            sums.terms,
            (-sums.a.grid.frac_length, -sums.b.grid.frac_length),
            bits_of(-sums.bound, sums.bound),
            bits_of(low, high) if peak else 1,
            sums.codes.numel(),
            int(((sums.codes >= half) | (sums.codes < -half)).sum()),
            float(sums.is_exact.double().mean()) if sums.codes.numel() else 1.0,
            differing,
        )

    # -- what the layer computes -------------------------------------------------------------

    def _run(self, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
        """The layer on one bottom, with a bias of zeros unless one is given."""
        blobs = [w]
        if len(self.node.masters) > 1:
            zeros = torch.zeros(self.node.masters[1].shape, dtype=x.dtype, device=x.device)
            blobs.append(zeros if bias is None else bias)
        made = self.node.layer.run(self.node.runtime, x, *blobs)
        assert isinstance(made, Tensor)
        return made

    def _gradient(self, x: Tensor, w: Tensor, g: Tensor, *, of_weight: bool) -> Tensor:
        """g times the derivative of the sums by the weights, or by the bottom."""
        with torch.enable_grad():
            leaves = x.detach().requires_grad_(), w.detach().requires_grad_()
            top = self._run(*leaves)
            (made,) = torch.autograd.grad(top, leaves[of_weight], g.view(top.shape))
        return made

    def _bias(self) -> Tensor | None:
        blobs = self.node.quantized_blobs()
        return blobs[1].detach() if len(blobs) > 1 else None

    def _weight(self) -> Tensor:
        return self.node.quantized_blobs()[0].detach()

    def _grid(self, kind: str, index: int) -> Format:
        found = self.node.rounded_grid(0) if kind == "weight" else None
        return found or self.recorder.grids[kind, index]

    def _codes(self, kind: str, index: int) -> _Operand:
        grid = self._grid(kind, index)
        assert isinstance(grid, FixedPoint)
        values = self._weight() if kind == "weight" else self.recorder.values[kind, index]
        codes = values.double() * 2.0**grid.frac_length
        assert torch.equal(codes, codes.round()), "rounded values lie on their grid"
        return _Operand(codes, grid)


@dataclass(frozen=True)
class _Operand:
    """Codes, whole numbers in float64, and their grid."""

    codes: Tensor
    grid: FixedPoint

    @property
    def most(self) -> int:
        return max(self.grid.max_code, -self.grid.min_code)


class _Sums:
    """Sums of products of two operands.

    `codes` are the sums, `values` what they stand for, `room` how far a float32 sum of the same
    products may be off in any order, `is_exact` where not at all.
    """

    def __init__(self, a: _Operand, b: _Operand, form: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.a, self.b = a, b
        ones = form(torch.ones_like(a.codes), torch.ones_like(b.codes))
        self.terms = int(ones.max()) if ones.numel() else 0
        self.bound = self.terms * a.most * b.most
        assert self.bound < 2**FLOAT64_BITS, "16-bit words, and fewer terms than 2^23"
        self.codes = form(a.codes, b.codes).round()
        magnitudes = form(a.codes.abs(), b.codes.abs())
        self._unit = 2.0 ** -(a.grid.frac_length + b.grid.frac_length)
        self.is_exact = magnitudes <= EXACT
        self.room = magnitudes * (self._unit * self.terms * UNIT / (1 - self.terms * UNIT))
        self.values = self.codes * self._unit

    def mask(self, inside: Tensor) -> None:
        """No gradient where a value was beyond its range."""
        for name in ("codes", "values", "room"):
            setattr(self, name, getattr(self, name) * inside)

    def differing(self, made: Tensor) -> int:
        """How many float32 sums are not as they have to be."""
        off = (made.view(self.values.shape).double() - self.values).abs()
        return int((off > self.room.where(~self.is_exact, 0)).sum())

    def beyond(self, made: Tensor, addend: Tensor) -> int:
        """The same of sums with something added in float32."""
        off = (made.double() - (self.values + addend)).abs()
        room = (self.room + (self.values.abs() + addend.abs()) * 2 * UNIT) * (1 + 2 * UNIT)
        return int((off > room).sum())
