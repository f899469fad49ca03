"""pycaffe's solver classes. Caffe: python/caffe/_caffe.cpp."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from adaption import glog
from adaption.errors import UsageError
from adaption.pycaffe.errors import also_raised_as
from adaption.pycaffe.mode import settings
from adaption.pycaffe.net import Net
from adaption.solver import Solver as CoreSolver
from adaption.solver.listener import Listener
from adaption.solver.log import CaffeLog
from adaption.solver.rates import learning_rate
from adaption.solver.settings import read_solver

__all__ = [
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "NesterovSolver",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "get_solver",
]

PathLike = str | os.PathLike[str]


class Solver:
    """A solver, called as pycaffe calls it. It logs as Caffe does; GLOG_minloglevel=1 silences it.

    Raises: AdaptionError with file, field and layer when files are bad or do not fit.
    """

    kind = ""  # the solver type this class is for; any where empty

    @also_raised_as(RuntimeError)
    def __init__(self, solver_file: PathLike) -> None:
        definition = read_solver(solver_file)
        found = definition.message.type
        if self.kind and found != self.kind:
            raise UsageError(
                f"{type(self).__name__} is given a solver of type {found!r}",
                f'write type: "{self.kind}", or call get_solver',
                file=definition.file,
            )
        self._calls = _Calls()
        seed = None if definition.message.random_seed >= 0 else settings.next_seed()
        self._solver = CoreSolver(
            definition,
            original_semantics=settings.original_semantics,
            seed=seed,
            net_options={
                "python_modules": tuple(settings.python_modules),
                "ignore_unknown": settings.ignore_unknown,
                "device": settings.device,
            },
            listeners=[CaffeLog(glog.info, estimate=definition.message.estimate), self._calls],
        )
        self.net = Net.around(self._solver.net)
        self.test_nets = [Net.around(net) for net in self._solver.test_nets]

    @property
    def iter(self) -> int:
        """Iterations done."""
        return self._solver.iter

    @property
    def param(self) -> object:
        """The SolverParameter."""
        return self._solver.param

    @property
    def lr(self) -> float:
        """The learning rate of the iteration that comes next, or is running."""
        p = self._solver.param
        return learning_rate(p, self._solver.iter, self._solver.current_step)[0]

    def add_callback(
        self, on_start: Callable[[], Any], on_gradients_ready: Callable[[], Any]
    ) -> None:
        """Call these in every iteration: before its passes, and when all gradients are there."""
        self._calls.pairs.append((on_start, on_gradients_ready))

    def step(self, count: int) -> None:
        """Train for `count` iterations."""
        self._solver.step(count)

    @also_raised_as(RuntimeError)
    def solve(self, resume_file: PathLike | None = None) -> None:
        """Train up to max_iter, from a solver state if one is given."""
        self._solver.solve(resume_file)

    @also_raised_as(RuntimeError)
    def snapshot(self) -> None:
        """Write caffemodel and solver state."""
        self._solver.snapshot()

    @also_raised_as(RuntimeError)
    def restore(self, state_file: PathLike) -> None:
        """Go on from a solver state and its caffemodel."""
        self._solver.restore(state_file)

    def apply_update(self) -> None:
        """Update the parameters from their diffs, without counting an iteration."""
        self._solver.apply_update()

    @also_raised_as(RuntimeError)
    def share_weights(self, net: Net) -> None:
        """Let `net` use the weights of the train net."""
        net.share_with(self.net)


class _Calls(Listener):
    """Hands on to what a script has added."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Callable[[], Any], Callable[[], Any]]] = []

    def starting(self, iteration: int) -> None:
        for on_start, _ in self.pairs:
            on_start()

    def gradients_ready(self, iteration: int) -> None:
        for _, on_gradients_ready in self.pairs:
            on_gradients_ready()


class SGDSolver(Solver):
    """Momentum."""

    kind = "SGD"


class NesterovSolver(Solver):
    """Nesterov's momentum."""

    kind = "Nesterov"


class AdaGradSolver(Solver):
    """AdaGrad."""

    kind = "AdaGrad"


class RMSPropSolver(Solver):
    """RMSProp."""

    kind = "RMSProp"


class AdaDeltaSolver(Solver):
    """AdaDelta."""

    kind = "AdaDelta"


class AdamSolver(Solver):
    """Adam."""

    kind = "Adam"


_CLASSES = {
    cls.kind: cls
    for cls in (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)
}


@also_raised_as(RuntimeError)
def get_solver(solver_file: PathLike) -> Solver:
    """The solver that the prototxt's `type` names."""
    kind = read_solver(solver_file).message.type
    return _CLASSES.get(kind, Solver)(solver_file)  # an unknown type is refused there
