"""Refine a proposal: better formats, weights and biases, by calibration data, for any float net."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from adaption.errors import counted
from adaption.graph import NetSpec
from adaption.io.lp_types import PLAIN
from adaption.io.weights import LayerWeights, WeightBlob, Weights
from adaption.net import Net, Point
from adaption.net.memory import give_back
from adaption.numerics import FixedPoint
from adaption.options import Formats, Refinement
from adaption.precision.given_plan import fitted_plan
from adaption.precision.joined import joined_results
from adaption.precision.measure import Measurement
from adaption.precision.product_grids import bottom_grids
from adaption.precision.proposal import Proposal
from adaption.precision.propose import propose, refitted, stats_of
from adaption.precision.refining.alone import Alone, LayerEffects, scored_tops
from adaption.precision.refining.equalize import Equalized, equalize
from adaption.precision.refining.rounding import DAMPING
from adaption.precision.refining.sums import Sum, sums_of
from adaption.precision.refining.walk import (
    HELD_OUT,
    Inputs,
    Refined,
    Task,
    Walk,
    pieces_that_fit,
    values_of,
)
from adaption.precision.sites import bottom_sites, quantization_sites
from adaption.precision.statistics import TensorStats

__all__ = ["MOST_SAMPLES", "Outcome", "Refining", "needs_refining"]

MOST_SAMPLES = 512  # that layers are fitted on
# Of walks that only compare nets, a quarter of which judges; more where memory holds more.
TRIAL_SAMPLES = 128
PIECE = 16  # samples that are carried along together
# Columns for each input of a sum, in walks that only compare nets: with so many, DAMPING holds.
# With half as many, kept zeros looked better still in trials than they are (SqueezeNet).
TRIAL_COLUMNS = round(1 / DAMPING)
# Share of the squared error at which kept zeros are taken: in a trial, fitted to few columns, they
# look better by some percent than they are (SqueezeNet at 8 and 6 bits, each half of 500 images).
WITH_ZEROS = 0.95
FEW_ZEROS = 0.005  # share of weights below which it makes no difference whether zeros stay

Measure = Callable[[Net], Measurement]


def needs_refining(formats: Formats, steps: Refinement) -> bool:
    """Whether formats and weights are found on the net itself, not from statistics alone."""
    return steps.walks or steps.equalize or formats.rule == "error"


@dataclass(frozen=True)
class Outcome:
    """What refining gave.

    proposal: with the formats chosen. weights: what the low-precision net gets. plain: the float
    net's, equalized where that was done. measured: of that float net.
    Both may lie in the memory of the net that was refined: load nothing else into it meanwhile.
    said: the entry `refinement` of summary.json. notes: sentences for the report.
    """

    proposal: Proposal
    weights: Weights
    plain: Weights
    measured: Measurement
    said: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Start:
    """A float net to be rounded: its weights, statistics and first formats."""

    weights: Weights
    measured: Measurement
    proposal: Proposal
    equalized: Equalized | None


@dataclass
class Refining:
    """The work on one net.

    Args:
        net: the float net, phase TEST, that holds its weights; it holds others afterwards.
        spec: what it was built from.
        weights: its weights.
        measured: its statistics on the calibration data.
        formats, steps: what is asked for.
        batches: gives the calibration data anew each time, as input blobs by name.
        measure: measures the net on the calibration data.
        progress: called after each weight layer of each walk.
        given: formats to keep; None: they are chosen.
    """

    net: Net
    spec: NetSpec
    weights: Weights
    measured: Measurement
    formats: Formats
    steps: Refinement
    batches: Callable[[], Iterable[Mapping[str, Any]]]
    measure: Measure
    progress: Callable[[], None] = lambda: None
    given: Proposal | None = None

    def __post_init__(self) -> None:
        self.shared = _sharing(self.net)
        self.nodes = {node.spec.name: node for node in self.net.nodes}
        sites = quantization_sites(self.spec, self.formats.lpact)
        if self.formats.every_bottom:
            sites += bottom_sites(self.spec, self.formats.lpact)
        self.groups: list[frozenset[str]] = []
        if self.formats.same_format is not None:
            self.groups = list(joined_results(self.spec, sites))

    def run(self) -> Outcome:
        """Do what is asked for. Raises: AdaptionError."""
        plain = self._start(self.weights, self.measured, None)
        steps, trials = self.steps, list[dict[str, Any]]()
        start, keeps_zeros = plain, steps.keep_zeros
        if steps.on_trial and self._is_fitted and (steps.equalize or steps.keep_zeros):
            start, keeps_zeros, trials = self._tried(plain)
        elif steps.equalize:
            start = self._equalized(plain)
        self.net.load(start.weights)
        found = self._walked(start, keeps_zeros) if self._is_fitted else Refined()
        return self._outcome(start, keeps_zeros, found, trials)

    def alone(
        self,
        lengths: Mapping[int, Formats],
        scores: Sequence[str],
        known: Collection[str],
        done: Callable[[str, LayerEffects], None],
    ) -> None:
        """Round the weights of one layer at a time, in several word lengths, and compare scores.

        Args:
            lengths: by word length, formats that give it to weights.
            scores: blobs of class scores, or outputs.
            known: layers to leave out. Those that share their parameters are left out, too.
            done: called with each layer's name and its effects.
        Raises: AdaptionError.
        """
        start = self._start(self.weights, self.measured, None)
        plans = {
            bits: propose(self.spec, self.measured, formats=formats).plan
            for bits, formats in lengths.items()
        }
        self.net.load(start.weights)
        keeps_zeros = self.steps.keep_zeros and not self.steps.on_trial
        Alone(
            self.net,
            self._task(start, keeps_zeros),
            self._sums(),
            self._pieces(),
            plans,
            scored_tops(self.net.nodes, scores),
            {*known, *self.shared},
            done,
        ).measure()

    @property
    def _is_fitted(self) -> bool:
        return self.steps.walks or self.formats.rule == "error"

    # -- float nets ----------------------------------------------------------------------------

    def _start(
        self, weights: Weights, measured: Measurement, equalized: Equalized | None
    ) -> _Start:
        proposal = self.given or propose(self.spec, measured, formats=self.formats)
        rounded = {point.layer for point in proposal.plan if point.kind == "activation"}
        self.groups = [group & rounded for group in self.groups]  # layers may be left in float
        return _Start(weights, measured, proposal, equalized)

    def _equalized(self, plain: _Start) -> _Start:
        self.net.load(plain.weights)
        made = equalize(
            self.net,
            plain.proposal.plan,
            plain.proposal.places,
            self.groups,
            self._sums(),
            self._pieces(),
            self.shared,
        )
        self.net.load(_with_blobs(plain.weights, made.blobs))
        # The net's own memory serves from here on: weights of a large net are not held twice.
        made = replace(made, blobs={name: values_of(self.nodes[name]) for name in made.blobs})
        weights = _with_blobs(plain.weights, made.blobs)
        give_back()
        return self._start(weights, self.measure(self.net), made)

    def _tried(self, plain: _Start) -> tuple[_Start, bool, list[dict[str, Any]]]:
        """The better of equalized or not, then of zeros kept or not, on samples held back."""
        trials: list[dict[str, Any]] = []

        def error(start: _Start, keeps_zeros: bool) -> float:
            self.net.load(start.weights)
            found = self._walked(start, keeps_zeros, is_trial=True).error
            give_back()
            trials.append(
                {
                    "equalized": start is not plain,
                    "kept_zeros": keeps_zeros,
                    "relative_error": sqrt(found),
                }
            )
            return found

        best, least = plain, error(plain, False)
        if self.steps.equalize:
            other = self._equalized(plain)
            reached = error(other, False)
            if reached < least:
                best, least = other, reached
        keeps_zeros = False
        if self.steps.keep_zeros and self._zero_share() >= FEW_ZEROS:
            keeps_zeros = error(best, True) < WITH_ZEROS * least
        return best, keeps_zeros, trials

    def _zero_share(self) -> float:
        stats = [x for p, x in self.measured.points.items() if p.kind == "weight"]
        return sum(x.zeros for x in stats) / max(1, sum(x.count for x in stats))

    # -- walks ---------------------------------------------------------------------------------

    def _walked(self, start: _Start, keeps_zeros: bool, *, is_trial: bool = False) -> Refined:
        task = self._task(start, keeps_zeros)
        if not is_trial:
            return Walk(self.net, task, self._sums(), self._pieces(), self.progress).run()
        return Walk(
            self.net,
            task,
            self._sums(),
            self._pieces(max(TRIAL_SAMPLES, self._samples_that_fit(task))),
            self.progress,
            held_out=HELD_OUT,
            columns_per_input=TRIAL_COLUMNS,
        ).run()

    def _samples_that_fit(self, task: Task) -> int:
        """Of a walk, from the first layer on."""
        first = next(self._pieces())
        return pieces_that_fit(self.net, task, first) * len(next(iter(first.values())))

    def _task(self, start: _Start, keeps_zeros: bool) -> Task:
        proposal, steps = start.proposal, self.steps
        plan = proposal.plan
        formats, as_weights = dict(plan), set()
        for point in plan:
            if point.kind != "bias" or self.given or self.formats.lengths.rounds_biases:
                continue
            del formats[point]
            if self.formats.round_bias:
                as_weights.add(point)
        return Task(
            formats=formats,
            places=proposal.places,
            groups=self.groups,
            stats={p.layer: self._stats(start, p) for p in plan if p.kind == "activation"},
            samples=start.measured.samples,
            by_error=self.formats.rule == "error",
            compensates=steps.refine,
            corrects_bias=steps.walks,
            keeps_zeros=keeps_zeros,
            shared=self.shared,
            as_weights=frozenset(as_weights),
            grid_below=self._grid_below if self.formats.product_bias else None,
        )

    def _grid_below(self, results: Mapping[str, FixedPoint], layer: str) -> int | str:
        return bottom_grids(self.spec, results, [layer])[layer]

    def _stats(self, start: _Start, point: Point) -> TensorStats:
        return stats_of(self.spec, start.proposal, start.measured, point)

    def _sums(self) -> dict[str, Sum]:
        return sums_of(self.spec, self.nodes)

    def _pieces(self, most: int = MOST_SAMPLES) -> Iterator[Inputs]:
        """The first MOST_SAMPLES samples; about `most` of these, evenly spread."""
        count = min(self.measured.samples, MOST_SAMPLES)
        seen = taken = 0
        for piece in _pieces(self.batches(), self._piece):
            size = len(next(iter(piece.values())))
            if seen * most >= taken * count:
                yield piece
                taken += size
            seen += size
            if seen >= count:
                return

    @property
    def _piece(self) -> int:
        """Samples of a piece: few calibration samples still make several."""
        return max(1, min(PIECE, self.measured.samples // (2 * HELD_OUT)))

    # -- results -------------------------------------------------------------------------------

    def _outcome(
        self,
        start: _Start,
        keeps_zeros: bool,
        found: Refined,
        trials: list[dict[str, Any]],
    ) -> Outcome:
        weights = _with_blobs(start.weights, found.blobs)
        measured = replace(start.measured, points=dict(start.measured.points))
        for name, blobs in found.blobs.items():
            if self.steps.walks and Point(name, "bias") in measured.points and len(blobs) > 1:
                measured.points[Point(name, "bias")] = TensorStats.of(blobs[1])
        proposal = start.proposal
        if self.given is not None:
            proposal = fitted_plan(proposal, measured)
        elif self._is_fitted:
            proposal = refitted(self.spec, proposal, measured, found.formats, self._reasons())
        said: dict[str, Any] = {
            "refined": self.steps.refine,
            "corrected_biases": self.steps.walks,
            "equalized_channels": start.equalized.channels if start.equalized else 0,
            "kept_zeros": keeps_zeros,
            "samples": min(found.samples.values(), default=0),
            "trials": trials,
            "layers": dict(found.notes),
        }
        return Outcome(proposal, weights, start.weights, measured, said, _notes(said))

    def _reasons(self) -> dict[str, str]:
        """By kind of point, why a format of a walk was chosen."""
        if self.formats.rule != "error":
            return {}
        of_weights = "least error of the layer's result on the calibration data"
        if self.steps.refine:
            of_weights += ", weights rounded so that errors cancel"
        return {"weight": of_weights, "activation": "least error against the float net's result"}


def _notes(said: Mapping[str, Any]) -> list[str]:
    """What was done, and what could not be done, one sentence each."""
    notes = []
    if said["refined"] or said["corrected_biases"]:
        what = "Weights were rounded so that their errors cancel, and biases" * said["refined"]
        what = what or "Biases"
        notes.append(
            f"{what} make up for what rounding does to means, on"
            f" {counted(said['samples'], 'calibration sample')} (fewer than there are where layers"
            " are large)."
        )
    if said["equalized_channels"]:
        notes.append(
            f"{said['equalized_channels']} groups of channels were scaled so that they fill the"
            " ranges of their tensors; the float net computes what it did, up to float rounding."
        )
    if said["trials"]:
        tried = "; ".join(
            f"{'equalized' if t['equalized'] else 'as it is'}"
            f"{', zeros kept' if t['kept_zeros'] else ''}: {100 * t['relative_error']:.3g} %"
            for t in said["trials"]
        )
        notes.append(f"Tried on held-back samples, error of the last results: {tried}.")
    return notes + [f'Layer "{name}": {note}.' for name, note in said["layers"].items()]


def _pieces(batches: Iterable[Mapping[str, Any]], size: int) -> Iterator[Inputs]:
    for blobs in batches:
        tensors = {name: torch.as_tensor(values) for name, values in blobs.items()}
        count = len(next(iter(tensors.values())))
        for i in range(0, count, size):
            yield {name: values[i : i + size] for name, values in tensors.items()}


def _with_blobs(weights: Weights, blobs: Mapping[str, list[Tensor]]) -> Weights:
    """`weights` with other blobs for some layers."""
    if not blobs:
        return weights
    layers = [
        LayerWeights(
            x.name,
            PLAIN.get(x.type, x.type),
            [WeightBlob.of(blob.numpy()) for blob in blobs[x.name]],
        )
        if x.name in blobs
        else x
        for x in weights.layers
    ]
    return Weights(layers, weights.name, weights.file)


def _sharing(net: Net) -> frozenset[str]:
    """Layers whose parameters others use, too."""
    held = [
        (node.spec.name, blob.tensor.untyped_storage().data_ptr())
        for node in net.nodes
        for blob in node.masters
        if blob.tensor.numel()
    ]
    counts = Counter(place for _, place in dict.fromkeys(held))
    return frozenset(name for name, place in held if counts[place] > 1)
