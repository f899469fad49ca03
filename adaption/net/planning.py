"""The plan of a living net: what is in force, and how it changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from adaption.errors import AdaptionError, FieldError, near_miss
from adaption.graph import NetSpec
from adaption.io.precision_note import note_text, read_note
from adaption.net.copied import Copied
from adaption.net.node import Node
from adaption.net.plan import FORWARD_KINDS, KINDS, LayerFormats, Plan, Point
from adaption.net.points import GridWatch, Watch, WeightDraw
from adaption.net.points_check import check_formats
from adaption.numerics import Format

__all__ = ["Planned", "plan_of", "set_plan"]

WEIGHTS = ("MASTER", "QUANTIZED")


class Planned(Copied):
    """A net's precision: the formats in force, who sees what is rounded, and with which draw.

    `followers` are nets that a new plan reaches, too: a solver's test nets.
    """

    spec: NetSpec
    nodes: list[Node]
    notices: list[str]
    followers: Sequence[Planned]

    def choose_chains(self) -> None:
        """Decide which layers run as one, for the formats in force."""
        raise NotImplementedError

    @property
    def plan(self) -> dict[Point, Format]:
        """The formats in force, by point; a point that is not there is float."""
        return plan_of(self.nodes)

    def set_plan(self, plan: Plan, *, backward_weights: str | None = None) -> None:
        """Change formats, from the next pass on; the only way to do so on a living net.

        Args:
            plan: formats of the points it names; None is float. Other points stay as they are.
            backward_weights: "MASTER" or "QUANTIZED", for the layers whose weight the plan names.

        The nets in `followers` (a solver's test nets) change, too, at the layers that they have.
        Raises: FieldError naming the layer, when it is not in the net, has no such point, or the
            point cannot take the format; then nothing has changed.
        """
        try:
            set_plan([self.nodes, *(net.nodes for net in self.followers)], plan, backward_weights)
        except AdaptionError as error:
            raise error.at(file=self.spec.file) from error.__cause__
        for net in (self, *self.followers):
            net.choose_chains()

    def unmet_note(self, weights: str | os.PathLike[str]) -> dict[str, Any] | None:
        """The note beside a caffemodel which says that a recipe has trained it with formats that
        this net does not have; None where there is none, or the net has them."""
        note = read_note(weights)
        if note is None:
            return None
        own, names = {(p.layer, p.kind) for p in self.plan}, {n.spec.name for n in self.nodes}
        rows = {(row.get("layer"), row.get("kind")) for row in note["plan"]}
        wanted = {(name, k) for name, k in rows if k in FORWARD_KINDS and name in names}
        return None if wanted <= own else note

    def _note_recipe(self, weights: str | os.PathLike[str] | None) -> None:
        """Say in `notices`, once, where weights were trained with formats that the net lacks."""
        note = None if weights is None else self.unmet_note(weights)
        if weights is not None and note is not None:
            self.notices += {note_text(weights, note)} - set(self.notices)

    def watch(self, kinds: Collection[str], see: Watch | None) -> None:
        """Show `see` the tensors at all points of these kinds before they are rounded, in passes
        that record for a backward pass; None ends that. Of the kinds in
        `net.plan.KINDS`, those that a pass comes to: no weight_grad and bias_grad."""
        for node in self.nodes:
            node.points.watched = frozenset(kinds) if see is not None else frozenset()
            node.points.watch = see

    def watch_beside(self, kinds: Collection[str], see: Watch) -> Callable[[], None]:
        """As `watch`, beside whoever watches already. Returns: what ends it."""
        before = [(node.points, node.points.watched, node.points.watch) for node in self.nodes]
        own = frozenset(kinds)
        for points, watched, first in before:
            points.watched = watched | own
            points.watch = see if first is None else _both(watched, first, own, see)

        def end() -> None:
            for points, watched, first in before:
                points.watched, points.watch = watched, first

        return end

    def watch_grids(self, see: GridWatch | None) -> None:
        """Show `see` the grid of every tensor that is rounded on one of its own, in all passes;
        None ends that. A weight that has not changed since is not rounded again."""
        for node in self.nodes:
            node.points.watch_grid = see

    def draw_weights(self, draw: WeightDraw | None) -> None:
        """Round stochastic weights with these random numbers until the next call: all nets and
        passes with one draw see the same weights. None: anew in each pass."""
        for node in self.nodes:
            node.draw = draw


def _both(watched: Collection[str], first: Watch, own: Collection[str], second: Watch) -> Watch:
    """Each sees the kinds that it watches."""

    def see(point: Point, x: Tensor) -> None:
        if point.kind in watched:
            first(point, x)
        if point.kind in own:
            second(point, x)

    return see


def plan_of(nodes: Sequence[Node]) -> dict[Point, Format]:
    """The formats in force, in the order of the layers."""
    return {
        Point(node.spec.name, kind): fmt for node in nodes for kind, fmt in node.formats.items()
    }


def set_plan(
    nets: Sequence[Sequence[Node]], plan: Plan, backward_weights: str | None = None
) -> None:
    """Change the formats of several nets at the points that a plan names; all or none of them.

    Args:
        nets: the nodes of each; the plan's layers are the first one's, of the others it reaches
            those that they have.
    Raises: FieldError.
    """
    if backward_weights not in (None, *WEIGHTS):
        raise FieldError("backward_weights", backward_weights, ", ".join(WEIGHTS))
    first = {node.spec.name: node for node in nets[0]}
    changes: dict[str, dict[str, Format | None]] = {}
    for point, fmt in plan.items():
        _check_point(point, first)
        changes.setdefault(point.layer, {})[point.kind] = fmt
    decided: list[tuple[Node, LayerFormats]] = []
    for nodes in nets:
        for node in nodes:
            change = changes.get(node.spec.name)
            if change is not None:
                decided.append((node, _changed(node, change, backward_weights)))
    for node, formats in decided:
        if formats != node.formats:
            node.set_formats(formats)
    # Which convolutions have one algorithm for all passes depends on the whole plan.
    for nodes in nets:
        for node in nodes:
            node.convolver = None


def _check_point(point: Point, nodes: Mapping[str, Node]) -> None:
    if point.kind not in KINDS:
        hint = near_miss(point.kind, KINDS)
        raise FieldError("point", str(point), f"kinds {', '.join(KINDS)}", hint)
    if point.layer not in nodes:
        hint = near_miss(point.layer, nodes)
        raise FieldError("point", str(point), "layers of the net", hint)


def _changed(
    node: Node, change: Mapping[str, Format | None], backward_weights: str | None
) -> LayerFormats:
    formats = node.formats.having(change)
    if backward_weights is not None and "weight" in change:
        formats = formats.with_backward(backward_weights)
    try:
        check_formats(node, formats)
    except AdaptionError as error:
        raise error.at(
            layer=node.spec.name, layer_type=node.spec.type, line=node.spec.line
        ) from None
    return formats
