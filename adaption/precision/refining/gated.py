"""The last layer with weights, fitted by the error that passes the ReLU behind it.

Where the float result is below zero, ReLU makes it 0, and the rounded result, too, unless that is
above zero. So the errors that count differ from output to output, and one Hessian does not serve
them all. Some columns that the layer reads are kept instead: formats are compared by the error
behind the ReLU, and weights on the grid are improved by it.

This is for a layer with no convolution and no inner product behind it. Layers behind make up for
part of an error, also where ReLU cuts it off; with such layers behind it a layer gained nothing
(tried on ResNet-20 and SqueezeNet).
Source: reconstruction behind the activation function is from Nagel et al., "Up or Down? Adaptive
Rounding for Post-Training Quantization", 2020 (arXiv 2004.10568), section 3.4. Coordinate descent
is that of `rounding`, with moments of each output's own columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from adaption.numerics import FixedPoint
from adaption.precision.refining.rounding import DAMPING, SHRINKING

__all__ = ["SWEEPS", "Gate", "Gated"]

WORK = 1 << 37  # multiplications of one sweep, at most
VALUES = 1 << 25  # of the columns that are kept, and of their sums, at most
COLUMNS_PER_INPUT = 8  # with fewer, weights would be fitted to what they have in common by chance
CUT_OFF = 0.05  # weight of an error that ReLU cuts off: on other samples it may pass
INPUTS = 16  # that are improved together: the cost grows with them, few make many small products
SWEEPS = 2
TINY = 1e-30


@dataclass(frozen=True)
class Gate:
    """What lies between a layer's sums and the ReLU, by output (G, R): x -> slope x + offset."""

    slope: Tensor
    offset: Tensor


