"""The stages between the float run and the formats: gains, ranges, mismatches, statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from adaption.errors import UsageError
from adaption.graph import NetSpec
from adaption.io.caffemodel import Weights
from adaption.job.assign_samples import training_batches
from adaption.job.assign_score import Predictions, Ranges, logits_of, predict
from adaption.job.feed import Feed
from adaption.job.kept import Kept
from adaption.layers.base import Layer
from adaption.net import Net, Point
from adaption.precision.noise_gains import noise_gains
from adaption.precision.noise_paths import noise_paths
from adaption.recipes import named_recipe
from adaption.recipes.per_tensor import Recorded
from adaption.recipes.per_tensor_plan import Offsets, TensorPlan, Word
from adaption.recipes.per_tensor_rules import range_log2
from adaption.recipes.per_tensor_sites import Tensors
from adaption.report import track
from adaption.solver.precision_state import read_recipe_state

__all__ = ["Converged", "jacobians", "recorded_rows"]

MOST_BITS = 24  # of B_min: float32 has no more
BEHIND = 2  # word lengths that the sweep goes on behind the one it takes, for its plot
FIRST = 4  # word lengths that it has at least
PATH_BATCHES = 8  # training batches over which the Jacobians of batch norm and the like are taken


@dataclass
class Converged:
    """The float net as its training has left it, fed with the samples held out.

    train: its phase TRAIN, with data layers. spec, feed: phase TEST over the samples held out,
    with inputs. tensors: what is to be rounded.
    """

    train: NetSpec
    feed: Feed
    weights: Weights
    tensors: Tensors
    seed: int
    device: str
    quiet: bool

    def __post_init__(self) -> None:
        self.spec = self.feed.spec
        self.net = Net(self.spec, self.weights, device=self.device)
        self.scores = logits_of(self.spec, self.net)
        nodes = {node.spec.name for node in self.net.nodes}
        wanted = [*self.tensors.weight_layers, *(site.layer for site in self.tensors.sites)]
        missing = [name for name in dict.fromkeys(wanted) if name not in nodes]
        if missing:
            raise UsageError(
                f"phase TEST lacks layers of phase TRAIN: {', '.join(missing)}; mismatches are"
                " counted in phase TEST",
                "give both phases the same weight layers and activation functions",
                file=self.spec.file,
            )

    # -- noise gains ---------------------------------------------------------------------------

    def gains(self, count: int, chunk: int, how: str) -> dict[str, Any]:
        """Noise gains from the first training samples."""
        batches = training_batches(self.train, count, seed=self.seed, device=self.device)
        shown = track(
            batches, "measuring noise gains", quiet=self.quiet, unit="batches", total=None
        )
        found = noise_gains(
            self.spec, self.weights, self.tensors, self.scores, shown,
            chunk=chunk, device=self.device,
        )  # fmt: skip
        weights, activations = found.estimate(how)
        return {
            "samples": found.samples,
            "ties": found.ties,
            "weights": weights,
            "activations": activations,
        }

    # -- ranges --------------------------------------------------------------------------------

    def _watched(self) -> dict[str, str]:
        """Blobs of the activations whose values no activation function bounds, by site."""
        nodes = {node.spec.name: node for node in self.net.nodes}
        found = {}
        for site in self.tensors.sites:
            spec = nodes[site.layer].spec
            if site.is_input:
                found[site.layer] = spec.bottoms[0]
            elif bounds_of(nodes[site.layer].layer) is None:
                found[site.layer] = spec.tops[0]
        return found

    def words(
        self, ranges: Mapping[str, tuple[float, float]], input_bits: int | None
    ) -> dict[str, Word]:
        """Range and sign of every activation.

        1 where the values fit, as in the paper; of others the next power of two. An input whose
        bits are given has the least range that holds it.
        """
        words = {}
        nodes = {node.spec.name: node for node in self.net.nodes}
        for site in self.tensors.sites:
            known = None if site.is_input else bounds_of(nodes[site.layer].layer)
            r, is_signed = range_log2(*(known or ranges[site.layer]))
            if site.is_input and input_bits is not None:
                words[site.layer] = Word(input_bits, r, is_signed, fixed=True)
            else:
                words[site.layer] = Word(0, max(r, 0), is_signed)
        return words

    # -- mismatches ----------------------------------------------------------------------------

    def float_pass(self) -> tuple[Predictions, dict[str, tuple[float, float]]]:
        """Classes of the samples held out, and ranges of what nothing bounds."""
        ranges = Ranges(self._watched())
        shown = track(self.feed, "running the samples held out", quiet=self.quiet, unit="batches")
        return predict(self.net, shown, self.scores, ranges), ranges.values()

    def sweep(
        self, offsets: Offsets, classes: Predictions, limit: float, kept: Kept
    ) -> tuple[int, dict[str, float]]:
        """Mismatches by B_min; the first within the limit, and those measured.

        Raises: UsageError when no word length gets there.
        """
        found: dict[str, float] = kept.load("p_m", {})
        while True:
            good = [int(b) for b, share in found.items() if share <= limit]
            if good and len(found) >= max(FIRST, good[0] + BEHIND):
                return good[0], found
            bits = len(found) + 1
            if bits > MOST_BITS:
                if good:
                    return good[0], found
                raise UsageError(
                    f"the share of mismatches stays above {limit:g} up to {MOST_BITS} bits: it is"
                    f" {found[str(MOST_BITS)]:g}",
                    "raise --p-m, or look whether the samples held out are those the net is for",
                )
            found[str(bits)] = self._mismatches(offsets, bits, classes)
            kept.save("p_m", found)

    def _mismatches(self, offsets: Offsets, b_min: int, classes: Predictions) -> float:
        weights, activations = offsets.forward(b_min)
        self.net.set_plan(TensorPlan(self.tensors, weights, activations).plan())
        label = f"mismatches with B_min {b_min}"
        shown = track(self.feed, label, quiet=self.quiet, unit="batches")
        share = predict(self.net, shown, self.scores).mismatches(classes)
        self.net.set_plan(dict.fromkeys(self.net.plan))
        return share

    # -- gradients -----------------------------------------------------------------------------

    def paths(self) -> list[list[Any]]:
        """Factors on squared Jacobians: rows of weight layer, place and factor."""
        net = Net(self.train, self.weights, phase="TRAIN", seed=self.seed, device=self.device)
        found = noise_paths(net, self.tensors, batches=PATH_BATCHES, seed=self.seed)
        return [[name, point.layer, factor] for (name, point), factor in found.items()]


def bounds_of(layer: Layer) -> tuple[float, float] | None:
    """The least and greatest value that an activation function gives; None where it has no bounds.

    Found by what it makes of values far out.
    """
    if not layer.is_pointwise or layer.kind != "activation":
        return None
    with torch.no_grad():
        y = layer.forward(torch.tensor([-1e30, -1.0, 0.0, 1.0, 1e30]))
    least, greatest = float(y.min()), float(y.max())
    return None if max(abs(least), abs(greatest)) > 1e6 else (least, greatest)


def recorded_rows(state: Path) -> dict[str, Any]:
    """What a float run has recorded, as plain values."""
    recipe = named_recipe("per_tensor", record=True)
    recorded: Recorded = recipe.load(*read_recipe_state(state))
    gradients = [
        [point.layer, point.kind, *moments.sigmas] for point, moments in recorded.gradients.items()
    ]
    inputs = {
        name: [found.energy.extremes[1], found.singular.extremes[1]]
        for name, found in recorded.inputs.items()
    }
    return {"gradients": gradients, "inputs": inputs}


def jacobians(
    recorded: Mapping[str, Any], paths: Iterable[list[Any]], mode: str, passes: int
) -> dict[tuple[str, Point], float]:
    """By weight layer and point of the gradient behind it, what `activation_grad_lsb_log2` takes.

    Args:
        mode: "exact" or "svd". passes: micro-batches of one update (iter_size), over which
            gradients are averaged.
    """
    index, power = {"exact": (0, 1.0), "svd": (1, 1.5)}[mode]
    return {
        (name, Point(place, "activation_grad")): (
            recorded["inputs"][name][index] * factor / passes**power
        )
        for name, place, factor in paths
        if name in recorded["inputs"]
    }
