"""One weight layer: weights and bias that give, on rounded inputs, the float result best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from adaption.numerics import FixedPoint
from adaption.precision.refining.activations import of_range, ranges
from adaption.precision.refining.gated import Gated
from adaption.precision.refining.moments import Moments
from adaption.precision.refining.rounding import (
    DAMPING,
    SHRINKING,
    SWEEPS,
    Hessian,
    loss,
    round_compensating,
)

__all__ = ["MOST_INPUTS", "FitSettings", "Fitted", "LayerFit", "fit_layer"]

MOST_INPUTS = 4608  # of one Hessian
BLOCK_INPUTS = 2048  # more inputs are treated in blocks of so many, which bounds memory
TRIAL_ROWS = 256  # outputs that formats are compared on
ROWS = 1024  # outputs that are treated at a time
OCTAVES = 4  # fractional lengths that are tried, from max-abs on

Columns = Callable[[slice], Iterator[tuple[Tensor, Tensor]]]


@dataclass(frozen=True)
class FitSettings:
    """What is to be done to a layer.

    compensates: round the weights so that errors cancel (GPTQ), instead of each to the nearest.
    centred: deviations from the means count, since the bias makes up for the means.
    format: of the weights; None: the one with the least error of the result is to be found.
    """

    compensates: bool
    centred: bool
    keeps_zeros: bool
    format: FixedPoint | None
    like: FixedPoint  # word length and rounding where `format` is None


@dataclass(frozen=True)
class Fitted:
    """A layer's weights on the grid of a format.

    rounded: (G, R, d). shift: (G, R), what the bias has to make up for.
    losses: error of the result by frac_length, of the formats that were compared.
    blocks: how many Hessians the inputs were cut into.
    """

    rounded: Tensor
    format: FixedPoint
    shift: Tensor
    losses: dict[int, float]
    blocks: int


class LayerFit:
    """The fit of one layer, for one word length or several.

    Args:
        weight: (G, R, d), float.
        columns: pairs of columns (G, M, d) of the rounded and of the float net, of some inputs.
        importance: (G, R), how much the error of each output counts.
        gated: returns what is needed to fit by the error behind a ReLU; None where none follows.
    """

    def __init__(
        self,
        weight: Tensor,
        columns: Columns,
        settings: FitSettings,
        importance: Tensor | None = None,
        gated: Callable[[], Gated | None] = lambda: None,
    ) -> None:
        self.weight, self.columns, self.settings = weight, columns, settings
        self.importance, self._make_gated = importance, gated
        size = weight.shape[2]
        count = 1 if size <= MOST_INPUTS else math.ceil(size / BLOCK_INPUTS)
        edges = [round(size * i / count) for i in range(count + 1)]
        self.slices = [slice(a, b) for a, b in pairwise(edges)]
        self.single = self._block(self.slices[0]) if count == 1 else None  # serves every length

    def _block(self, inputs: slice) -> _Block:
        return _Block.of(self.weight, self.columns, inputs, self.settings)

    def _blocks(self) -> Iterator[_Block]:
        for one in self.slices:
            yield self.single or self._block(one)

    @cached_property
    def _gated(self) -> Gated | None:
        return self._make_gated() if self.settings.compensates and self.single else None

    def rounded(self, like: FixedPoint | None = None) -> Fitted:
        """The layer's weights on the grid of a format.

        Args:
            like: in place of what the settings say: of their format where they name one, else of
                the word length and rounding that the format is found for.
        """
        weight, settings = self.weight, self.settings
        losses: dict[int, float] = {}
        if settings.format is None:
            form, losses = _best_format(
                weight, self._blocks, like or settings.like, self.importance, self._gated
            )
        else:
            form = like or settings.format
        rounded = torch.empty_like(weight)  # float32 holds values on the grid
        shift = torch.zeros(weight.shape[:2], dtype=torch.float64)
        for block in self._blocks():
            for rows in _row_pieces(weight):
                made = block.rounded(form, rows)
                shift[:, rows] += block.shift(made, rows)
                if self._gated is not None:
                    zeros = block.zeros(rows)
                    target = block.target[:, rows]
                    made, shift[:, rows] = self._gated.improved(
                        made, target, form, rows, shift[:, rows], zeros
                    )
                rounded[:, rows, block.inputs] = made.float()
        return Fitted(rounded, form, shift, losses, len(self.slices))

    def fitted(self) -> tuple[Tensor, Tensor]:
        """The float weights (G, R, d) that give the float net's result best, before any rounding,
        and the shift (G, R) that the bias then has to make up for."""
        made = torch.empty_like(self.weight)
        shift = torch.zeros(self.weight.shape[:2], dtype=torch.float64)
        for block in self._blocks():
            made[:, :, block.inputs] = block.target.float()
            for rows in _row_pieces(self.weight):
                shift[:, rows] += block.shift(block.target[:, rows], rows)
        return made, shift


def fit_layer(
    weight: Tensor, columns: Columns, settings: FitSettings, importance: Tensor | None = None
) -> Fitted:
    """Fit one layer for the word length of its settings; arguments as of LayerFit."""
    return LayerFit(weight, columns, settings, importance).rounded()


@dataclass(frozen=True)
class _Block:
    """Some inputs of a layer, the moments of what it reads there, and the target."""

    inputs: slice
    weight: Tensor  # float32, not copied
    moments: Moments
    hessian: Hessian
    target: Tensor
    settings: FitSettings

    @classmethod
    def of(cls, weight: Tensor, columns: Columns, inputs: slice, settings: FitSettings) -> _Block:
        own = weight[:, :, inputs]
        moments = Moments.of(own)
        for u, v in columns(inputs):
            moments.add(u, v)
        damping = max(DAMPING, SHRINKING * own.shape[2] / max(1, moments.count))
        hessian = Hessian.of(moments.taken_hessian(centred=settings.centred), damping)
        target = own.double()
        for rows in _row_pieces(own):
            target[:, rows] += hessian.solve(moments.drift(rows, centred=settings.centred))
        moments.forget_drift()
        if settings.keeps_zeros:
            target.masked_fill_(own == 0, 0)
        return cls(inputs, own, moments, hessian, target, settings)

    def shift(self, made: Tensor, rows: slice) -> Tensor:
        """What biases have to make up for where these outputs have the weights `made`."""
        return self.moments.shift(made.double(), rows)

    def rounded(self, form: FixedPoint, rows: slice) -> Tensor:
        """The weights of these outputs on the grid of a format."""
        return self._rounded([form], rows, SWEEPS)[0]

    def zeros(self, rows: slice | Tensor) -> Tensor | None:
        """Which weights of these outputs stay 0, (G, R, d); None where none has to."""
        return self.weight[:, rows] == 0 if self.settings.keeps_zeros else None

    def losses(self, forms: Sequence[FixedPoint], rows: Tensor, gated: Gated | None) -> Tensor:
        """Error of the result by format and output, (F, G, R), without any sweeps.

        Args:
            forms: of one word length.
        """
        made, target = self._rounded(forms, rows, 0), self.target[:, rows]
        if gated is not None:
            return gated.losses(made, target, rows)
        return torch.stack([loss(target, one, self.hessian.matrix) for one in made])

    def _rounded(self, forms: Sequence[FixedPoint], rows: slice | Tensor, sweeps: int) -> Tensor:
        """(F, G, R, d); all formats go through the columns together, as further outputs."""
        if not self.settings.compensates:
            weight = self.weight[:, rows].double()
            return torch.stack([form.quantize(weight) for form in forms])
        target = self.target[:, rows]
        several = torch.cat([target / form.lsb for form in forms], 1)
        zeros = self.zeros(rows)
        if zeros is not None:
            zeros = zeros.repeat(1, len(forms), 1)
        ends = forms[0].min_code, forms[0].max_code
        codes = round_compensating(several, self.hessian, *ends, zeros, sweeps)
        made = torch.split(codes, target.shape[1], 1)
        return torch.stack([x * form.lsb for x, form in zip(made, forms, strict=True)])


def _row_pieces(weight: Tensor) -> Iterator[slice]:
    """Some outputs of weights (G, R, d) at a time."""
    for start in range(0, weight.shape[1], ROWS):
        yield slice(start, start + ROWS)


def _best_format(
    weight: Tensor,
    blocks: Callable[[], Iterator[_Block]],
    like: FixedPoint,
    importance: Tensor | None,
    gated: Gated | None,
) -> tuple[FixedPoint, dict[int, float]]:
    """The format with the least error of the result, on some of the outputs."""
    rows = torch.linspace(0, weight.shape[1] - 1, min(TRIAL_ROWS, weight.shape[1])).long()
    counts = 1.0 if importance is None else importance[:, rows]
    forms: Sequence[FixedPoint] | None = None
    losses: dict[int, float] = {}
    for block in blocks():
        if forms is None:
            peak = max(float(block.target.abs().max()), float(weight.abs().max()))
            tried = list(ranges(peak))[:OCTAVES]
            forms = [of_range(like, bits) for bits in tried]
            losses = dict.fromkeys((f.frac_length for f in forms), 0.0)
        for form, error in zip(forms, block.losses(forms, rows, gated), strict=True):
            losses[form.frac_length] += float((error * counts).sum())
    assert forms is not None
    best = min(forms, key=lambda f: losses[f.frac_length])
    return best, losses
