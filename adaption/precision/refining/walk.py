"""Go through a float net and its rounded twin side by side, and fit one layer after the other.

Of calibration samples the blobs of both nets are carried along: as many samples as fit in memory,
more as blobs get smaller. Samples that join later run through the layers that are done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from adaption.net import Net, Point
from adaption.net.blob import Blob
from adaption.net.memory import give_back
from adaption.net.node import Node
from adaption.net.plan import LayerFormats
from adaption.numerics import FixedPoint
from adaption.precision.product_grids import BIAS_BITS
from adaption.precision.refining.activations import (
    best_range,
    errors_of,
    estimated,
    of_range,
    ranges,
)
from adaption.precision.refining.columns import MOST_COLUMNS, picked_columns
from adaption.precision.refining.gated import SWEEPS, Gate, Gated
from adaption.precision.refining.layer_fit import FitSettings, Fitted, LayerFit
from adaption.precision.refining.squares import Squares
from adaption.precision.refining.steps import Step, bytes_held, steps_to
from adaption.precision.refining.sums import Sum
from adaption.precision.statistics import TensorStats

__all__ = [
    "HELD_OUT",
    "Inputs",
    "Piece",
    "Refined",
    "Task",
    "Walk",
    "pieces_that_fit",
    "values_of",
]

CARRIED = 512 << 20  # bytes of blobs of both nets
LARGE = 1 << 22  # weights whose packed form is not kept
HELD_OUT = 4  # every so many-th piece judges, where a walk is to show what comes of it

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Task:
    """What a walk is to do.

    formats: by weight and activation point; where the walk chooses, word length and sign count.
    places: by the name of an activation point, the layer or input blob whose top it rounds.
    groups: names of activation points that get one format, each a set.
    stats: of the float net's results by activation point.
    samples: how many the statistics are of.
    by_error: choose formats by the error of results; else `formats` are taken as they are.
    compensates, corrects_bias, keeps_zeros: what is done to weights and biases.
    shared: layers whose parameters others use, too, which stay as they are.
    as_weights: bias points that take the format of their layer's weights.
    grid_below: fractional bits of what a layer reads, by the formats found so far of results, by
        place; a name where they are not known. Biases then lie on the grid of the products.
    """

    formats: Mapping[Point, FixedPoint]
    places: Mapping[str, str]
    groups: Sequence[frozenset[str]]
    stats: Mapping[str, TensorStats]
    samples: int
    by_error: bool
    compensates: bool
    corrects_bias: bool
    keeps_zeros: bool = False
    shared: frozenset[str] = frozenset()
    as_weights: frozenset[Point] = frozenset()
    grid_below: Callable[[Mapping[str, FixedPoint], str], int | str] | None = None

    @property
    def weight_layers(self) -> frozenset[str]:
        """Layers whose weights are rounded."""
        return frozenset(point.layer for point in self.formats if point.kind == "weight")


@dataclass
class Refined:
    """What a walk found.

    formats: by weight and activation point.
    blobs: by layer, those that differ from the float net's; of a weight layer its weights lie on
        the grid.
    samples: by weight layer, how many calibration samples it was fitted on.
    notes: by layer, what could not be done, in words.
    error: squared error of the last results against the float net's, over their squares, on the
        samples that were held out.
    """

    formats: dict[Point, FixedPoint] = field(default_factory=dict)
    blobs: dict[str, list[Tensor]] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    error: float = math.nan


@dataclass
class Piece:
    """Blobs of some samples in both nets, by name; one tensor where both hold the same."""

    full: dict[str, Tensor]
    low: dict[str, Tensor]
    samples: int
    is_held_out: bool


class Walk:
    """One pass over the layers of `net`, a float net that holds its weights, phase TEST.

    Args:
        sums: by weight layer, its node with the affine ones behind it.
        pieces: input blobs of calibration samples, piece by piece.
        done: called after each weight layer.
        held_out: every so many-th piece takes no part, and shows the error at the end; 0: none.
        columns_per_input: fit to at most so many columns for each input of a sum; None: to
            MOST_COLUMNS at most.
    """

    def __init__(
        self,
        net: Net,
        task: Task,
        sums: Mapping[str, Sum],
        pieces: Iterable[Inputs],
        done: Callable[[], None] = lambda: None,
        held_out: int = 0,
        columns_per_input: int | None = None,
    ) -> None:
        self.net, self.task, self.sums = net, task, sums
        self.columns_per_input = columns_per_input
        self.pieces, self.done, self.held_out = iter(pieces), done, held_out
        self.steps = _steps(net, task)
        self.carried: list[Piece] = []
        self.taken = 0  # pieces
        self.own: dict[str, Node] = {}  # layers of the rounded net that differ
        self.decided: dict[str, int] = {}  # activation point -> range, of those in groups
        self.found = Refined()

    def run(self) -> Refined:
        """Do it. Raises: AdaptionError naming the layer that fails."""
        with torch.no_grad():
            for step in self.steps:
                self._give_up_large(step)
            for i, step in enumerate(self.steps):
                self._let_join(i)
                if step.node.spec.name in self.task.weight_layers:
                    self._fit(step)
                    self._give_up_large(step)
                    self.done()
                for piece in self.carried:
                    self._advance(piece, step)
                self._give_up_large(step)
                if step.point:
                    self._choose(step)
                    for piece in self.carried:
                        self._round(piece, step)
            self.found.error = self._error()
        return self.found

    @property
    def _fitting(self) -> list[Piece]:
        """The pieces that layers are fitted on."""
        return [piece for piece in self.carried if not piece.is_held_out]

    def _error(self) -> float:
        """Of what no layer reads any more, the last results."""
        squares = Squares()
        for piece in self.carried:
            for name in piece.full if piece.is_held_out else ():
                squares.add(piece.full[name], piece.low[name])
        return squares.noise / squares.signal if squares.signal else math.nan

    # -- carrying samples --------------------------------------------------------------------

    def _let_join(self, index: int) -> None:
        """Let further samples run up to here, as far as memory will do from here on."""
        while not self.carried or (len(self.carried) + 1) * self.held[index] <= CARRIED:
            inputs = next(self.pieces, None)
            if inputs is None:
                return
            if not self.carried:
                self._measure(inputs)
            count = len(next(iter(inputs.values())))
            is_held_out = self.held_out > 0 and self.taken % self.held_out == self.held_out - 1
            self.taken += 1
            piece = Piece(dict(inputs), dict(inputs), count, is_held_out)
            for step in self.steps[:index]:
                self._advance(piece, step)
                if step.point:
                    self._round(piece, step)
            self.carried.append(piece)

    def _measure(self, inputs: Inputs) -> None:
        """Find out what a piece takes: bytes of the blobs of both nets, from each step on."""
        self.held = _held(self.net, self.steps, inputs)

    def _advance(self, piece: Piece, step: Step) -> None:
        """Run a layer in both nets, and give up what nobody reads any more."""
        node, spec = step.node, step.node.spec
        if not spec.is_input:
            full, low = ([of[name] for name in spec.bottoms] for of in (piece.full, piece.low))
            own = self.own.get(spec.name)
            tops = self._run(node, full)
            is_same = own is None and all(x is y for x, y in zip(full, low, strict=True))
            of_low = tops if is_same else self._run(own or node, low)
            piece.full.update(zip(spec.tops, tops, strict=True))
            piece.low.update(zip(spec.tops, of_low, strict=True))
        kept = step.held.union(spec.tops)
        for of in (piece.full, piece.low):
            for name in [name for name in of if name not in kept]:
                del of[name]

    def _give_up_large(self, step: Step) -> None:
        """Of a layer with large weights: drop their packed copies, which no sample needs now, and
        give freed memory back to the system."""
        name, masters = step.node.spec.name, step.node.masters
        if masters and masters[0].count >= LARGE:
            for node in (step.node, self.own.get(name, step.node)):
                node.forget_packed()
            give_back()

    def _run(self, node: Node, bottoms: list[Tensor]) -> list[Tensor]:
        if node.layer.takes_blobs:  # it reads the net's own blobs
            for name, x in zip(node.spec.bottoms, bottoms, strict=True):
                self.net.blobs[name].set(x)
            shapes = node.layer.top_shapes(*(tuple(x.shape) for x in bottoms))
            for name, shape in zip(node.spec.tops, shapes, strict=True):
                self.net.blobs[name].reshape(*shape)
        return node.forward(bottoms, record=False)

    # -- weights -----------------------------------------------------------------------------

    def _fit(self, step: Step) -> None:
        """Find the weights, the bias and the weights' format of the rounded net's layer."""
        name = step.node.spec.name
        if name in self.task.shared:
            like, blobs = self.task.formats[Point(name, "weight")], values_of(step.node)
            self._take(step.node, [like.quantize(blobs[0]), *blobs[1:]], like)
            del self.found.blobs[name]
            self.found.notes[name] = "shares its parameters: each is rounded to the nearest"
            return
        self.found.samples[name] = sum(piece.samples for piece in self._fitting)
        made = self._layer_fit(step, self.columns_per_input).rounded()
        if made.blocks > 1:
            self.found.notes[name] = (
                f"its {made.rounded.shape[2]} inputs are treated in {made.blocks} blocks"
            )
        self._use(step, made)

    def _layer_fit(self, step: Step, columns_per_input: int | None = None) -> LayerFit:
        """The fit of a layer to what both nets have made so far.

        Args:
            columns_per_input: look at so many columns only for each input of a sum.
        """
        task, node = self.task, step.node
        name, layer = node.spec.name, node.layer
        like = task.formats[Point(name, "weight")]
        low, full = (
            [of[b] for of in pieces for b in node.spec.bottoms]
            for pieces in ([p.low for p in self._fitting], [p.full for p in self._fitting])
        )
        rows = torch.from_numpy(layer.by_output(values_of(node)[0].numpy()))
        groups = layer.columns(low[0], torch.tensor([0])).shape[0]
        weight = rows.reshape(groups, -1, rows.shape[1])
        slope = torch.from_numpy(self.sums[name].slope(len(rows))).reshape(groups, -1)
        seed, most = self.steps.index(step), MOST_COLUMNS
        if columns_per_input is not None:
            most = min(most, columns_per_input * weight.shape[2])

        def columns(inputs: slice, limit: int = most) -> Iterator[tuple[Tensor, Tensor]]:
            count = min(most, limit)
            return picked_columns(layer, low, full, most=count, seed=seed, inputs=inputs)

        settings = FitSettings(
            compensates=task.compensates,
            centred=task.corrects_bias,
            keeps_zeros=task.keeps_zeros,
            format=None if task.by_error else like,
            like=like,
        )

        def gated() -> Gated | None:
            of_sum = self.sums[name]
            if not of_sum.ends_rectified:
                return None
            offset = torch.from_numpy(of_sum.offset(len(rows))).reshape(groups, -1)
            some, gate = partial(columns, slice(None)), Gate(slope, offset)
            moves = task.corrects_bias and not self._why_not_shifted(of_sum)
            is_trial = columns_per_input is not None
            sweeps = 0 if is_trial else SWEEPS  # they take too long for trials
            return Gated.of(weight, some, gate, moves_bias=moves, sweeps=sweeps)

        return LayerFit(weight, columns, settings, slope.square(), gated)

    def _use(self, step: Step, made: Fitted) -> None:
        """Use what was fitted in the rounded net."""
        blobs = values_of(step.node)
        self._take(step.node, [self._as_blob(step, made.rounded), *blobs[1:]], made.format)
        if self.task.corrects_bias:
            self._shift(self.sums[step.node.spec.name], made.shift.reshape(-1))

    def _as_blob(self, step: Step, weight: Tensor) -> Tensor:
        """Weights (G, R, d) in the shape of the layer's blob."""
        values = weight.reshape(-1, weight.shape[2]).numpy()
        shape = tuple(values_of(step.node)[0].shape)
        return torch.from_numpy(step.node.layer.from_output(values, shape)).float()

    def _take(self, node: Node, blobs: list[Tensor], form: FixedPoint) -> None:
        """Use these blobs in the rounded net, weights that lie on the grid of `form`."""
        self.found.formats[Point(node.spec.name, "weight")] = form
        self._own(node, blobs)

    def _own(self, node: Node, blobs: list[Tensor]) -> None:
        form = self._bias_format(node.spec.name)
        formats = LayerFormats(bias=form)
        self.found.blobs[node.spec.name] = blobs
        self.own[node.spec.name] = node.having(formats, [Blob(tensor=x) for x in blobs])

    def _bias_format(self, name: str) -> FixedPoint | None:
        """How the bias of a layer is rounded, None where it stays float."""
        task, bias = self.task, Point(name, "bias")
        of_weights = self.found.formats.get(Point(name, "weight"))
        if bias in task.formats or of_weights is None:
            return task.formats.get(bias)
        if bias in task.as_weights:
            return of_weights
        if task.grid_below is not None:
            results = {
                task.places[point.layer]: form
                for point, form in self.found.formats.items()
                if point.kind == "activation"
            }
            grid = task.grid_below(results, name)
            if isinstance(grid, int):
                return FixedPoint(BIAS_BITS, of_weights.frac_length + grid, of_weights.rounding)
        return None

    def _shift(self, of_sum: Sum, shift: Tensor) -> None:
        """Add to the bias, or to the addend of an affine layer behind, what the mean lacks."""
        why_not = self._why_not_shifted(of_sum)
        if why_not:
            name = of_sum.nodes[0].spec.name
            known = self.found.notes.get(name)
            self.found.notes[name] = f"{known}; {why_not}" if known else why_not
            return
        found = of_sum.shifted(shift.numpy())
        assert found is not None
        node, changed = found
        blobs = list(self.found.blobs.get(node.spec.name, ()))
        blobs = blobs or values_of(node)
        for i, values in changed.items():
            blobs[i] = torch.from_numpy(values).float()
        self._own(node, blobs)

    def _why_not_shifted(self, of_sum: Sum) -> str:
        """Why biases cannot make up for the mean; "" where they can."""
        outputs = of_sum.nodes[0].layer.by_output(values_of(of_sum.nodes[0])[0].numpy()).shape[0]
        found = of_sum.shifted(np.zeros(outputs))
        if found is None:
            return "has no bias that could make up for the mean"
        shared = self.task.shared & {found[0].spec.name}
        return f'the mean is not made up for: "{found[0].spec.name}" is shared' if shared else ""

    # -- results -----------------------------------------------------------------------------

    def _choose(self, step: Step) -> None:
        """Find the format of a result."""
        task, name = self.task, step.point
        point, top = Point(name, "activation"), step.node.spec.tops[0]
        like = task.formats[point]
        if not task.by_error:
            self.found.formats[point] = like
            return
        if name not in self.decided:
            group = next((g for g in task.groups if name in g), frozenset({name}))
            low, full = [p.low[top] for p in self._fitting], [p.full[top] for p in self._fitting]
            later = {other: task.stats[other] for other in sorted(group - {name})}
            tried = ranges(max(task.stats[other].max_abs for other in group))
            own = errors_of(low, full, like, tried, self.steps.index(step))
            share = sum(piece.samples for piece in self._fitting) / max(1, task.samples)
            found = [estimated(x, like, tried, x.count * share) for x in later.values()]
            best = best_range([own, *found], tried)
            self.decided.update(dict.fromkeys(group, best))
        self.found.formats[point] = of_range(like, self.decided[name])

    def _round(self, piece: Piece, step: Step) -> None:
        top = step.node.spec.tops[0]
        form = self.found.formats[Point(step.point, "activation")]
        piece.low[top] = form.quantize(piece.low[top], self.net.generator)


def pieces_that_fit(net: Net, task: Task, inputs: Inputs) -> int:
    """How many pieces like this one a walk carries from the first layer on."""
    return CARRIED // max(1, _held(net, _steps(net, task), inputs)[0])


def _steps(net: Net, task: Task) -> list[Step]:
    points = {place: name for name, place in task.places.items()}
    return steps_to(net.nodes, task.weight_layers, points)


def _held(net: Net, steps: Sequence[Step], inputs: Inputs) -> list[int]:
    for name, x in inputs.items():
        net.blobs[name].reshape(*x.shape)
    net.reshape()
    shapes = {name: blob.shape for name, blob in net.blobs.items()}
    return [2 * size for size in bytes_held(steps, shapes)]


def values_of(node: Node) -> list[Tensor]:
    """A layer's blobs in full precision."""
    return [blob.tensor.detach() for blob in node.masters]
