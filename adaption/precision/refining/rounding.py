"""Weights on a grid such that their products, not they themselves, come closest to the float ones.

Every function works on groups at once: targets T (G, R, d), Hessians H (G, d, d), all float64 and
in units of the grid's step. The loss is sum((T - Q) H (T - Q)'), over rows one by one.
Source: Frantar et al., GPTQ, 2022, algorithm 1; the sweeps that follow are coordinate descent on
the same loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["DAMPING", "SHRINKING", "Hessian", "loss", "round_compensating"]

DAMPING = 0.01  # of the mean of the diagonal (GPTQ, section 3.3)
SHRINKING = 1.0  # damping where there are as many columns as inputs: few columns seem to go
# together by chance, and weights fitted to that do worse on other samples
BLOCK = 128  # columns that are treated one by one before the rest follows (GPTQ, section 3.3)
SWEEPS = 4


@dataclass(frozen=True)
class Hessian:
    """A damped Hessian, and U with H^-1 = U' U, which says how an error is compensated.

    U is the inverse of a Cholesky factor of H, taken from the last column to the first.
    """

    matrix: Tensor
    factor: Tensor  # U, upper triangular, (G, d, d)

    @classmethod
    def of(cls, moments: Tensor, damping: float = DAMPING) -> Hessian:
        """The Hessian of these moments, in their memory: at 4,608 inputs a matrix has 170 MB.

        Args:
            moments: E[u u'], (G, d, d); they become the damped matrix.
            damping: share of their mean diagonal to be added.
        """
        diagonal = moments.diagonal(dim1=1, dim2=2)
        # Where a group has read zeros alone, any weights are as good as any other.
        extra = (damping * diagonal.mean(1)).clamp_min(1e-30)
        diagonal += extra[:, None]
        lower = torch.linalg.cholesky(moments.flip(1, 2))
        # Solved in place, in the order of columns that LAPACK takes.
        inverse = torch.zeros_like(moments).mT
        inverse.diagonal(dim1=1, dim2=2).fill_(1)
        torch.linalg.solve_triangular(lower, inverse, upper=False, out=inverse)
        del lower
        return cls(moments, inverse.flip(1, 2))

    def solve(self, rows: Tensor) -> Tensor:
        """`rows` H^-1, rows (G, R, d)."""
        return rows @ self.factor.mT @ self.factor


def loss(target: Tensor, rounded: Tensor, hessian: Tensor) -> Tensor:
    """(T - Q) H (T - Q)' of each row: (G, R)."""
    error = target - rounded
    return ((error @ hessian) * error).sum(2)


def round_compensating(
    target: Tensor,
    hessian: Hessian,
    least: int,
    greatest: int,
    zeros: Tensor | None = None,
    sweeps: int = SWEEPS,
) -> Tensor:
    """Integers `least` to `greatest` for T in units of the step.

    Args:
        zeros: (G, R, d) bool: weights that are 0 and stay it.
        sweeps: how often coordinate descent goes over all columns behind the one pass of GPTQ.
    """
    codes = _one_by_one(target, hessian.factor, least, greatest, zeros)
    for _ in range(sweeps):
        if not _descend(codes, target, hessian.matrix, least, greatest, zeros):
            break
    return codes


def _one_by_one(
    target: Tensor,
    factor: Tensor,
    least: int,
    greatest: int,
    zeros: Tensor | None,
) -> Tensor:
    """Columns rounded one after the other, the error of each taken off those behind it."""
    rest = target.clone()
    codes = torch.empty_like(rest)
    size = rest.shape[2]
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        errors = torch.empty_like(rest[:, :, start:end])
        for j in range(start, end):
            column = rest[:, :, j]
            code = column.round().clamp(least, greatest)
            if zeros is not None:
                code = code.masked_fill(zeros[:, :, j], 0)
            codes[:, :, j] = code
            error = (column - code) / factor[:, None, j, j]
            rest[:, :, j:end] -= error.unsqueeze(2) * factor[:, None, j, j:end]
            errors[:, :, j - start] = error
        rest[:, :, end:] -= errors @ factor[:, start:end, end:]
    return codes


def _descend(
    codes: Tensor,
    target: Tensor,
    hessian: Tensor,
    least: int,
    greatest: int,
    zeros: Tensor | None,
) -> bool:
    """Set each code, given all others, to the best integer. Returns: whether one has changed."""
    slope = (target - codes) @ hessian
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    size = codes.shape[2]
    has_changed = False
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        before = codes[:, :, start:end].clone()
        own = slope[:, :, start:end].clone()
        for j in range(start, end):
            old = codes[:, :, j]
            new = (old + own[:, :, j - start] / diagonal[:, None, j]).round()
            new = new.clamp(least, greatest)
            if zeros is not None:
                new = new.masked_fill(zeros[:, :, j], 0)
            own -= (new - old).unsqueeze(2) * hessian[:, None, j, start:end]
            codes[:, :, j] = new
        change = codes[:, :, start:end] - before
        if bool(change.any()):
            has_changed = True
            slope -= change @ hessian[:, start:end]
    return has_changed
