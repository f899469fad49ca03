"""Learning rate policies. Caffe: SGDSolver::GetLearningRate in sgd_solver.cpp.

A policy is one function in `POLICIES`; adding one adds a function and its row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from adaption.errors import FieldError
from adaption.later import np

if TYPE_CHECKING:
    from adaption.proto.caffe_pb2 import SolverParameter

__all__ = ["POLICIES", "check_policy", "learning_rate", "smallest_rate"]


def _fixed(p: SolverParameter, iteration: int, step: int) -> float:
    return p.base_lr


def _step(p: SolverParameter, iteration: int, step: int) -> float:
    return p.base_lr * p.gamma**step


def _exp(p: SolverParameter, iteration: int, step: int) -> float:
    return p.base_lr * p.gamma**iteration


def _inv(p: SolverParameter, iteration: int, step: int) -> float:
    return float(p.base_lr * (1 + p.gamma * iteration) ** -p.power)


def _poly(p: SolverParameter, iteration: int, step: int) -> float:
    left = max(0.0, 1 - iteration / p.max_iter)  # beyond max_iter Caffe gives nan
    return float(p.base_lr * left**p.power)


def _sigmoid(p: SolverParameter, iteration: int, step: int) -> float:
    try:
        return p.base_lr / (1 + math.exp(-p.gamma * (iteration - p.stepsize)))
    except OverflowError:
        return 0.0  # as C's, whose exp gives infinity


class Policy(NamedTuple):
    """`rate` gives the learning rate from the iteration and the steps taken so far."""

    rate: Callable[[SolverParameter, int, int], float]
    needs: tuple[str, ...] = ()  # solver fields without which it has no meaning


POLICIES = {
    "fixed": Policy(_fixed),
    "step": Policy(_step, ("gamma", "stepsize")),
    "exp": Policy(_exp, ("gamma",)),
    "inv": Policy(_inv, ("gamma", "power")),
    "multistep": Policy(_step, ("gamma", "stepvalue")),
    "poly": Policy(_poly, ("power", "max_iter")),
    "sigmoid": Policy(_sigmoid, ("gamma", "stepsize")),
}


def check_policy(p: SolverParameter) -> None:
    """Raise FieldError when `lr_policy` is unknown, or a field it needs is missing or useless."""
    if p.lr_policy not in POLICIES:
        raise FieldError("lr_policy", p.lr_policy, ", ".join(POLICIES))
    for name in POLICIES[p.lr_policy].needs:
        given = getattr(p, name) if name == "stepvalue" else p.HasField(name)
        if not given:
            raise FieldError(name, "not set", f'a value, since lr_policy is "{p.lr_policy}"')
    if p.lr_policy in ("step", "sigmoid") and p.stepsize < 1:
        raise FieldError("stepsize", p.stepsize, "1 or more")
    if p.lr_policy == "poly" and p.max_iter < 1:
        raise FieldError("max_iter", p.max_iter, "1 or more")
    if p.lr_policy == "poly" and p.power < 0:
        raise FieldError("power", p.power, '0 or more, since lr_policy is "poly"')
    if p.lr_policy == "inv" and p.gamma < 0:  # a root of a number below zero, some time
        raise FieldError("gamma", p.gamma, '0 or more, since lr_policy is "inv"')


def learning_rate(p: SolverParameter, iteration: int, current_step: int) -> tuple[float, int]:
    """The rate of an iteration (a float32 value), and the steps taken with it.

    `multistep` takes at most one step per iteration, as in Caffe.
    Raises: FieldError when the rate is beyond all numbers.
    """
    if p.lr_policy == "step":
        current_step = iteration // p.stepsize
    elif (
        p.lr_policy == "multistep"
        and current_step < len(p.stepvalue)
        and iteration >= p.stepvalue[current_step]
    ):
        current_step += 1
    try:
        rate = POLICIES[p.lr_policy].rate(p, iteration, current_step)
        with np.errstate(over="raise"):
            return float(np.float32(rate)), current_step
    except (ArithmeticError, FloatingPointError):
        raise FieldError(
            "gamma", p.gamma, f"such that the rate of iteration {iteration} is a number"
        ) from None


def smallest_rate(p: SolverParameter) -> tuple[float, int]:
    """The smallest learning rate above 0 that a run up to max_iter uses, and how many iterations
    have a rate of 0, as the end of `poly` may.

    Raises: FieldError without max_iter, or when no iteration has a rate above 0.
    """
    if not p.max_iter:
        raise FieldError("max_iter", "not set", "the iterations to train for")
    least, zeros, step = math.inf, 0, 0
    for iteration in range(p.max_iter):
        rate, step = learning_rate(p, iteration, step)
        if rate > 0:
            least = min(least, rate)
        else:
            zeros += 1
    if math.isinf(least):
        raise FieldError("base_lr", p.base_lr, "a learning rate above 0")
    return least, zeros
