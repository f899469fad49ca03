"""Driver: runs a recipe while a solver trains. It owns the state and applies the plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adaption.errors import FieldError, FileFormatError
from adaption.net import Net, Point
from adaption.net.plan import Plan, stated_kinds
from adaption.proto import caffe_pb2
from adaption.recipes import NetView, Recipe, make_recipe
from adaption.recipes.view import view_of_net

if TYPE_CHECKING:
    from adaption.solver.params import Param
    from adaption.solver.ranks import Ranks

__all__ = ["Driver", "chosen_recipe"]


def chosen_recipe(
    policy: Recipe[Any] | caffe_pb2.PrecisionPolicy | None, param: caffe_pb2.SolverParameter
) -> Recipe[Any] | None:
    """The recipe that the caller gives, else the one of the solver's precision_policy.

    Raises: FieldError on an unknown type or a bad setting.
    """
    if isinstance(policy, Recipe):
        policy.check()
        return policy
    if policy is None and param.HasField("precision_policy"):
        policy = param.precision_policy
    return None if policy is None else make_recipe(policy)


class Driver:
    """One recipe on a train net, whose followers are the test nets.

    A net's own precision_param wins: the recipe's formats go to points about which the net says
    nothing. Layers whose weight the recipe rounds compute the gradient of their bottoms with the
    rounded weights, unless they say otherwise.
    """

    def __init__(
        self,
        recipe: Recipe[Any],
        net: Net,
        ranks: Ranks,
        *,
        seed: int,
        passes: int = 1,
        regularization: str = "L2",
    ) -> None:
        self.recipe = recipe
        self.net = net
        self.ranks = ranks
        # What a view says of the run; a resumed one goes on with the seed of its snapshot.
        self.about: dict[str, Any] = {
            "seed": seed,
            "passes": passes,
            "regularization": regularization,
        }
        self.state: Any = None
        self._stated = {node.spec.name: stated_kinds(node.spec) for node in net.nodes}
        seen = recipe.observes - {"weight_grad", "bias_grad", "weight_accumulator"}
        if seen:
            net.watch(seen, self._observe)

    @classmethod
    def of_solver(
        cls,
        recipe: Recipe[Any],
        net: Net,
        ranks: Ranks,
        seed: int,
        param: caffe_pb2.SolverParameter,
    ) -> Driver:
        """The driver of a run by a solver prototxt."""
        return cls(
            *(recipe, net, ranks),
            seed=seed,
            passes=param.iter_size,
            regularization=param.regularization_type,
        )

    def view(self) -> NetView:
        """The net as it is now."""
        return view_of_net(self.net, **self.about)

    def start(self) -> tuple[str, ...]:
        """Set the formats to start with; returns what the user should know."""
        view = self.view()
        plan, state = self.recipe.init(view)
        self.apply(plan)
        self.state = self.recipe.attach(state, self.view())
        return tuple(self.recipe.notices(view))

    def apply(self, plan: Plan) -> None:
        """Change formats where the net's own text says nothing."""
        own = {p: fmt for p, fmt in plan.items() if p.kind not in self._stated[p.layer]}
        free = {p: f for p, f in own.items() if "backward_weights" not in self._stated[p.layer]}
        if free:
            self.net.set_plan(free, backward_weights="QUANTIZED")
        if len(free) != len(own):
            self.net.set_plan({p: fmt for p, fmt in own.items() if p not in free})

    def _observe(self, point: Point, x: Tensor) -> None:
        self.state = self.recipe.observe(self.state, point, x)

    # -- what the update shows ---------------------------------------------------------------

    def gradient(self, param: Param, grad: Tensor) -> None:
        """A gradient that is averaged and clipped, not yet rounded."""
        point = param.gradient_point
        if point is None:
            return
        if point.kind in self.recipe.observes:
            self.state = self.recipe.observe(self.state, point, grad)
        self.state = self.recipe.gradient(self.state, point, grad)

    def rounded(self, param: Param, grad: Tensor) -> None:
        """A gradient that is rounded."""
        if param.gradient_point is not None:
            self.state = self.recipe.rounded(self.state, param.gradient_point, grad)

    def updated(self, param: Param, master: Tensor) -> None:
        """A master behind its update."""
        if param.point is not None:
            self.state = self.recipe.updated(self.state, param.point, master.detach())

    def decide(self, iteration: int, loss: float) -> tuple[dict[str, Any], ...]:
        """Behind all updates: let the recipe change formats; returns its events."""
        if self.ranks.count > 1:
            mean = torch.tensor([loss], dtype=torch.float64)
            self.ranks.average([mean])
            loss = float(mean)
        decision, self.state = self.recipe.decide(self.state, iteration, loss)
        if decision.plan:
            self.apply(decision.plan)
        return decision.events

    def progress(self, iteration: int) -> dict[str, Any] | None:
        """At a display: the recipe's event."""
        event, self.state = self.recipe.progress(self.state, iteration)
        return event

    # -- state -------------------------------------------------------------------------------

    def save(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What a snapshot holds: type, settings and values, and tensors by name."""
        values, tensors = self.recipe.save(self.state)
        return {
            "type": self.recipe.name,
            "settings": self.recipe.settings(),
            "values": values,
        }, tensors

    def check_saved(self, saved: dict[str, Any]) -> None:
        """Refuse the state of another recipe, or of other settings. Raises: FieldError."""
        if saved["type"] != self.recipe.name:
            raise FieldError(
                "precision_policy.type",
                self.recipe.name,
                f"{saved['type']}, which made the snapshot",
                "resume with the solver that wrote it",
            )
        own = self.recipe.settings()
        for name, value in saved["settings"].items():
            if own.get(name) != value:
                raise FieldError(
                    f"precision_policy.{self.recipe.param}.{name}",
                    own.get(name),
                    f"{value}, as when the snapshot was made",
                    "resume with the settings of that run, or start anew with --weights",
                )

    def load(self, saved: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Go on from `save`. Raises: FileFormatError when the values are damaged."""
        try:
            state = self.recipe.load(saved["values"], tensors)
            self.state = self.recipe.attach(state, self.view())
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            raise FileFormatError(
                f"the state of recipe {self.recipe.name} is damaged: {error!r}"
            ) from None
