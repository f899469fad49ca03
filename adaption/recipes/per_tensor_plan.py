"""The formats of all tensors of per-tensor fixed point, from what was recorded and measured."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from adaption.errors import FieldError, LayerError
from adaption.net.plan import Plan, Point
from adaption.numerics import FixedPoint
from adaption.recipes import per_tensor_rules as rules
from adaption.recipes.per_tensor_sites import Site, Tensors

__all__ = ["KINDS", "Gradients", "Offsets", "TensorPlan", "Word", "plan_tensors"]

KINDS = ("weight", "activation", "weight_grad", "activation_grad", "weight_accumulator")
"""The five kinds of tensor in the paper's table of precisions."""


@dataclass(frozen=True)
class Word:
    """Bits and range of one tensor. fixed: whether its bits were given, and stay."""

    bits: int
    range_log2: int
    is_signed: bool = True
    fixed: bool = False

    @property
    def format(self) -> FixedPoint:
        """The number format. Raises: FieldError when no bits are left."""
        if self.bits < 1:
            raise FieldError("bits", self.bits, "1 or more")
        made = rules.signed if self.is_signed else rules.unsigned
        return made(self.bits, self.range_log2)

    def more(self, bits: int) -> Word:
        """The same range with more bits, or fewer."""
        return self if self.fixed else replace(self, bits=self.bits + bits)


@dataclass(frozen=True)
class Offsets:
    """Noise gains of weights and activations, and the offsets of their precisions (EFQN).

    weights: by weight layer; activations: by the site's layer; each (gain, offset).
    words: the ranges of activations, without bits.
    """

    weights: Mapping[str, tuple[float, int]]
    activations: Mapping[str, tuple[float, int]]
    words: Mapping[str, Word]

    @classmethod
    def of(
        cls,
        weights: Mapping[str, float],
        activations: Mapping[str, float],
        words: Mapping[str, Word],
    ) -> Offsets:
        """Offsets from gains. Activations whose bits are given take no part.

        Args:
            words: range and sign of each activation; with `fixed` also its bits.
        """
        free = [name for name in activations if not words[name].fixed]
        gains = [*weights.values(), *(activations[name] for name in free)]
        ranges = [*(0 for _ in weights), *(words[name].range_log2 for name in free)]
        found = rules.offsets(gains, ranges)
        own = dict(zip(free, found[len(weights) :], strict=True))
        return cls(
            {name: (weights[name], b) for name, b in zip(weights, found, strict=False)},
            {name: (gain, own.get(name, 0)) for name, gain in activations.items()},
            words,
        )

    def forward(self, b_min: int) -> tuple[dict[str, Word], dict[str, Word]]:
        """Weights by layer and activations by site, with `b_min` bits beside their offsets."""
        weights = {name: Word(b + b_min, 0) for name, (_, b) in self.weights.items()}
        activations = {
            name: word if word.fixed else replace(word, bits=self.activations[name][1] + b_min)
            for name, word in self.words.items()
        }
        return weights, activations

    def bound(self, b_min: int) -> float:
        """The analytic bound on the share of mismatches, see `per_tensor_rules.bound`."""
        weights, activations = self.forward(b_min)
        words = [*weights.values(), *activations.values()]
        gains = [gain for gain, _ in (*self.weights.values(), *self.activations.values())]
        return rules.bound(gains, [w.bits for w in words], [w.range_log2 for w in words])


