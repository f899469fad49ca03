"""Training: what a snapshot reads of a solver, and sets when it is restored."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from torch import Tensor

from adaption.net import Net
from adaption.proto import caffe_pb2
from adaption.solver.driver import Driver
from adaption.solver.listener import Listener
from adaption.solver.params import Param
from adaption.solver.ranks import Ranks
from adaption.solver.settings import SolverFile
from adaption.solver.smoothing import SmoothedLoss
from adaption.solver.teacher import Teacher
from adaption.solver.update_step import UpdateStep
from adaption.solver.updates import Update

__all__ = ["Training"]


class Training(Protocol):
    """The part of `Solver` that a snapshot stores, or that storing and restoring it needs.

    A protocol, since Solver imports what writes its snapshots.
    """

    definition: SolverFile
    param: caffe_pb2.SolverParameter
    original_semantics: bool
    net: Net
    test_nets: list[Net]
    params: list[Param]
    history: list[Tensor]
    update: Update
    updates: UpdateStep
    loss: SmoothedLoss
    driver: Driver | None
    draw_seed: int
    iter: int
    current_step: int
    saved: int | None  # iteration of the last snapshot of this run
    ranks: Ranks
    teacher: Teacher | None
    listeners: list[Listener]

    def notice(self, text: str) -> None:
        """Send a notice to the listeners."""

    def at_file(self) -> AbstractContextManager[None]:
        """Errors inside name the solver's file."""

    def start_recipe(self) -> None:
        """Let the recipe choose its first formats, from the weights as they are."""
