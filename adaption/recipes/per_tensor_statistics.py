"""What per-tensor fixed point records while a float net trains.

Averages run with 0.9 old + 0.1 new, as in the authors' program. They start at 0 and are corrected
for that; extremes are taken at every update behind a warm-up, since the formats have to hold all
through training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ClassVar

from adaption.later import Tensor, torch

__all__ = ["KEEP", "WARM_UP", "Inputs", "Moments", "Running", "patch_energy", "power_step"]

KEEP = 0.9  # of a running average, per update
WARM_UP = 20  # updates whose averages are not taken for extremes

Saved = tuple[dict[str, Any], dict[str, Tensor]]


@dataclass
class Running:
    """A running average of a number, and the extremes of the average. Tensors without axes."""

    total: Tensor  # not corrected
    least: Tensor
    most: Tensor
    updates: int = 0

    FIELDS: ClassVar[tuple[str, ...]] = ("total", "least", "most")

    @classmethod
    def start(cls, device: torch.device) -> Running:
        """An average of nothing yet."""
        zero = torch.zeros((), dtype=torch.float64, device=device)
        return cls(zero, torch.full_like(zero, torch.inf), torch.full_like(zero, -torch.inf))

    def add(self, value: Tensor) -> None:
        """Take one more value in; nothing is read back from the device."""
        self.updates += 1
        self.total = KEEP * self.total + (1 - KEEP) * value.double()
        if self.updates > WARM_UP:
            now = self.corrected
            self.least = torch.minimum(self.least, now)
            self.most = torch.maximum(self.most, now)

    @property
    def corrected(self) -> Tensor:
        """The average without the bias of its start at 0."""
        return self.total / (1 - KEEP**self.updates)

    @property
    def extremes(self) -> tuple[float, float]:
        """Least and greatest average; of a run that ends within the warm-up, the last one."""
        if not self.updates:
            return 0.0, 0.0
        if self.updates <= WARM_UP:
            return float(self.corrected), float(self.corrected)
        return float(self.least), float(self.most)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The state by name, beside `updates`."""
        for name in self.FIELDS:
            yield name, getattr(self, name)

    @classmethod
    def load(cls, updates: int, tensors: Mapping[str, Tensor], prefix: str) -> Running:
        """The average that `tensors` gave, under names that begin with `prefix`."""
        total, least, most = (tensors[f"{prefix}{name}"] for name in cls.FIELDS)
        return cls(total, least, most, updates)


@dataclass
class Moments:
    """Mean and variance of one gradient tensor, over all its entries."""

    mean: Running
    variance: Running

    FIELDS: ClassVar[tuple[str, ...]] = ("mean", "variance")

    @classmethod
    def start(cls, device: torch.device) -> Moments:
        """Nothing seen yet."""
        return cls(Running.start(device), Running.start(device))

    def add(self, x: Tensor) -> None:
        """Take one more tensor in."""
        variance, mean = torch.var_mean(x.detach(), correction=0)
        self.mean.add(mean)
        self.variance.add(variance)

    @property
    def sigmas(self) -> tuple[float, float]:
        """Least and greatest standard deviation of the run."""
        least, most = self.variance.extremes
        return least**0.5, most**0.5


@dataclass
class Inputs:
    """What the gradient of a weight makes of noise on the gradient behind it.

    energy: see `patch_energy`. singular: greatest singular value of the squared Jacobian, by one
    step of power iteration per update. direction: where that iteration stands.
    """

    energy: Running
    singular: Running
    direction: Tensor | None = field(default=None)

    FIELDS: ClassVar[tuple[str, ...]] = ("energy", "singular")

    @classmethod
    def start(cls, device: torch.device) -> Inputs:
        """Nothing seen yet."""
        return cls(Running.start(device), Running.start(device))

    def add(self, layer: Any, x: Tensor, count: int) -> None:
        """Take in a bottom of a weight layer; `count` is how many bottoms it has."""
        x = x.detach()
        self.energy.add(patch_energy(layer, x) * count)
        value, self.direction = power_step(layer, x, self.direction)
        self.singular.add(value * count)


def _one_output(layer: Any, x: Tensor) -> tuple[Any, tuple[int, ...]]:
    """A weight layer with one output (per group: all outputs see the same inputs), and the shape
    of its weight."""
    one = replace(layer, num_output=getattr(layer, "group", 1), bias_term=False)
    (shape,) = one.blob_shapes(tuple(x.shape))
    return one, shape


def patch_energy(layer: Any, x: Tensor) -> Tensor:
    """Mean over the weights of one output of the sum of the squares that meet them.

    This is the sum of the squared Jacobian of the weight's gradient with respect to the gradient of
    the layer's top, over the number of weights: of an inner product the mean over inputs i of the
    sum over samples b of x_bi^2, of a convolution the same over samples and places of windows.
    Returns: a tensor without axes, float64.
    """
    one, shape = _one_output(layer, x)
    with torch.no_grad():
        seen = one.forward(x.square(), x.new_ones(shape))
    energy: Tensor = seen.sum(dtype=torch.float64) / prod(shape)
    return energy


def power_step(layer: Any, x: Tensor, direction: Tensor | None) -> tuple[Tensor, Tensor]:
    """One step towards the greatest singular value of the squared Jacobian of `patch_energy`.

    Its matrix (weights of one output times places) has no negative entries, so that the iteration
    begins well with ones and goes on well from one batch to the next.
    Returns: the value so far, and the direction to go on with.
    """
    one, shape = _one_output(layer, x)
    with torch.enable_grad():
        start = x.new_ones(shape) if direction is None else direction
        start = start.detach().requires_grad_()
        y = one.forward(x.square(), start)
        scale = torch.linalg.vector_norm(y).clamp_min(torch.finfo(y.dtype).tiny)
        (back,) = torch.autograd.grad(y, start, y.detach() / scale.detach())
    value = torch.linalg.vector_norm(back)
    return value.double(), back / value.clamp_min(torch.finfo(back.dtype).tiny)
