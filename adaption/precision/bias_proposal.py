"""Propose the exponent biases of S-DFP from a measurement with gradients.

A shared exponent follows each tensor, so what counts is a tensor's shape, not its range: of each,
values over the power of two of its own greatest magnitude were kept. At every bias the format's
signal-to-quantization-noise ratio is told from their histogram; a class of tensors gets the bias
with the least noise relative to the signal, averaged over its tensors.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adaption.errors import FieldError
from adaption.graph import NetSpec
from adaption.io.atomic import atomic_write
from adaption.io.netfile import NetFile
from adaption.later import torch
from adaption.net import Point
from adaption.numerics import DynamicFixed, FixedPoint
from adaption.options.recipes import make_recipe_options
from adaption.options.recipes.sdfp import SdfpOptions
from adaption.precision.effects import effect_of
from adaption.precision.measure import Measurement
from adaption.precision.propose import as_spec
from adaption.precision.statistics import TensorStats
from adaption.recipes.view import view_of_spec

__all__ = ["CLASSES", "SWEEP", "BiasProposal", "propose_biases"]

PathLike = str | os.PathLike[str]

FORMAT = "adaption.biases/1"
SWEEP = (-3, -2, -1, 0, 1)
CLASSES: Mapping[str, str] = {
    "weight": "weight",
    "activation": "bottom",
    "gradient": "activation_grad",
}
"""Classes of tensors, and the kind of point that is rounded with their bias."""

Ratios = dict[int, float]  # noise over signal, by bias


@dataclass
class BiasProposal:
    """Biases by class of tensors, and the SQNR in dB behind them, by class and bias.

    layers: the same of each tensor. An SQNR of infinity means that nothing is lost.
    """

    net: str
    options: SdfpOptions
    biases: dict[str, int]
    sqnr_db: dict[str, dict[int, float]]
    layers: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None is an SQNR of infinity."""
        return {
            "format": FORMAT,
            "net": self.net,
            "recipe": self.options.recipe,
            "bits": self.options.bits,
            "first_last": self.options.first_last,
            "s_w": self.biases["weight"],
            "s_a": self.biases["activation"],
            "s_g": self.biases["gradient"],
            "sqnr_db": {name: _shown(values) for name, values in self.sqnr_db.items()},
            "layers": [{**row, "sqnr_db": _shown(row["sqnr_db"])} for row in self.layers],
        }

    def rewriting(self) -> dict[str, Any]:
        """Keywords of `rewrite` with the recipe: the same words, these biases."""
        return {
            "bits": self.options.bits,
            **{f"bias_{name}": bias for name, bias in self.biases.items()},
            **self.options.changed("first_last"),
        }

    def save(self, path: PathLike) -> None:
        """Write `to_dict` as JSON."""
        with atomic_write(path, "w") as out:
            out.write(json.dumps(self.to_dict(), indent=1) + "\n")


def propose_biases(
    net: NetSpec | NetFile | PathLike,
    measurement: Measurement | PathLike,
    *,
    recipe: str = "sdfp",
    **choices: Any,
) -> BiasProposal:
    """Exponent biases for weights, activations and gradients, for words of so many bits.

    Args:
        net: the float net that was measured: a prototxt (of its TEST state), or what it holds.
        measurement: what `measure` with `backward` returned, or the file it saved.
        recipe: "sdfp", the one that has biases.
        choices: of the recipe: bits, first_last ("float": those layers do not count).
    Raises: FieldError when no layer is rounded, when gradients were not measured, and on values
        that are not finite.
    """
    if str(recipe).lower() != SdfpOptions.recipe:
        raise FieldError("recipe", recipe, SdfpOptions.recipe, "other recipes have no biases")
    options = make_recipe_options(recipe, choices)
    assert isinstance(options, SdfpOptions)
    spec = as_spec(net)
    if not isinstance(measurement, Measurement):
        measurement = Measurement.load(measurement)
    rounded = [
        layer.name
        for layer in view_of_spec(spec).weight_layers
        if options.first_last == "quantized" or not (layer.is_first or layer.is_last)
    ]
    if not rounded:
        raise FieldError(
            "first_last",
            options.first_last,
            "quantized, as every weight layer of this net is a first or a last one",
        ).at(file=spec.file)
    by_class: dict[str, list[Ratios]] = {}
    rows = []
    for name, kind in CLASSES.items():
        for layer in rounded:
            point = Point(layer, kind)
            stats = _own_scale(measurement, point)
            ratios = {s: _noise(stats, DynamicFixed(options.bits, s)) for s in SWEEP}
            by_class.setdefault(name, []).append(ratios)
            decibel = {s: _decibel(r) for s, r in ratios.items()}
            rows.append({"layer": layer, "kind": kind, "bias": _best(ratios), "sqnr_db": decibel})
    means = {
        name: {s: sum(r[s] for r in found) / len(found) for s in SWEEP}
        for name, found in by_class.items()
    }
    return BiasProposal(
        spec.name,
        options,
        {name: _best(ratios) for name, ratios in means.items()},
        {name: {s: _decibel(r) for s, r in ratios.items()} for name, ratios in means.items()},
        rows,
    )


def _own_scale(measurement: Measurement, point: Point) -> TensorStats:
    if point.kind == "weight":
        found = measurement[point].over_own_power()
    else:
        stats = measurement.points.get(point)
        scaled = None if stats is None else stats.own_scale
        if scaled is None:
            raise FieldError(
                "measurement",
                f'without "{point}" of each tensor',
                "one with gradients",
                "measure again: adaption measure NET WEIGHTS --backward -o FILE",
            )
        found = scaled
    if not found.is_finite:
        raise FieldError("measurement", f'"{point}" with inf or NaN', "finite values")
    return found


def _noise(stats: TensorStats, fmt: DynamicFixed) -> float:
    """Noise over signal where every tensor's greatest magnitude is between 1 and 2."""
    grid = fmt.for_peak(torch.tensor(1.0))
    assert isinstance(grid, FixedPoint)
    effect = effect_of(stats, grid)
    return 0.0 if math.isinf(effect.sqnr_db) else 10.0 ** (-effect.sqnr_db / 10)


def _best(ratios: Ratios) -> int:
    """The bias with the least noise; of equal ones that nearest to 0."""
    return min(ratios, key=lambda s: (ratios[s], abs(s)))


def _decibel(ratio: float) -> float:
    return math.inf if ratio <= 0 else -10 * math.log10(ratio)


def _shown(values: Mapping[int, float]) -> dict[str, float | None]:
    return {str(s): round(v, 3) if math.isfinite(v) else None for s, v in values.items()}
