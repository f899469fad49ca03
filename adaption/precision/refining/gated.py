"""Last weights before the scores whose errors count where they pass a ReLU.

Where the float result is below zero, ReLU makes 0 of it, and of the rounded result, too, unless
that rises above zero. So the errors that count differ from output to output, and no one Hessian
serves them all. Some columns that the layer reads are kept instead: formats are compared, and
weights on the grid are improved, by the error behind the ReLU.

This is for a layer behind which no convolution and no inner product comes. Errors of all others,
those that a ReLU cuts off, too, are made up for in part by the layers behind them; there this
gained nothing (tried on ResNet-20 and SqueezeNet).
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
CUT_OFF = 0.05  # what an error counts where ReLU cuts it off: on other samples it may pass
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

    def losses(self, made: Tensor, target: Tensor, rows: Tensor) -> Tensor:
        """The error behind the ReLU of each output, (F, G, R).

        Args:
            made: (F, G, R, d), weights of some outputs in several formats.
            target: (G, R, d), what they were rounded from.
            rows: which outputs.
        """
        found = []
        for one in made.float():
            shift = torch.zeros(one.shape[:2], dtype=torch.float64)
            if self.moves_bias:
                shift += (self.sums[:, :, rows] - self.read @ one.mT).mean(1)
            error, counts = self._errors(one, target.float(), rows, self._shift(one, rows, shift))
            found.append((counts * error.square()).mean(1, dtype=torch.float64))
        return torch.stack(found)

    def improved(
        self,
        rounded: Tensor,
        target: Tensor,
        form: FixedPoint,
        rows: slice,
        shift: Tensor,
        zeros: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Weights on the same grid with a smaller error, and what biases then have to make up for.

        Args:
            rounded: (G, R, d) on the grid of `form`, of these outputs.
            target: (G, R, d), what they were rounded from.
            rows: which outputs.
            shift: (G, R), what biases have to make up for now.
            zeros: (G, R, d) bool: weights that stay 0.
        """
        made, target = rounded.to(torch.float32, copy=True), target.float()
        given = shift
        if not self.moves_bias:
            shift = torch.zeros_like(shift)
        for _ in range(self.sweeps):
            shift = self._shift(made, rows, shift)
            error, counts = self._errors(made, target, rows, shift)
            for group in range(len(made)):
                own = None if zeros is None else zeros[group]
                self._sweep(
                    made[group], target[group], error[group], counts[group], form, group, own
                )
        return made, self._shift(made, rows, shift) if self.moves_bias else given

    def _state(
        self, made: Tensor, rows: slice | Tensor, shift: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The rounded net's sums, which of them pass though the float net's do not, the sums at
        which ReLU begins, and what errors count: (G, M, R) each."""
        slope, offset = (x[:, None, rows].float() for x in (self.gate.slope, self.gate.offset))
        found = self.read @ made.mT + shift.unsqueeze(1).float()
        passes = self.sums[:, :, rows] * slope + offset > 0
        rises = ~passes & (found * slope + offset > 0)
        return found, rises, -offset / slope, torch.where(passes | rises, 1.0, CUT_OFF)

    def _shift(self, made: Tensor, rows: slice | Tensor, shift: Tensor) -> Tensor:
        """What biases have to make up for: the mean of what lacks where it counts."""
        if not self.moves_bias:
            return shift
        found, rises, edge, counts = self._state(made, rows, shift)
        lacks = torch.where(rises, edge, self.sums[:, :, rows]) - found
        return shift + _mean(lacks, counts)

    def _errors(
        self, made: Tensor, target: Tensor, rows: slice | Tensor, shift: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What each sum lacks of the target's, less the mean, and what that counts: (G, M, R).

        The float net's own sums would do worse: what errors before the layer make of them is noise
        here, and the target is what can be made up for of it.
        """
        found, rises, edge, counts = self._state(made, rows, shift)
        error = self.read @ (target - made).mT
        if self.moves_bias:
            error -= _mean(error, counts).unsqueeze(1).float()
        return torch.where(rises, edge - found, error), counts

    def _sweep(
        self,
        made: Tensor,
        target: Tensor,
        error: Tensor,
        counts: Tensor,
        form: FixedPoint,
        group: int,
        zeros: Tensor | None,
    ) -> None:
        """Set each weight, given all others, to the best value of the grid; `error` follows.

        Few columns of an output pull its weights less away from the target.
        """
        lsb, least, greatest = form.lsb, form.min_code, form.max_code
        read = self.read[group]
        damping = (SHRINKING * read.shape[1] / counts.sum(0)).clamp_min(DAMPING)
        pull = damping * (counts.T @ read.square().mean(1)) + TINY
        for start in range(0, made.shape[1], INPUTS):
            part = read[:, start : start + INPUTS]
            width = part.shape[1]
            moments = _moments(part, counts)
            slopes = (counts * error).T @ part
            moments.diagonal(dim1=1, dim2=2).add_(pull.unsqueeze(1))
            slopes += pull.unsqueeze(1) * (target - made)[:, start : start + width]
            before = made[:, start : start + width].clone()
            for j in range(width):
                old = made[:, start + j]
                step = slopes[:, j] / moments[:, j, j]
                new = ((old + step) / lsb).round().clamp(least, greatest) * lsb
                if zeros is not None:
                    new = new.masked_fill(zeros[:, start + j], 0)
                slopes -= (new - old).unsqueeze(1) * moments[:, j]
                made[:, start + j] = new
            error -= part @ (made[:, start : start + width] - before).T


def _moments(part: Tensor, counts: Tensor) -> Tensor:
    """Sums of products of inputs, weighted by what each place counts for each output: (R, d, d)."""
    width = part.shape[1]
    i, j = torch.triu_indices(width, width)
    found = counts.T @ (part[:, i] * part[:, j])
    made = found.new_empty(len(found), width, width)
    made[:, i, j] = found
    made[:, j, i] = found
    return made


def _mean(error: Tensor, counts: Tensor) -> Tensor:
    """Of each output, (G, R), float64."""
    total = (counts * error).sum(1, dtype=torch.float64)
    return total / counts.sum(1, dtype=torch.float64)
