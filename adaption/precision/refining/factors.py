"""Factors for channels with which a net loses least by rounding, at given word lengths.

Two kinds of noise reach the sums of a weight layer: that of its own rounded weights, and that of
the results rounded in front of it. Both grow with the range of a whole tensor, while what they
spoil is a channel: so channels should fill the ranges of their tensors, weights and results alike.
The noise is a function of the factors, which is minimized by gradient descent; then the factors of
channels that go together are multiplied by one number, so that ranges end at powers of two, where
formats end.

With M the greatest magnitudes and C the squares of a layer's weights by output i and input channel
j, s factors, P the power of input channels, the noise of weights at output i is 4^-b R^2 sum_j
s_j^2 P_j / s_i^2 with R = max M_ij s_i / s_j; the noise of results in it is sum_j C_ij 4^-b R^2 /
s_j^2, for every result that holds channel j, with R = max s peak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Problem", "Result", "WeightLayer", "find_factors", "noise"]

STEPS = 150
RATE = 0.05  # octaves per step, at first
SHARPNESS = 16  # of the maximum, as a norm
WIDEST = 6.0  # octaves that a factor may be away from 1
PARTS = 8  # of an octave, where ranges are moved below powers of two
SLACK = 1 / 16  # octaves by which the greatest value may reach beyond, and saturates


@dataclass(frozen=True)
class WeightLayer:
    """A weight layer of G groups with R outputs and J input channels each, float64.

    below: (G, J) class of each input channel. above: (G, R) of each output.
    peaks: (G, R, J) log2 of the greatest magnitude of weights.
    squares: (G, J) sum of squares of the weights, times `counts` of their output.
    power: (G, J) mean square of the input channel, times the weights of one output that it meets.
    counts: (G, R) how much the squared error of each output counts.
    bits: of the weights, sign not included; None where they stay float.
    """

    below: Tensor
    above: Tensor
    peaks: Tensor
    squares: Tensor
    power: Tensor
    counts: Tensor
    bits: int | None

    def reach(self, above: Tensor, below: Tensor, exact: bool) -> Tensor:
        """log2 of the greatest magnitude, with factors 2^above (G, R) and 2^below (G, J)."""
        if exact:
            return (self.peaks + above.unsqueeze(2) - below.unsqueeze(1)).max()
        # exp(above + peak - below) is a product of three, so that its sum over all weights is a
        # vector times a matrix times a vector. The greatest exponent of each of the three is 0,
        # and factors span 2 WIDEST octaves: float64 holds what matters.
        most, least = above.detach().max(), below.detach().min()
        ends = [((above - most) * SHARPNESS).exp(), ((least - below) * SHARPNESS).exp()]
        total = (ends[0].unsqueeze(1) @ self._sharpened @ ends[1].unsqueeze(2)).sum()
        return total.log() / SHARPNESS + self._peak + most - least

    @cached_property
    def _peak(self) -> Tensor:
        return self.peaks.max()

    @cached_property
    def _sharpened(self) -> Tensor:
        return ((self.peaks - self._peak) * SHARPNESS).exp()


@dataclass(frozen=True)
class Result:
    """A rounded result: (C,) class of each channel, log2 of their peaks; bits, sign not included;
    results of one group have one format."""

    classes: Tensor
    peaks: Tensor
    bits: int
    group: int


@dataclass(frozen=True)
class Problem:
    """classes: how many, of which class 0 has the factor 1. least: (classes,) bounds in octaves.
    bundles: classes that are moved together, each a tensor."""

    classes: int
    layers: Sequence[WeightLayer]
    results: Sequence[Result]
    least: Tensor
    bundles: Sequence[Tensor]


def find_factors(problem: Problem) -> Tensor:
    """log2 of the factor of each class."""
    return _aligned(problem, _descended(problem))


def noise(problem: Problem, octaves: Tensor, *, exact: bool) -> Tensor:
    """The noise that counts, for factors 2^octaves.

    Args:
        exact: with ranges that end at powers of two, as formats do; else at the maximum, smoothed.
    """
    reached: dict[int, Tensor] = {}
    for result in problem.results:
        top = _maximum(octaves[result.classes] + result.peaks, exact)
        held = reached.get(result.group)
        reached[result.group] = top if held is None else torch.maximum(held, top)
    of_class = octaves.new_zeros(problem.classes)
    for result in problem.results:
        step = 4 ** (_end(reached[result.group], exact) - result.bits)
        classes = torch.unique(result.classes)
        of_class = of_class.index_add(0, classes, step.expand(len(classes)))
    total = octaves.new_zeros(())
    for layer in problem.layers:
        above, below = octaves[layer.above], octaves[layer.below]
        total = total + (of_class[layer.below] * 4**-below * layer.squares).sum()
        if layer.bits is not None:
            step = 4 ** (_end(layer.reach(above, below, exact), exact) - layer.bits)
            power = (4**below * layer.power).sum(1)
            total = total + step * (power * (layer.counts * 4**-above).sum(1)).sum()
    return total


def _maximum(values: Tensor, exact: bool) -> Tensor:
    return values.max() if exact else torch.logsumexp(values * SHARPNESS, 0) / SHARPNESS


def _end(top: Tensor, exact: bool) -> Tensor:
    return (top - SLACK).ceil() if exact else top


def _descended(problem: Problem) -> Tensor:
    octaves = torch.zeros(problem.classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([octaves], lr=RATE)
    best, least = octaves.detach().clone(), float("inf")
    for _ in range(STEPS):
        optimizer.zero_grad()
        value = noise(problem, _bounded(problem, octaves), exact=False).log2()
        if float(value.detach()) < least:
            best, least = octaves.detach().clone(), float(value.detach())
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return _bounded(problem, best)


def _bounded(problem: Problem, octaves: Tensor) -> Tensor:
    free = octaves.clamp(-WIDEST, WIDEST).maximum(problem.least)
    return torch.cat([free.new_zeros(1), free[1:]])


def _aligned(problem: Problem, octaves: Tensor) -> Tensor:
    """Bundles of classes moved by parts of an octave, one after the other, where that helps."""
    made = octaves.clone()
    for _ in range(2):
        for bundle in problem.bundles:
            near = _touched(problem, bundle)
            tried = []
            for part in range(-PARTS // 2, PARTS // 2 + 1):
                moved = made.clone()
                moved[bundle] += part / PARTS
                moved = _bounded(problem, moved)
                tried.append((float(noise(near, moved, exact=True)), abs(part), part, moved))
            made = min(tried, key=lambda one: one[:3])[3]
    return made


def _touched(problem: Problem, bundle: Tensor) -> Problem:
    """What depends on the factors of some classes: the noise in other layers stays."""
    inside = torch.zeros(problem.classes, dtype=torch.bool)
    inside[bundle] = True
    layers = [x for x in problem.layers if bool(inside[x.below].any() | inside[x.above].any())]
    return replace(problem, layers=layers)