@dataclass(frozen=True)
class Gradients:
    """What the float run has shown of gradients.

    sigmas: least and greatest running standard deviation, by point (weight_grad, activation_grad).
    jacobians: by weight layer and point of the activation gradient behind it, see
        `per_tensor_rules.activation_grad_lsb_log2`.
    rates: smallest learning rate that is used, by weight layer; 0 where it does not learn.
    owners: by weight layer, the one under whose name a shared weight learns.
    """

    sigmas: Mapping[Point, tuple[float, float]]
    jacobians: Mapping[tuple[str, Point], float]
    rates: Mapping[str, float]
    owners: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TensorPlan:
    """Bits and range of every tensor; the configuration C_o of the paper, or one beside it.

    weights, weight_grads, accumulators: by weight layer. activations: by site.
    activation_grads: by point.
    """

    tensors: Tensors
    weights: Mapping[str, Word]
    activations: Mapping[str, Word]
    weight_grads: Mapping[str, Word] = field(default_factory=dict)
    activation_grads: Mapping[Point, Word] = field(default_factory=dict)
    accumulators: Mapping[str, Word] = field(default_factory=dict)

    def more(self, bits: int, kinds: Collection[str] = KINDS) -> TensorPlan:
        """The plan with `bits` more, or fewer, at the tensors of these kinds; ranges stay.

        But for accumulators: their range is half a step of their weight, so that it follows the
        weight's bits.
        """

        def some(kind: str) -> int:
            return bits if kind in kinds else 0

        return replace(
            self,
            weights={n: w.more(some("weight")) for n, w in self.weights.items()},
            activations={n: w.more(some("activation")) for n, w in self.activations.items()},
            weight_grads={n: w.more(some("weight_grad")) for n, w in self.weight_grads.items()},
            activation_grads={
                p: w.more(some("activation_grad")) for p, w in self.activation_grads.items()
            },
            accumulators={
                n: Word(w.bits + some("weight_accumulator"), w.range_log2 - some("weight"))
                for n, w in self.accumulators.items()
            },
        )

    def plan(self) -> Plan:
        """The formats by point. Raises: LayerError naming a tensor that is left without bits."""
        found: dict[Point, FixedPoint] = {}
        words = [
            *((Point(n, "weight"), w) for n, w in self.weights.items()),
            *((p, self.activations[s.layer]) for s in self.tensors.sites for p in s.points),
            *((Point(n, "weight_grad"), w) for n, w in self.weight_grads.items()),
            *self.activation_grads.items(),
            *((Point(n, "weight_accumulator"), w) for n, w in self.accumulators.items()),
        ]
        for point, word in words:
            try:
                found[point] = word.format
            except FieldError:
                raise LayerError(
                    f"{point.kind} is left with {word.bits} bits, allowed: 1 or more"
                ).at(layer=point.layer) from None
        return found

    def gradient_of(self, layer: str) -> Point | None:
        """The gradient behind a weight layer that its report names: of the activation that its
        result becomes, else of its own top."""
        points = [p for p in self.tensors.results[layer] if p in self.activation_grads]
        behind = [p for p in points if p.layer != layer]
        return next(iter((*behind, *points)), None)

    def read_by(self, layer: str) -> Site:
        """The widest of the activations that a weight layer reads."""
        sites = self.tensors.read_by(layer)
        return max(sites, key=lambda site: self.activations[site.layer].bits)


def plan_tensors(
    tensors: Tensors,
    offsets: Offsets,
    b_min: int,
    gradients: Gradients,
    *,
    legacy_clipping: bool = False,
) -> TensorPlan:
    """Criteria EFQN, GC, RQB, BQN and AS; see `per_tensor_rules`.

    Weights that do not learn get no formats for gradient and accumulator.
    Args:
        legacy_clipping: ranges of gradients as the authors' program has them.
    Raises: LayerError when a gradient was 0 all along, so that nothing follows from it.
    """
    weights, activations = offsets.forward(b_min)
    weight_grads: dict[str, Word] = {}
    accumulators: dict[str, Word] = {}
    lsbs: dict[str, int] = {}
    for name in tensors.weight_layers:
        point = Point(gradients.owners.get(name, name), "weight_grad")
        if point not in gradients.sigmas or not gradients.rates.get(name):
            continue
        least, greatest = _sigmas(gradients, point)
        lsbs[name] = rules.weight_grad_lsb_log2(least)
        r = rules.gradient_range_log2("weight_grad", greatest, legacy=legacy_clipping)
        weight_grads[name] = Word(rules.bits_of(r, lsbs[name]), r)
        bits, rate = weights[name].bits, gradients.rates[name]
        accumulators[name] = Word(rules.accumulator_bits(bits, rate, lsbs[name]), -bits)
    activation_grads: dict[Point, Word] = {}
    for point in tensors.gradients:
        if point not in gradients.sigmas:
            continue
        steps = [
            rules.activation_grad_lsb_log2(lsbs[name], value)
            for (name, place), value in gradients.jacobians.items()
            if place == point and name in lsbs
        ]
        if not steps:
            continue
        r = rules.gradient_range_log2(
            "activation_grad", _sigmas(gradients, point)[1], legacy=legacy_clipping
        )
        bits = max(rules.bits_of(r, min(steps)), rules.LEAST_SIGNED)
        activation_grads[point] = Word(bits, r)
    return TensorPlan(tensors, weights, activations, weight_grads, activation_grads, accumulators)


def _sigmas(gradients: Gradients, point: Point) -> tuple[float, float]:
    least, greatest = gradients.sigmas[point]
    if not least > 0:
        raise LayerError(
            f"{point.kind} was 0 throughout a part of the float run, so that no step follows",
            "look for a layer that gets no gradient, or train for fewer iterations",
        ).at(layer=point.layer)
    return least, greatest
