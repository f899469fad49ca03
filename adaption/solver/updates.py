"""Solver types: from gradients to updates, exactly as Caffe computes them.

Where torch.optim differs (momentum takes up the learning rate, delta stands outside the root,
weight decay goes into the gradient first), Caffe's formula is the one that counts. A type is one
class in `UPDATES`; adding one adds a class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from adaption.errors import FieldError

if TYPE_CHECKING:
    from adaption.proto.caffe_pb2 import SolverParameter

__all__ = ["UPDATES", "Update", "make_update"]


class Update(ABC):
    """One solver type with the solver's constants."""

    slots: ClassVar[int] = 1  # history blobs per parameter

    def __init__(self, p: SolverParameter) -> None:
        self.momentum = p.momentum
        self.delta = p.delta
        self.momentum2 = p.momentum2
        self.rms_decay = p.rms_decay

    @abstractmethod
    def __call__(
        self, diff: Tensor, history: Sequence[Tensor], rate: float, iteration: int
    ) -> None:
        """Turn the gradient `diff` into the update to subtract, and move `history` on, in place.

        Args:
            rate: learning rate of this parameter, its lr_mult taken in.
            iteration: iterations done before this one.
        """


class SGD(Update):
    """Momentum. Caffe: SGDSolver::ComputeUpdateValue."""

    def __call__(
        self, diff: Tensor, history: Sequence[Tensor], rate: float, iteration: int
    ) -> None:
        (velocity,) = history
        velocity.mul_(self.momentum).add_(diff, alpha=rate)
        diff.copy_(velocity)


class Nesterov(Update):
    """Caffe: nesterov_solver.cpp."""

    def __call__(
        self, diff: Tensor, history: Sequence[Tensor], rate: float, iteration: int
    ) -> None:
        (velocity,) = history
        before = velocity.clone()
        velocity.mul_(self.momentum).add_(diff, alpha=rate)
        diff.copy_(velocity).mul_(1 + self.momentum).sub_(before, alpha=self.momentum)


class AdaGrad(Update):
    """Caffe: adagrad_solver.cpp."""

    def __init__(self, p: SolverParameter) -> None:
        super().__init__(p)
        _no_momentum(p)

    def __call__(
        self, diff: Tensor, history: Sequence[Tensor], rate: float, iteration: int
    ) -> None:
        (squares,) = history
        squares.addcmul_(diff, diff)
        diff.div_(squares.sqrt().add_(self.delta)).mul_(rate)


class RMSProp(Update):
    """Caffe: rmsprop_solver.cpp."""

    def __init__(self, p: SolverParameter) -> None:
        super().__init__(p)
        _no_momentum(p)
        if not 0 <= p.rms_decay < 1:
            raise FieldError("rms_decay", p.rms_decay, "0 or more and below 1")

    def __call__(
        self, diff: Tensor, history: Sequence[Tensor], rate: float, iteration: int
    ) -> None:
        (squares,) = history
        squares.mul_(self.rms_decay).addcmul_(diff, diff, value=1 - self.rms_decay)
        diff.div_(squares.sqrt().add_(self.delta)).mul_(rate)


class AdaDelta(Update):
    """Caffe: adadelta_solver.cpp."""

    slots = 2

    def __call__(
        self, diff: Tensor, history: Sequence[Tensor], rate: float, iteration: int
    ) -> None:
        squares, updates = history
        keep = self.momentum
        squares.mul_(keep).addcmul_(diff, diff, value=1 - keep)
        diff.mul_(updates.add(self.delta).div_(squares.add(self.delta)).sqrt_())
        updates.mul_(keep).addcmul_(diff, diff, value=1 - keep)
        diff.mul_(rate)


class Adam(Update):
    """Caffe: adam_solver.cpp."""

    slots = 2

    def __init__(self, p: SolverParameter) -> None:
        super().__init__(p)
        for name in ("momentum", "momentum2"):  # at 1 the correction divides by zero
            if not 0 <= getattr(p, name) < 1:
                raise FieldError(name, getattr(p, name), "0 or more and below 1")

    def __call__(
        self, diff: Tensor, history: Sequence[Tensor], rate: float, iteration: int
    ) -> None:
        mean, squares = history
        beta1, beta2 = self.momentum, self.momentum2
        correction = (1 - beta2 ** (iteration + 1)) ** 0.5 / (1 - beta1 ** (iteration + 1))
        mean.mul_(beta1).add_(diff, alpha=1 - beta1)
        squares.mul_(beta2).addcmul_(diff, diff, value=1 - beta2)
        diff.copy_(mean).div_(squares.sqrt().add_(self.delta)).mul_(rate * correction)


UPDATES: dict[str, type[Update]] = {
    cls.__name__: cls for cls in (SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam)
}


def make_update(p: SolverParameter) -> Update:
    """The solver type that `type` names.

    Raises: FieldError when it, or one of its constants, is not allowed.
    """
    if p.type not in UPDATES:
        raise FieldError("type", p.type, ", ".join(UPDATES))
    return UPDATES[p.type](p)


def _no_momentum(p: SolverParameter) -> None:
    if p.momentum:
        raise FieldError("momentum", p.momentum, f"0, since {p.type} has none", "remove momentum")