@dataclass(frozen=True)
class Gated:
    """Some columns that a layer reads in the rounded net, and the sums of the float net there.

    read: (G, M, d). sums: (G, M, R). moves_bias: the bias follows the weights, else it stays.
    sweeps: how often coordinate descent goes over all inputs.
    """

    read: Tensor
    sums: Tensor
    gate: Gate
    moves_bias: bool
    sweeps: int = SWEEPS

    @classmethod
    def of(
        cls,
        weight: Tensor,
        columns: Callable[[int], Iterable[tuple[Tensor, Tensor]]],
        gate: Gate,
        *,
        moves_bias: bool,
        sweeps: int = SWEEPS,
    ) -> Gated | None:
        """For a layer; None where it has too few columns for its inputs, or is too large.

        Args:
            weight: (G, R, d), float.
            columns: at most so many columns, pairs (G, M, d) of the rounded and of the float net.
        """
        groups, outputs, size = weight.shape
        most = WORK // (2 * INPUTS * weight.numel())
        most = min(most, VALUES // (groups * max(outputs, size)))
        if most < COLUMNS_PER_INPUT * size:
            return None
        read, sums = [], []
        for u, v in columns(most):
            read.append(u)
            sums.append(v @ weight.mT)
        if sum(u.shape[1] for u in read) < COLUMNS_PER_INPUT * size:
            return None
        if not all(bool(x.square().sum().isfinite()) for x in (*read, *sums)):
            return None  # sums of squares would leave float32
        return cls(torch.cat(read, 1), torch.cat(sums, 1), gate, moves_bias, sweeps)

    def losses(self, weights: Tensor, target: Tensor, rows: Tensor) -> Tensor:
        """The error behind the ReLU of each output, (F, G, R).

        Args:
            weights: (F, G, R, d), those of some outputs in several formats.
            target: (G, R, d), what they were rounded from.
            rows: which outputs.
        """
        losses, wanted = [], self.read @ target.float().mT
        for one in weights.float():
            sums = self.read @ one.mT
            shift = torch.zeros(one.shape[:2], dtype=torch.float64)
            if self.moves_bias:
                shift += (self.sums[:, :, rows] - sums).mean(1)
            shift = self._shift(sums, rows, shift)
            error, importance = self._errors(sums, wanted - sums, rows, shift)
            losses.append((importance * error.square()).mean(1, dtype=torch.float64))
        return torch.stack(losses)

    def improved(
        self,
        rounded: Tensor,
        target: Tensor,
        form: FixedPoint,
        rows: slice,
        shift: Tensor,
        zeros: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Weights on the same grid with a smaller error, and the shift that is then left to biases.

        Args:
            rounded: (G, R, d) on the grid of `form`, of these outputs.
            target: (G, R, d), what they were rounded from.
            rows: which outputs.
            shift: (G, R), what biases have to make up for now.
            zeros: (G, R, d) bool: weights that stay 0.
        """
        weight, target = rounded.to(torch.float32, copy=True), target.float()
        unchanged = shift
        if not self.moves_bias:
            shift = torch.zeros_like(shift)
        for _ in range(self.sweeps):
            sums = self.read @ weight.mT
            shift = self._shift(sums, rows, shift)
            missing = self.read @ (target - weight).mT
            error, importance = self._errors(sums, missing, rows, shift)
            for group in range(len(weight)):
                own = None if zeros is None else zeros[group]
                self._sweep(
                    weight[group], target[group], error[group], importance[group], form, group, own
                )
        if not self.moves_bias:
            return weight, unchanged
        return weight, self._shift(self.read @ weight.mT, rows, shift)

    def _behind_relu(
        self, sums: Tensor, rows: slice | Tensor, shift: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The rounded net's sums with their shift; where they pass the ReLU and the float net's do
        not; the sum at which the ReLU opens; and the weight of each error: (G, M, R) each."""
        slope, offset = (x[:, None, rows].float() for x in (self.gate.slope, self.gate.offset))
        sums = sums + shift.unsqueeze(1).float()
        is_open = self.sums[:, :, rows] * slope + offset > 0
        opens_wrongly = ~is_open & (sums * slope + offset > 0)
        importance = torch.where(is_open | opens_wrongly, 1.0, CUT_OFF)
        return sums, opens_wrongly, -offset / slope, importance

    def _shift(self, sums: Tensor, rows: slice | Tensor, shift: Tensor) -> Tensor:
        """What biases have to make up for: the mean difference from the float net's sums.

        Args:
            sums: of the rounded net, without any shift.
            shift: what is made up for already.
        """
        if not self.moves_bias:
            return shift
        sums, opens_wrongly, edge, importance = self._behind_relu(sums, rows, shift)
        wanted = torch.where(opens_wrongly, edge, self.sums[:, :, rows])
        return shift + _mean(wanted - sums, importance)

    def _errors(
        self, sums: Tensor, missing: Tensor, rows: slice | Tensor, shift: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The target's sums less the rounded net's and less their mean, and the weight of each
        error: (G, M, R).

        Args:
            sums: of the rounded net, without any shift. missing: the target's sums less these.

        The float net's own sums in place of the target's would be worse: they differ from these
        by what rounding did in earlier layers. The target has taken from that what can be made up
        for; the rest is noise, and few columns would be fitted to it.
        """
        sums, opens_wrongly, edge, importance = self._behind_relu(sums, rows, shift)
        if self.moves_bias:
            missing = missing - _mean(missing, importance).unsqueeze(1).float()
        return torch.where(opens_wrongly, edge - sums, missing), importance

    def _sweep(
        self,
        weight: Tensor,
        target: Tensor,
        error: Tensor,
        importance: Tensor,
        form: FixedPoint,
        group: int,
        zeros: Tensor | None,
    ) -> None:
        """Set each weight, given all others, to the best value of the grid; `error` follows.

        The fewer columns pass the ReLU, the more an output's weights are held near the target.
        """
        lsb, least, greatest = form.lsb, form.min_code, form.max_code
        read = self.read[group]
        damping = (SHRINKING * read.shape[1] / importance.sum(0)).clamp_min(DAMPING)
        pull = damping * (importance.T @ read.square().mean(1)) + TINY
        for start in range(0, weight.shape[1], INPUTS):
            part = read[:, start : start + INPUTS]
            width = part.shape[1]
            moments = _moments(part, importance)
            slopes = (importance * error).T @ part
            moments.diagonal(dim1=1, dim2=2).add_(pull.unsqueeze(1))
            slopes += pull.unsqueeze(1) * (target - weight)[:, start : start + width]
            before = weight[:, start : start + width].clone()
            for j in range(width):
                old = weight[:, start + j]
                step = slopes[:, j] / moments[:, j, j]
                new = ((old + step) / lsb).round().clamp(least, greatest) * lsb
                if zeros is not None:
                    new = new.masked_fill(zeros[:, start + j], 0)
                slopes -= (new - old).unsqueeze(1) * moments[:, j]
                weight[:, start + j] = new
            error -= part @ (weight[:, start : start + width] - before).T


def _moments(part: Tensor, importance: Tensor) -> Tensor:
    """Sums of products of inputs, weighted by the importance (M, R) of each place: (R, d, d)."""
    width = part.shape[1]
    i, j = torch.triu_indices(width, width)
    upper = importance.T @ (part[:, i] * part[:, j])
    moments = upper.new_empty(len(upper), width, width)
    moments[:, i, j] = upper
    moments[:, j, i] = upper
    return moments


def _mean(error: Tensor, importance: Tensor) -> Tensor:
    """The weighted mean of each output, (G, R), float64."""
    total = (importance * error).sum(1, dtype=torch.float64)
    return total / importance.sum(1, dtype=torch.float64)
