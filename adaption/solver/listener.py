"""What a solver tells while it works; logs, progress displays and tests listen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaption.net import Net
    from adaption.solver.settings import NetRole, SolverFile

__all__ = ["Listener", "Output"]


@dataclass(frozen=True)
class Output:
    """One value of an output blob; `loss_weight` is 0 where the blob is no loss."""

    name: str
    value: float
    loss_weight: float = 0.0


class Listener:
    """Base of all listeners: hears everything, does nothing. Iterations count from 0."""

    def reading(self, solver: SolverFile) -> None:
        """The solver definition is read."""

    def building(self, role: NetRole, test_net: int | None) -> None:
        """A net is about to be built: the train net, or a test net by number."""

    def built(self, role: NetRole, net: Net) -> None:
        """That net is built."""

    def ready(self) -> None:
        """All nets are built."""

    def notice(self, text: str) -> None:
        """Something the user should know."""

    def loaded(self, path: str) -> None:
        """Weights were loaded to start from."""

    def restored(self, path: str) -> None:
        """A snapshot was restored."""

    def solving(self, name: str, policy: str, iteration: int, last: int) -> None:
        """The run from `iteration` to `last` begins."""

    def testing(self, iteration: int, test_net: int) -> None:
        """A test begins."""

    def tested(
        self, iteration: int, test_net: int, outputs: Sequence[Output], loss: float | None
    ) -> None:
        """A test is done: means over its batches; `loss` with test_compute_loss."""

    def test_interrupted(self) -> None:
        """A test was given up because the run is to stop."""

    def starting(self, iteration: int) -> None:
        """An iteration begins, before its passes."""

    def gradients_ready(self, iteration: int) -> None:
        """The passes of an iteration are done, the update has not begun."""

    def trained(self, iteration: int, loss: float, outputs: Sequence[Output]) -> None:
        """A displayed iteration's passes are done; `loss` is smoothed over average_loss."""

    def rounding(self, iteration: int, points: Sequence[Mapping[str, Any]]) -> None:
        """What rounding took in a displayed iteration, the worst point first; entries as of
        solver.rounding.RoundingShares."""

    def rate(self, iteration: int, rate: float) -> None:
        """The learning rate of a displayed iteration."""

    def step_taken(self, iteration: int, step: int) -> None:
        """The multistep policy has lowered the learning rate."""

    def clipped(self, norm: float, limit: float, factor: float) -> None:
        """The gradients were scaled down by `factor`."""

    def stepped(self, iteration: int) -> None:
        """An iteration is done; `iteration` counts it in."""

    def recipe(self, event: Mapping[str, Any]) -> None:
        """A recipe has decided something, or tells how it stands; `event` names what."""

    def snapshotting(self, path: str, what: str, file_format: str) -> None:
        """A file is about to be written: `what` is "weights" or "state"."""

    def stopped(self) -> None:
        """The run ends before its last iteration."""

    def final_loss(self, iteration: int, loss: float) -> None:
        """The loss behind the last iteration."""

    def done(self) -> None:
        """The run is complete."""
