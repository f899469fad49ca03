"""Rewrite a float prototxt to low precision; only the lines that change are touched."""

from __future__ import annotations

from collections.abc import Mapping

from adaption.errors import LayerError
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document
from adaption.io.prototxt import Block, Field
from adaption.net import Point
from adaption.numerics import FixedPoint
from adaption.precision.propose import Proposal
from adaption.precision.sites import TWINS

__all__ = ["rewrite"]

_SCHEMES = {"half_away": "DETERMINISTIC", "stochastic": "STOCHASTIC"}


def rewrite(net: NetFile, proposal: Proposal) -> NetFile:
    """The low-precision net: layers keep their names, blobs, order and every other field.

    Convolution and InnerProduct become LPConvolution and LPInnerProduct with `lpfp_param`; other
    weight layers get `precision_param`. Behind each result that is rounded stands an in-place
    LPAct, before the activation function. A legacy net (V0, V1) is first upgraded, which prints
    it anew.

    Raises: LayerError when the proposal names a layer that the net lacks.
    """
    document = _fresh_document(net)
    fields = document.root.all("layer")
    by_name: dict[str, list[Field]] = {}
    for item in fields:
        by_name.setdefault(_text(item.block, "name"), []).append(item)
    plan = proposal.plan
    taken = set(by_name)
    # Later layers first: an insertion then never stands between a field and its neighbour.
    for name in dict.fromkeys(point.layer for point in reversed(list(plan))):
        if name not in by_name:
            raise LayerError(
                f'the plan names layer "{name}", which the net lacks',
                "use a plan that was made for this net",
            ).at(file=net.file)
        weight = plan.get(Point(name, "weight"))
        if weight is not None:
            for item in by_name[name]:
                _make_low_precision(item.block, weight, plan.get(Point(name, "bias")))
        result = plan.get(Point(name, "activation"))
        if result is not None:
            act = _unused(f"{name}_lpact", taken)
            for item in by_name[proposal.places[name]]:
                present = _lp_act_behind(fields, item)
                if present is None:
                    document.root.insert_after(item, _lp_act(act, item.block, result))
                else:
                    _set_result(present.block, result)
    return from_document(prototxt.parse(document.text(), net.file))


def _fresh_document(net: NetFile) -> prototxt.Document:
    """A tree of our own to edit; a file of a legacy form is printed anew from its message."""
    if net.document.root.all("layers"):
        return prototxt.parse(prototxt.format_message(net.message), net.file)
    return prototxt.parse(net.document.text(), net.file)


def _make_low_precision(block: Block, weight: FixedPoint, bias: FixedPoint | None) -> None:
    kind = block.first("type")
    assert kind is not None
    own = _text(block, "type")
    twin = own if own in TWINS.values() else TWINS.get(own)
    for name in ("lpfp_param", "precision_param"):
        for old in block.all(name):
            old.remove()
    if twin is not None:
        kind.set(prototxt.quote(twin))
    if twin is not None and _fits_lpfp(weight):
        round_bias = "true" if bias is not None else "false"
        block.append(_lpfp(weight, f"  round_bias: {round_bias}\n"))
        return
    points = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    block.append(_precision(points))


def _lp_act(name: str, place: Block, result: FixedPoint) -> str:
    """The text of an in-place LPAct on the first top of `place`, kept in the same net states."""
    top = prototxt.quote(_text(place, "top"))
    own = _lpfp(result) if _fits_lpfp(result) else _precision({"activation": result})
    rules = "".join(f.text + "\n" for f in place.fields if f.name in ("include", "exclude"))
    body = f'name: {prototxt.quote(name)}\ntype: "LPAct"\nbottom: {top}\ntop: {top}\n{rules}{own}'
    return "layer {\n" + "".join(f"  {line}\n" for line in body.splitlines()) + "}"


def _lp_act_behind(fields: list[Field], place: Field) -> Field | None:
    """The LPAct that already rounds the top of `place`, in a net that is low precision already."""
    rest = fields[fields.index(place) + 1 :]
    if rest and _text(rest[0].block, "type") == "LPAct":
        if _text(rest[0].block, "bottom") == _text(place.block, "top"):
            return rest[0]
    return None


def _set_result(block: Block, result: FixedPoint) -> None:
    for name in ("lpfp_param", "precision_param"):
        for old in block.all(name):
            old.remove()
    block.append(_lpfp(result) if _fits_lpfp(result) else _precision({"activation": result}))


def _fits_lpfp(fmt: FixedPoint) -> bool:
    """Whether ADaPTION's lpfp_param can say the format: bd 1..31, ad 0..30, no sign."""
    return (
        1 <= fmt.int_length <= 31
        and 0 <= fmt.frac_length <= 30
        and fmt.is_signed
        and fmt.range == "symmetric"
        and fmt.rounding in _SCHEMES
    )


def _lpfp(fmt: FixedPoint, extra: str = "") -> str:
    scheme = _SCHEMES[fmt.rounding]
    return (
        f"lpfp_param {{\n  bd: {fmt.int_length}\n  ad: {fmt.frac_length}\n{extra}"
        f"  rounding_scheme: {scheme}\n}}"
    )


def _precision(points: Mapping[str, FixedPoint]) -> str:
    """precision_param, for what lpfp_param cannot say: any layer type, any frac_length."""
    inner = ""
    for kind, fmt in points.items():
        inner += f"  {kind} {{\n    kind: FIXED\n    word_length: {fmt.word_length}\n"
        inner += f"    frac_length: {fmt.frac_length}\n    rounding: {fmt.rounding.upper()}\n"
        if not fmt.is_signed:
            inner += "    is_signed: false\n"
        if fmt.range != "symmetric":
            inner += f"    range: {fmt.range.upper()}\n"
        inner += "  }\n"
    return f"precision_param {{\n{inner}}}"


def _text(block: Block, name: str) -> str:
    found = block.first(name)
    return "" if found is None else found.string


def _unused(name: str, taken: set[str]) -> str:
    """`name`, numbered when another layer has it; taken from now on."""
    made, count = name, 1
    while made in taken:
        count += 1
        made = f"{name}{count}"
    taken.add(made)
    return made
