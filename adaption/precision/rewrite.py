"""Rewrite a prototxt to low precision and back to float; only the lines that change are touched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from adaption.errors import LayerError, UsageError
from adaption.graph import NetSpec, NetState, build_spec
from adaption.io import prototxt
from adaption.io.lp_types import LP_ACT, LP_TYPES
from adaption.io.netfile import NetFile, from_document, read_net
from adaption.io.prototxt import Block, Field
from adaption.net import Point
from adaption.numerics import FixedPoint
from adaption.precision.format_text import (
    formats_of,
    lp_act,
    make_float,
    set_formats,
    set_points,
    text_of,
)
from adaption.precision.sites import Site, quantization_sites
from adaption.precision.splice import keep_clip, take_out_rounding, unused_name

if TYPE_CHECKING:
    from adaption.precision.proposal import Proposal

__all__ = [
    "backward_through_rounded",
    "file_sites",
    "file_specs",
    "fresh_document",
    "low_precision_layers",
    "matches",
    "rewrite",
    "uniform_plan",
]

PathLike = str | os.PathLike[str]


def rewrite(
    net: NetFile | PathLike,
    plan: Proposal | None = None,
    *,
    lpact: str | None = None,
    exclude: Sequence[str] = (),
    partly: bool = False,
) -> NetFile:
    """The low-precision net, or without a plan the float one: names, order and other fields stay.

    Convolution and InnerProduct become LPConvolution and LPInnerProduct with `lpfp_param`; other
    weight layers get `precision_param`. Behind each result that is rounded stands an in-place
    LPAct. A legacy net (V0, V1) is first upgraded, which prints it anew.

    Args:
        plan: the formats. None: back to float; low-precision types become plain, LPAct layers go.
        lpact: where results are rounded, one of sites.PLACES; None: where the plan says. The
            formats of the plan stay: what fits a sum fits what a ReLU or pooling makes of it.
        exclude: names or patterns (`conv1`, `*_aux*`) of weight layers to leave as they are.
        partly: leave out what the plan says about layers that this net lacks.
    Raises: LayerError when the plan names a layer that the net lacks; UsageError when `lpact` is
        asked for in a net that has LPAct layers already.
    """
    if not isinstance(net, NetFile):
        net = read_net(net)
    if plan is None:
        return _to_float(net)
    places = plan.places if lpact is None else plan.places | _places(net, lpact)
    document = fresh_document(net)
    fields = document.root.all("layer")
    by_name: dict[str, list[Field]] = {}
    for item in fields:
        by_name.setdefault(text_of(item.block, "name"), []).append(item)
    formats = plan.stated
    taken = set(by_name)
    # Later layers first: an insertion then never stands between a field and its neighbour.
    for name in dict.fromkeys(point.layer for point in reversed(list(formats))):
        place = places.get(name, name)
        behind = _behind(document.root, place)
        is_known = name in by_name or (name == place and bool(behind))
        if matches(name, exclude) or (partly and not is_known):
            continue
        if not is_known or not behind:
            raise LayerError(
                f'the plan names layer "{place if is_known else name}", which the net lacks',
                "use a plan that was made for this net",
            ).at(file=net.file)
        weight = formats.get(Point(name, "weight"))
        if weight is not None:
            for item in by_name[name]:
                set_formats(item.block, weight=weight, bias=formats.get(Point(name, "bias")))
                if plan.backward_weights:
                    set_points(item.block, {}, backward_weights=plan.backward_weights)
        result = formats.get(Point(name, "activation"))
        if result is not None:
            act = unused_name(f"{name}_lpact", taken)
            for blob, maker in behind:
                present = _lp_act_behind(fields, blob, maker)
                if present is not None:
                    set_formats(present.block, activation=result)
                elif maker is None:
                    document.root.insert_before(fields[0], lp_act(act, blob, result))
                else:
                    text = lp_act(act, blob, result, maker.block)
                    document.root.insert_after(maker, text)
    return from_document(prototxt.parse(document.text(), net.file))


def _places(net: NetFile, lpact: str) -> dict[str, str]:
    """The layer whose top is rounded, by weight layer, in a net that has no LPAct yet."""
    if any(message.type == LP_ACT for message in net.message.layer):
        raise UsageError(
            "has LPAct layers already, allowed: a float net where lpact says their place",
            "bring it back to float first: adaption rewrite NET --to float -o OUT",
            file=net.file,
        )
    return {s.weight.name: s.result.name for s in file_sites(net, lpact) if s.result}


def _to_float(net: NetFile) -> NetFile:
    document = fresh_document(net)
    taken = {text_of(item.block, "name") for item in document.root.all("layer")}
    for item in document.root.all("layer"):
        if text_of(item.block, "type") == LP_ACT:
            take_out_rounding(document.root, item)
        else:
            keep_clip(document.root, item, taken)
    for item in document.root.all("layer"):
        low = text_of(item.block, "type") in LP_TYPES
        if low or item.block.first("precision_param") is not None:
            make_float(item.block)
    return from_document(prototxt.parse(document.text(), net.file))


def backward_through_rounded(net: NetFile, exclude: Sequence[str] = ()) -> NetFile:
    """The net, its layers with rounded weights sending gradients back through those.

    Args:
        exclude: names or patterns of layers to leave as they are.
    Raises: UsageError when no layer rounds its weights.
    """
    document = fresh_document(net)
    layers = [
        item
        for item in document.root.all("layer")
        if formats_of(item.block).weight is not None
        and not matches(text_of(item.block, "name"), exclude)
    ]
    if not layers:
        raise UsageError(
            "has no layers with rounded weights, which backward_weights is about",
            "give formats beside it (--plan, --weight), or a net that has them",
            file=net.file,
        )
    for item in layers:
        set_points(item.block, {}, backward_weights="QUANTIZED")
    return from_document(prototxt.parse(document.text(), net.file))


def low_precision_layers(net: NetFile) -> list[str]:
    """Names of the layers that have formats or round, which `rewrite` without a plan changes."""
    return [
        message.name
        for message in net.message.layer
        if message.type in (*LP_TYPES, LP_ACT) or message.HasField("precision_param")
    ]


def uniform_plan(
    net: NetFile,
    *,
    weight: FixedPoint | None,
    activation: FixedPoint | None,
    lpact: str = "before-relu",
    round_bias: bool = False,
    exclude_first: bool = False,
    exclude_last: bool = False,
) -> Proposal:
    """One format for all weights and one for all results, as ADaPTION's LP_VGG16_3_13 files have.

    Args:
        weight, activation: None leaves them float.
        exclude_first, exclude_last: leave the first or the last weight layer as it is.
    """
    from adaption.precision.proposal import Proposal
    from adaption.precision.rules import Choice

    sites = file_sites(net, lpact)
    sites = sites[exclude_first : len(sites) - exclude_last]
    made = Proposal(net.message.name)
    for site in sites:
        name = site.weight.name
        if weight is not None:
            made.choices[Point(name, "weight")] = Choice(weight, "given for all weights")
            if round_bias:
                made.choices[Point(name, "bias")] = Choice(weight, "the weights' format")
        if site.result is None:
            made.left_float[name] = site.why
        elif activation is not None:
            made.choices[Point(name, "activation")] = Choice(activation, "given for all results")
            made.places[name] = site.result.name
    return made


def file_sites(net: NetFile, lpact: str = "before-relu") -> list[Site]:
    """The sites of a file in order: those of the TEST net, then those only the TRAIN net has."""
    found: dict[str, Site] = {}
    for spec in file_specs(net):
        for site in quantization_sites(spec, lpact):
            found.setdefault(site.weight.name, site)
    order = {message.name: i for i, message in reversed(list(enumerate(net.message.layer)))}
    return sorted(found.values(), key=lambda site: order[site.weight.name])


def file_specs(net: NetFile) -> list[NetSpec]:
    """The nets of a file for TEST and TRAIN, as far as it has them.

    A training net often lacks the data layer of TEST. Raises: LayerError when neither can be built.
    """
    made, errors = [], []
    for phase in ("TEST", "TRAIN"):
        try:
            made.append(build_spec(net.message, NetState(phase), file=net.file, lines=net.lines))
        except LayerError as error:
            errors.append(error)
    if not made:
        raise errors[0]
    return made


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a layer's name is one of the names or fits one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def fresh_document(net: NetFile) -> prototxt.Document:
    """A tree of our own to edit; a file of a legacy form is printed anew from its message."""
    if net.document.root.all("layers"):
        return prototxt.parse(prototxt.format_message(net.message), net.file)
    return prototxt.parse(net.document.text(), net.file)


def _behind(root: Block, place: str) -> list[tuple[str, Field | None]]:
    """What to round at a place: a blob, and the layer behind which; None: an `input` of the net.

    A place is the name of a layer, whose first top it is, or of a blob that comes from outside.
    """
    layers = root.all("layer")
    found = [item for item in layers if text_of(item.block, "name") == place]
    if found:
        return [(text_of(item.block, "top"), item) for item in found]
    sources = [item for item in layers if item.block.first("bottom") is None]
    brought = [s for s in sources if place in [top.string for top in s.block.all("top")]]
    if brought:
        return [(place, item) for item in brought]
    return [(place, None)] if place in [blob.string for blob in root.all("input")] else []


def _lp_act_behind(fields: list[Field], blob: str, maker: Field | None) -> Field | None:
    """The LPAct that already rounds a blob, in a net that is low precision already."""
    rest = fields if maker is None else fields[fields.index(maker) + 1 :]
    if rest and text_of(rest[0].block, "type") == LP_ACT:
        if text_of(rest[0].block, "bottom") == blob:
            return rest[0]
    return None
