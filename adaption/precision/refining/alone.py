"""What the weights of one layer do to the scores of a net, at several word lengths.

A walk over the float net: at each weight layer its weights are rounded in each word length, fitted
as refining fits them, and the rest of the net is run with them on samples that took no part in the
fit. Everything else stays float.

Refining fits each layer to what the rounded layers before it have made, which takes back a part of
their errors: much of the first layers', none of the last one's. What is left of a layer's error
once all layers behind it are fitted, not rounded, is measured at one word length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adaption.net import Net, Point
from adaption.net.node import Node
from adaption.numerics import FixedPoint
from adaption.precision.refining.squares import Squares
from adaption.precision.refining.steps import Step, steps_to
from adaption.precision.refining.sums import Sum
from adaption.precision.refining.walk import (
    HELD_OUT,
    Inputs,
    Piece,
    Task,
    Walk,
    values_of,
)

__all__ = ["Alone", "Effects", "LayerEffects", "scored_tops"]

COLUMNS = 32  # per input, that layers behind are fitted on: nothing of theirs is kept


@dataclass(frozen=True)
class Effects:
    """What one word length of a layer's weights does.

    error: squared error of the scores over their squares. flipped: share of the rows whose
    greatest score is another one.
    """

    error: float
    flipped: float


@dataclass(frozen=True)
class LayerEffects:
    """What the word lengths of a layer's weights do.

    alone: by word length. remaining: share of the error that is left when the layers behind are
    fitted.
    """

    alone: dict[int, Effects]
    remaining: float


class Alone(Walk):
    """The walk; see the module.

    Args:
        net, task, sums, pieces: as of Walk.
        formats: by word length, formats of the weight points, read as `task.formats` is.
        scored: by layer, the top that is compared; see `scored_tops`.
        known: layers that are done already.
        done: called with each layer's name and its effects.
    """

    def __init__(
        self,
        net: Net,
        task: Task,
        sums: Mapping[str, Sum],
        pieces: Iterable[Inputs],
        formats: Mapping[int, Mapping[Point, FixedPoint]],
        scored: Mapping[str, str],
        known: Iterable[str],
        done: Callable[[str, LayerEffects], None],
    ) -> None:
        super().__init__(net, task, sums, pieces, held_out=HELD_OUT)
        self.steps = steps_to(net.nodes, task.weight_layers | scored.keys(), {})
        self.of_length, self.scored = formats, scored
        self.known, self.report = frozenset(known), done
        # Scores of the pieces carried in the float net, by layer.
        self.references: list[dict[str, Tensor]] = []

    def measure(self) -> None:
        """Do it. Raises: AdaptionError naming the layer that fails."""
        with torch.no_grad():
            for i, step in enumerate(self.steps):
                self._let_join(i)
                for piece in self.carried[len(self.references) :]:
                    self.references.append(self._scores(piece.full, i))
                name = step.node.spec.name
                if name in self.task.weight_layers and name not in self.known:
                    self.report(name, self._effects(i, step))
                for piece in self.carried:
                    self._advance(piece, step)

    def _effects(self, index: int, step: Step) -> LayerEffects:
        name = step.node.spec.name
        fit, found, remaining = self._layer_fit(step), dict[int, Effects](), 1.0
        lengths = list(self.of_length)
        for bits, formats in self.of_length.items():
            self._use(step, fit.rounded(formats[Point(name, "weight")]))
            found[bits] = self._compared(index)
            if self.task.compensates and bits == lengths[min(1, len(lengths) - 1)]:
                left = self._error_behind(index)
                remaining = min(1.0, left / found[bits].error) if found[bits].error else 1.0
            self.own.clear()
            self.found.blobs.clear()
        return LayerEffects(found, remaining)

    @property
    def _judges(self) -> list[int]:
        """Which pieces judge."""
        every = range(len(self.carried))
        return [i for i in every if self.carried[i].is_held_out] or list(every)

    def _compared(self, index: int) -> Effects:
        squares = Squares()
        flipped = rows = 0
        for i in self._judges:
            made = self._scores(self.carried[i].full, index)
            for name, full in self.references[i].items():
                low = made.get(name, full)  # scores that come earlier stay
                squares.add(full, low)
                if full.dim() > 1:
                    changed = low.argmax(1) != full.argmax(1)
                    flipped += int(changed.sum())
                    rows += changed.numel()
        return Effects(squares.relative_error, flipped / max(1, rows))

    def _error_behind(self, index: int) -> float:
        """Error of the scores when each layer behind is fitted to what it then reads."""
        before = self.carried
        self.carried = [Piece(dict(p.full), dict(p.full), p.samples, p.is_held_out) for p in before]
        made = [dict[str, Tensor]() for _ in before]
        for i, step in enumerate(self.steps[index:], index):
            name = step.node.spec.name
            if i > index and name in self.task.weight_layers - self.task.shared:
                self._use_fitted(step)
            for piece, scores in zip(self.carried, made, strict=True):
                self._advance(piece, step)
                if name in self.scored:
                    scores[name] = piece.low[self.scored[name]].clone()
        squares = Squares()
        for i in self._judges:
            for name, full in self.references[i].items():
                squares.add(full, made[i].get(name, full))
        self.carried = before
        return squares.relative_error

    def _use_fitted(self, step: Step) -> None:
        """Give a layer behind the weights that refining would round. One that is fitted in blocks
        keeps its own: that takes minutes each time, and less is taken back there."""
        fit = self._layer_fit(step, COLUMNS)
        if fit.single is None:
            return
        weights, shift = fit.fitted()
        self._own(step.node, [self._as_blob(step, weights), *values_of(step.node)[1:]])
        if self.task.corrects_bias:
            self._shift(self.sums[step.node.spec.name], shift.reshape(-1))

    def _scores(self, blobs: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
        """Run the rest of the net, with the weights that are in use, from a step on.

        Returns: the scores that are made there, by layer.
        """
        values, made = dict(blobs), dict[str, Tensor]()
        for step in self.steps[index:]:
            spec = step.node.spec
            if not spec.is_input:
                node = self.own.get(spec.name, step.node)
                tops = self._run(node, [values[name] for name in spec.bottoms])
                values.update(zip(spec.tops, tops, strict=True))
            kept = step.held.union(spec.tops)
            values = {name: x for name, x in values.items() if name in kept}
            if spec.name in self.scored:
                made[spec.name] = values[self.scored[spec.name]].clone()
        return made


def scored_tops(nodes: Sequence[Node], blobs: Sequence[str]) -> dict[str, str]:
    """By layer, the top that is to be compared: the blobs themselves, or what their Softmax reads.

    Args:
        nodes: of the net, in order.
        blobs: class scores, or outputs.
    """
    found = {}
    for name in blobs:
        last = _writer(nodes, name)
        if last is not None and nodes[last].layer.gives_scores:
            name = nodes[last].spec.bottoms[0]
            last = _writer(nodes[:last], name)
        if last is not None:
            found[nodes[last].spec.name] = name
    return found


def _writer(nodes: Sequence[Node], blob: str) -> int | None:
    """The last layer that writes a blob."""
    return next((i for i in reversed(range(len(nodes))) if blob in nodes[i].spec.tops), None)
