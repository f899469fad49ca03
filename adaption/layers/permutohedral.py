"""Gaussian filtering on the permutohedral lattice. Adams et al. 2010; CRF-RNN's caffe has it as
modified_permutohedral.cpp.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from adaption.later import Tensor, np, npt, torch

__all__ = ["Lattice"]

Array: TypeAlias = "npt.NDArray[Any]"

_BLOCK = 4  # the original fills up the points to whole SSE registers, with points at 0


class Lattice:
    """The lattice of fixed points, through which values at the points are filtered.

    Each point is spread over the corners of the simplex it lies in; the corners are blurred along
    each of the d + 1 directions of the lattice; the points gather the sum.

    Args:
        points: features (P, d), in units of the filter's deviation.
    """

    def __init__(self, points: Array) -> None:
        count, self.dimensions = points.shape
        padded = np.zeros((-(-count // _BLOCK) * _BLOCK, self.dimensions), np.float32)
        padded[:count] = points
        keys, weights = _corners(padded)
        flat = keys.reshape(-1, self.dimensions)
        corners, inverse = np.unique(flat, axis=0, return_inverse=True)
        # Index 0 stands for a corner that is not there; its value stays 0.
        self._places = torch.from_numpy(inverse.reshape(len(padded), -1)[:count] + 1)
        self._weights = torch.from_numpy(weights[:count])
        self._size = len(corners) + 1
        self._neighbours = [
            (_find(corners, corners + step), _find(corners, corners - step))
            for step in _steps(self.dimensions)
        ]

    def filter(self, values: Tensor) -> Tensor:
        """Filtered values, (C, P) as the bottom; linear, and differentiable in `values`."""
        places = self._places.to(values.device)
        weights = self._weights.to(values)
        spread = (values.t().unsqueeze(1) * weights.unsqueeze(2)).flatten(0, 1)
        corners = values.new_zeros(self._size, values.shape[0])
        corners = corners.index_add(0, places.flatten(), spread)
        for after, before in self._neighbours:
            corners = corners + 0.5 * (corners[after] + corners[before])
        alpha = 1 / (1 + 2.0**-self.dimensions)
        gathered: Tensor = (corners[places] * weights.unsqueeze(2)).sum(1) * alpha
        return gathered.t()


def _corners(points: Array) -> tuple[Array, Array]:
    """For each point the d + 1 corners' keys (P, d + 1, d) and barycentric weights (P, d + 1)."""
    count, d = points.shape
    one = np.float32(1)
    deviation = np.sqrt(2.0 / 3.0) * (d + 1)
    scale = np.array([deviation / np.sqrt((i + 2) * (i + 1)) for i in range(d)], np.float32)
    elevated = np.zeros((count, d + 1), np.float32)
    total = np.zeros(count, np.float32)
    for j in range(d, 0, -1):
        step = points[:, j - 1] * scale[j - 1]
        elevated[:, j] = total - np.float32(j) * step
        total = total + step
    elevated[:, 0] = total
    whole = np.rint(elevated * (one / np.float32(d + 1)))
    nearest = whole * np.float32(d + 1)
    rest = elevated - nearest
    earlier = np.arange(d + 1)[:, None] < np.arange(d + 1)
    is_less = rest[:, :, None] < rest[:, None, :]  # coordinate i lies below coordinate j
    up = (is_less & earlier).sum(2) + (~is_less & earlier).sum(1)
    rank = up + whole.sum(1, keepdims=True).astype(np.int64)
    shift = np.where(rank < 0, d + 1, 0) - np.where(rank > d, d + 1, 0)
    rank, nearest = rank + shift, nearest + shift
    share = (elevated - nearest).astype(np.float32) * (one / np.float32(d + 1))
    weights = np.zeros((count, d + 2), np.float32)
    row = np.arange(count)[:, None]
    np.add.at(weights, (row, d - rank), share)
    np.subtract.at(weights, (row, d - rank + 1), share)
    weights[:, 0] += 1 + weights[:, d + 1]
    corner, at = np.arange(d + 1)[:, None], np.arange(d + 1)
    canonical = np.where(at <= d - corner, corner, corner - (d + 1))
    moved = canonical[:, rank[:, :d]].transpose(1, 0, 2)
    return nearest[:, None, :d].astype(np.int64) + moved, weights[:, : d + 1]


def _steps(d: int) -> Array:
    """The ways to the neighbour of a corner along each of the d + 1 directions."""
    ways = np.full((d + 1, d), -1)
    ways[np.arange(d), np.arange(d)] = d
    return ways


def _find(corners: Array, wanted: Array) -> Tensor:
    """1 + index of each wanted key among the sorted keys, 0 where it is missing; 0 in front."""
    both, inverse = np.unique(np.concatenate([corners, wanted]), axis=0, return_inverse=True)
    index = np.zeros(len(both), np.int64)
    inverse = inverse.reshape(-1)
    index[inverse[: len(corners)]] = np.arange(1, len(corners) + 1)
    return torch.from_numpy(np.concatenate([[0], index[inverse[len(corners) :]]]))
