"""Propose Qm.f per layer from a measurement."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from adaption.errors import AdaptionError, FieldError
from adaption.graph import NetSpec, NetState, build_spec
from adaption.io.netfile import NetFile, read_net
from adaption.net import Point
from adaption.net.plan import KINDS
from adaption.numerics import FixedPoint
from adaption.options import Formats, takes_options
from adaption.options.formats import of_weights
from adaption.precision.joined import common_format, joined_results
from adaption.precision.measure import Measurement
from adaption.precision.product_grids import BIAS_BITS, bottom_grids
from adaption.precision.proposal import Proposal
from adaption.precision.rules import Choice, Settings, choose, judged, require_finite
from adaption.precision.sites import Site, bottom_sites, excluded_layers, quantization_sites
from adaption.precision.statistics import TensorStats

__all__ = ["Proposal", "propose", "refitted", "stats_of"]

PathLike = str | os.PathLike[str]


@takes_options()
def propose(
    net: NetSpec | NetFile | PathLike,
    measurement: Measurement | PathLike,
    *,
    formats: Formats = Formats(),
    **choices: Any,
) -> Proposal:
    """Choose a format for every weight layer's weight and result.

    Args:
        net: the float net that was measured: a prototxt (of its TEST state), or what it holds.
        measurement: what `measure` returned, or the file it saved.
        formats: which formats are chosen; see Formats.
        choices: fields of Formats as keywords: propose(net, measured, bits=8, rule="sqnr").
    Raises: FieldError on a tensor that was not measured, and on one that the rule cannot treat,
        naming layer and point; on a word length for layers that the net lacks.
    """
    spec = as_spec(net)
    if not isinstance(measurement, Measurement):
        measurement = Measurement.load(measurement)
    made = Proposal(spec.name, formats)
    made.preprocessing, made.samples = measurement.preprocessing, measurement.samples

    chosen = _chooser(spec, measurement, formats)
    sites = quantization_sites(spec, formats.lpact)
    excluded = excluded_layers(sites, formats.exclude, formats.exclude_first, formats.exclude_last)
    excluded |= _in_float(sites, formats)
    for name in (s.weight.name for s in sites if s.weight.name in excluded):
        made.left_float[name] = "left in float, weights and result, as was asked"
    all_sites, sites = sites, [site for site in sites if site.weight.name not in excluded]
    for site in sites:
        name = site.weight.name
        weight, bias = Point(name, "weight"), Point(name, "bias")
        has_bias = bias in measurement.points
        if formats.lengths.of(weight) is None:
            made.left_float[name] = "weights left in float, as was asked"
            continue
        as_the_original = formats.original_semantics and has_bias
        made.choices[weight] = chosen(weight, bias if as_the_original else weight)
        if has_bias:
            with _named(spec, bias):
                require_finite(measurement[bias])
        if formats.lengths.rounds_biases and has_bias:
            if formats.lengths.of(bias) is not None:
                made.choices[bias] = chosen(bias, bias)
        elif formats.round_bias and has_bias and formats.lengths.of(bias) is not None:
            made.choices[bias] = Choice(
                made.choices[weight].format, "the weights' format, as ADaPTION rounds biases"
            )
    if formats.every_bottom:
        sites += bottom_sites(spec, formats.lpact, excluded)
    seen: dict[str, Point] = {}  # by the name of a result's point: where it was measured
    # Layers behind one that is left in float may still ask for short codes.
    sites = [s if s.weight.name in excluded else _result_in_float(s, formats) for s in sites]
    for site in sites:
        if site.result is None:
            name = site.weight.name
            held = made.left_float.get(name)
            made.left_float[name] = f"{held}; {site.why}" if held else site.why
            continue
        measured = _last_in_place(spec, site) if formats.original_semantics else site.result.name
        result = Point(site.point, "activation")
        seen[site.point] = Point(measured, "activation")
        made.choices[result] = chosen(result, seen[site.point])
        made.places[site.point] = site.place
    if not made.choices:
        raise FieldError(
            "net", spec.name, "a net with Convolution, InnerProduct or Deconvolution layers"
        ).at(file=spec.file)
    if formats.same_format is not None:
        for group, concat in joined_results(spec, sites).items():
            points = {Point(name, "activation"): measurement[seen[name]] for name in group}
            made.choices |= _in_one_format(made, points, concat)
    if formats.product_bias:
        made.choices |= _product_biases(spec, made, measurement, chosen)
    keys = [s.name if s.bottoms else s.tops[0] for s in spec.layers if s.tops]
    order = sorted(made.choices, key=lambda p: (keys.index(p.layer), KINDS.index(p.kind)))
    made.choices = {point: made.choices[point] for point in order}
    asked = [Point(s.point, kind) for s in (*sites, *all_sites) for kind in KINDS]
    in_float = [point for point in asked if formats.lengths.of(point) is None]
    formats.lengths.check_used([*made.choices, *in_float], made.left_float)
    return made


def _in_float(sites: Sequence[Site], formats: Formats) -> frozenset[str]:
    """Weight layers whose weights and results are both to stay in float: none of the rest of them
    needs a format."""
    lengths = formats.lengths
    return frozenset(
        site.weight.name
        for site in sites
        if all(
            lengths.of(Point(site.weight.name, kind)) is None for kind in ("weight", "activation")
        )
    )


def _result_in_float(site: Site, formats: Formats) -> Site:
    """The site, its result left in float where that is asked for."""
    if site.result is None or formats.lengths.of(Point(site.point, "activation")) is not None:
        return site
    return replace(site, result=None, why="result left in float, as was asked")


def _rounding(formats: Formats, point: Point) -> str:
    """How values at a point are rounded; half to even is of results, as in ONNX's QDQ form."""
    return formats.rounding if point.kind == "activation" else of_weights(formats.rounding)


