"""Propose Qm.f per layer from a measurement."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from adaption.errors import AdaptionError, FieldError, UsageError
from adaption.graph import NetSpec, NetState, build_spec
from adaption.io.netfile import NetFile, read_net
from adaption.net import Point
from adaption.net.plan import KINDS
from adaption.numerics import FixedPoint
from adaption.precision.joined import JOINS, common_format, joined_results
from adaption.precision.measure import Measurement
from adaption.precision.product_grids import BIAS_BITS, bottom_grids
from adaption.precision.proposal import Proposal
from adaption.precision.rules import RULES, Choice, Settings, choose, judged, require_finite
from adaption.precision.sites import Site, bottom_sites, excluded_layers, quantization_sites
from adaption.precision.statistics import TensorStats
from adaption.precision.word_lengths import Bits, WordLengths, check_bits

__all__ = ["Proposal", "check_bits", "check_settings", "propose"]

PathLike = str | os.PathLike[str]


def propose(
    net: NetSpec | NetFile | PathLike,
    measurement: Measurement | PathLike,
    *,
    bits: Bits = 16,
    rule: str = "adaption",
    threshold: float = 0.0,
    percentile: float = 99.9,
    rounding: str = "half_away",
    round_bias: bool = False,
    product_bias: bool = False,
    every_bottom: bool = False,
    unsigned: bool = False,
    lpact: str = "before-relu",
    same_format: str | None = None,
    exclude: Sequence[str] = (),
    exclude_first: bool = False,
    exclude_last: bool = False,
    original_semantics: bool = False,
) -> Proposal:
    """Choose a format for every weight layer's weight and result.

    Args:
        net: the float net that was measured: a prototxt (of its TEST state), or what it holds.
        measurement: what `measure` returned, or the file it saved.
        bits: word length, 2..24: one for all, or several, see WordLengths.parse: [8,
            "activation=16", "conv1*:weight=6"]. A length for `bias` rounds biases to formats of
            their own.
        rule: "adaption" (max-abs and threshold, corrected), "adaption-legacy" (as the original
            computes it), "max", "percentile" or "sqnr"; see RULES.
        threshold: of the rules adaption and adaption-legacy: share of the non-zero values that may
            lie beyond the range, 0..1.
        percentile: of the rule percentile: share of the non-zero magnitudes within the range, in %.
        rounding: "half_away" (deterministic), "stochastic", or "half_even": results as ONNX's
            QuantizeLinear rounds them, weights half_away.
        round_bias: also round biases, with the weights' format as ADaPTION does.
        product_bias: round biases to the grid of the products, in 32 bits, as integer hardware and
            ONNX's QDQ form hold them.
        every_bottom: also round what else weight layers read: sums of branches, averages, results
            of other layers; see precision.sites.bottom_sites.
        unsigned: drop the sign bit of tensors that are never negative.
        lpact: where results are rounded: "before-relu" (as the original), "after-relu" or
            "after-pooling"; see precision.sites.PLACES.
        same_format: "concat": results that meet in a Concat, through layers that keep formats in
            between, all get the widest range chosen for one of them (and the longest word).
        exclude, exclude_first, exclude_last: weight layers to leave in float, by name or pattern.
        original_semantics: with adaption-legacy, look at the bias for the weights' format, and at
            the activation blob as it is after all layers in place, as the original's helper does.
    Raises: FieldError on bits, rule, threshold or percentile out of range, on a tensor that was not
        measured, and on one that the rule cannot treat, naming layer and point.
    """
    spec = _as_spec(net)
    if not isinstance(measurement, Measurement):
        measurement = Measurement.load(measurement)
    lengths = WordLengths.parse(bits)
    check_settings(rule, threshold, percentile, round_bias, product_bias, same_format)
    made = Proposal(spec.name, lengths.bits, rule, threshold, rounding)
    made.lengths, made.lpact, made.same_format = str(lengths), lpact, same_format
    made.percentile = percentile if rule == "percentile" else None
    made.preprocessing, made.samples = measurement.preprocessing, measurement.samples

    def chosen(point: Point, measured: Point) -> Choice:
        is_result = point.kind == "activation"
        way = "half_away" if rounding == "half_even" and not is_result else rounding
        settings = Settings(lengths.of(point), threshold, percentile, way, unsigned)
        with named(measured):
            return choose(rule, measurement[measured], settings)

    @contextmanager
    def named(measured: Point) -> Iterator[None]:
        try:
            yield
        except AdaptionError as error:
            raise error.at(file=spec.file, layer=f"{measured.layer}:{measured.kind}") from None

    sites = quantization_sites(spec, lpact)
    excluded = excluded_layers(sites, exclude, exclude_first, exclude_last)
    for name in (s.weight.name for s in sites if s.weight.name in excluded):
        made.left_float[name] = "left in float, weights and result, as was asked"
    sites = [site for site in sites if site.weight.name not in excluded]
    for site in sites:
        name = site.weight.name
        weight, bias = Point(name, "weight"), Point(name, "bias")
        has_bias = bias in measurement.points
        as_the_original = original_semantics and has_bias
        made.choices[weight] = chosen(weight, bias if as_the_original else weight)
        if has_bias:
            with named(bias):
                require_finite(measurement[bias])
        if lengths.rounds_biases and has_bias:
            made.choices[bias] = chosen(bias, bias)
        elif round_bias and has_bias:
            made.choices[bias] = Choice(
                made.choices[weight].format, "the weights' format, as ADaPTION rounds biases"
            )
    if every_bottom:
        sites += bottom_sites(spec, lpact, excluded)
    seen: dict[str, Point] = {}  # by the name of a result's point: where it was measured
    for site in sites:
        if site.result is None:
            made.left_float[site.weight.name] = site.why
            continue
        measured = _last_in_place(spec, site) if original_semantics else site.result.name
        result = Point(site.point, "activation")
        seen[site.point] = Point(measured, "activation")
        made.choices[result] = chosen(result, seen[site.point])
        made.places[site.point] = site.place
    if not made.choices:
        raise FieldError(
            "net", spec.name, "a net with Convolution, InnerProduct or Deconvolution layers"
        ).at(file=spec.file)
    if same_format is not None:
        for group, concat in joined_results(spec, sites).items():
            points = {Point(name, "activation"): measurement[seen[name]] for name in group}
            made.choices |= _in_one_format(made, points, concat)
    if product_bias:
        made.choices |= _product_biases(spec, made, measurement, chosen)
    keys = [s.name if s.bottoms else s.tops[0] for s in spec.layers if s.tops]
    order = sorted(made.choices, key=lambda p: (keys.index(p.layer), KINDS.index(p.kind)))
    made.choices = {point: made.choices[point] for point in order}
    lengths.check_used(made.choices)
    return made


def check_settings(
    rule: str,
    threshold: float,
    percentile: float,
    round_bias: bool,
    product_bias: bool,
    same_format: str | None,
) -> None:
    """Refuse settings of `propose` that suit no measurement. Raises: FieldError, UsageError."""
    if rule not in RULES:
        raise FieldError("rule", rule, ", ".join(RULES))
    if not 0 <= threshold < 1:
        raise FieldError("threshold", threshold, "0 or more, below 1")
    if not 0 < percentile <= 100:
        raise FieldError("percentile", percentile, "above 0, up to 100")
    if round_bias and product_bias:
        raise UsageError(
            "biases are to be rounded in the weights' format and on the grid of the products",
            "ask for one of round_bias and product_bias",
        )
    if same_format not in (None, *JOINS):
        raise FieldError("same_format", same_format, ", ".join(JOINS))


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


def _product_biases(
    spec: NetSpec, made: Proposal, measured: Measurement, chosen: Callable[[Point, Point], Choice]
) -> dict[Point, Choice]:
    """Biases without a format of their own on the grids of their products.

    Where no format rounds a layer's bottom, as at the net's input, the one that the rule gives its
    values counts.
    """
    choices = made.choices
    names = [p.layer for p in choices if p.kind == "weight"]
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


def _as_spec(net: NetSpec | NetFile | PathLike) -> NetSpec:
    if isinstance(net, NetSpec):
        return net
    file = net if isinstance(net, NetFile) else read_net(net)
    return build_spec(file.message, NetState("TEST"), file=file.file, lines=file.lines)


def _last_in_place(spec: NetSpec, site: Site) -> str:
    """The last layer that writes the result's blob: what a blob holds when the pass is over."""
    assert site.result is not None
    blob = site.result.tops[0]
    return [s.name for s in spec.layers if blob in s.tops][-1]