def _in_one_format(
    made: Proposal, points: Mapping[Point, TensorStats], concat: str
) -> dict[Point, Choice]:
    """One format for points that meet in a Concat, by what was measured of each."""
    fmt = common_format([made.choices[point].format for point in points])
    return {
        point: judged(
            stats, fmt, f'{made.choices[point].reason}; one format for all that meet in "{concat}"'
        )
        for point, stats in points.items()
        if made.choices[point].format != fmt
    }


def refitted(
    spec: NetSpec,
    made: Proposal,
    measured: Measurement,
    found: Mapping[Point, FixedPoint],
    reasons: Mapping[str, str],
) -> Proposal:
    """A proposal with other formats for weights and results, and the biases that follow from them.

    Args:
        made: what `propose` made for `spec`.
        measured: of the net with the biases that it is to have.
        found: formats by point.
        reasons: by kind of point, why; the rule's reason stays where none is given.
    """
    assert made.formats is not None
    formats, choices = made.formats, dict(made.choices)
    for point, fmt in found.items():
        reason = reasons.get(point.kind, choices[point].reason)
        if point.kind == "weight":  # what rounding did to them is no matter of statistics
            choices[point] = replace(choices[point], format=fmt, reason=reason, effect=None)
        else:
            choices[point] = judged(stats_of(spec, made, measured, point), fmt, reason)
    biases = [p for p in choices if p.kind == "bias" and not formats.lengths.rounds_biases]
    for point in biases:
        if formats.round_bias:
            of_weights = choices[Point(point.layer, "weight")].format
            choices[point] = replace(choices[point], format=of_weights)
        elif formats.product_bias:
            del choices[point]
    fresh = replace(made, choices=choices)
    if formats.product_bias:
        choices |= _product_biases(spec, fresh, measured, _chooser(spec, measured, formats))
    fresh.choices = {point: choices[point] for point in made.choices}
    return fresh


def stats_of(spec: NetSpec, made: Proposal, measured: Measurement, point: Point) -> TensorStats:
    """What was measured where a result is rounded."""
    place = made.places[point.layer]
    item = next(s for s in spec.layers if s.name == place or (not s.bottoms and place in s.tops))
    return measured[Point(item.name, "activation")]


@contextmanager
def _named(spec: NetSpec, seen: Point) -> Iterator[None]:
    """Errors name the net and what was measured."""
    try:
        yield
    except AdaptionError as error:
        raise error.at(file=spec.file, layer=f"{seen.layer}:{seen.kind}") from None


def _chooser(
    spec: NetSpec, measured: Measurement, formats: Formats
) -> Callable[[Point, Point], Choice]:
    """What the rule chooses for a point, by what was measured at another."""

    def chosen(point: Point, seen: Point) -> Choice:
        # Of a result that stays float, a grid may be wanted for the biases of what reads it.
        bits = formats.lengths.of(point) or formats.lengths.bits
        settings = Settings(bits, _rounding(formats, point), formats)
        with _named(spec, seen):
            return choose(formats.rule, measured[seen], settings)

    return chosen


def _product_biases(
    spec: NetSpec, made: Proposal, measured: Measurement, chosen: Callable[[Point, Point], Choice]
) -> dict[Point, Choice]:
    """Biases without a format of their own on the grids of their products.

    Where no format rounds a layer's bottom, as at the net's input, the one that the rule gives its
    values counts.
    """
    choices = made.choices
    assert made.formats is not None
    names = [
        p.layer
        for p in choices
        if p.kind == "weight" and made.formats.lengths.of(Point(p.layer, "bias")) is not None
    ]
    results = {made.places[p.layer]: c.format for p, c in choices.items() if p.kind == "activation"}
    found: dict[Point, Choice] = {}
    for name, grid in bottom_grids(spec, results, names).items():
        bias, weight = Point(name, "bias"), choices[Point(name, "weight")].format
        if bias in choices or bias not in measured.points:
            continue
        if isinstance(grid, str):
            of_bottom = Point(grid, "activation")
            grid = chosen(of_bottom, of_bottom).format.frac_length
        fmt = FixedPoint(BIAS_BITS, weight.frac_length + grid, weight.rounding)
        reason = f"the grid of the products, {weight.frac_length} + {grid} fractional bits"
        found[bias] = judged(measured[bias], fmt, reason)
    return found


def as_spec(net: NetSpec | NetFile | PathLike) -> NetSpec:
    """The layers of a net in phase TEST."""
    if isinstance(net, NetSpec):
        return net
    file = net if isinstance(net, NetFile) else read_net(net)
    return build_spec(file.message, NetState("TEST"), file=file.file, lines=file.lines)


def _last_in_place(spec: NetSpec, site: Site) -> str:
    """The last layer that writes the result's blob: what a blob holds when the pass is over."""
    assert site.result is not None
    blob = site.result.tops[0]
    return [s.name for s in spec.layers if blob in s.tops][-1]
