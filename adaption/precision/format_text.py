"""Number formats in the text of a layer: lpfp_param where it can say them, else precision_param.

Only fields that change are touched, so comments and layout beside them stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adaption.errors import FieldError
from adaption.graph import LayerSpec
from adaption.io import prototxt
from adaption.io.lp_types import LP_ACT, TWINS
from adaption.io.prototxt import Block, Field
from adaption.layers.base import traits_of_type
from adaption.net.format_message import format_text, read_format
from adaption.net.plan import KINDS, LayerFormats, is_low_precision, layer_formats
from adaption.numerics import FixedPoint, Format
from adaption.proto import caffe_pb2

__all__ = [
    "LPFP_PARAMS",
    "become_clip",
    "become_rounding",
    "clip_layer",
    "fits_lpfp",
    "formats_of",
    "lp_act",
    "make_float",
    "set_formats",
    "set_points",
    "text_of",
]

SCHEMES = {"half_away": "DETERMINISTIC", "stochastic": "STOCHASTIC"}
FORWARD = ("weight", "bias", "activation")  # what lpfp_param knows
LPFP_PARAMS = ("lpfp_param", "lp_convolution_param", "lp_inner_product_param", "lp_act_param")
"""The fields that ADaPTION's formats stand in, of either age."""


def text_of(block: Block, name: str) -> str:
    """The first value of a field, "" where it is not written."""
    found = block.first(name)
    return "" if found is None else found.string


def formats_of(block: Block) -> LayerFormats:
    """The formats that a layer's text asks for. Raises: FieldError on bits out of range."""
    message, _ = prototxt.Document(block).message(caffe_pb2.LayerParameter)
    return layer_formats(LayerSpec(message.name, message.type, (), (), message))


def fits_lpfp(fmt: Format) -> bool:
    """Whether ADaPTION's lpfp_param can say the format: bd 1..31, ad 0..30, with a sign."""
    return (
        isinstance(fmt, FixedPoint)
        and fmt.is_binary
        and not fmt.mask_saturated
        and 1 <= fmt.int_length <= 31
        and 0 <= fmt.frac_length <= 30
        and fmt.is_signed
        and fmt.range == "symmetric"
        and fmt.rounding in SCHEMES
    )


def set_formats(
    block: Block,
    *,
    weight: Format | None = None,
    bias: Format | None = None,
    activation: Format | None = None,
) -> None:
    """Make a layer's text say these formats; None is float. What says them already stays, and so
    do its other points.

    A weight in fixed point makes Convolution and InnerProduct their low-precision twins.
    """
    kind = block.first("type")
    assert kind is not None
    points = {"weight": weight, "bias": bias, "activation": activation}
    if kind.string not in TWINS and _says(block, points):
        return
    is_fixed = isinstance(weight, FixedPoint) and weight.is_binary
    if is_fixed and kind.string in TWINS:
        kind.set(prototxt.quote(TWINS[kind.string]))
    rest = {name: fmt for name, fmt in points.items() if fmt is not None}
    main = rest.get("activation" if kind.string == LP_ACT else "weight")
    if is_low_precision(kind.string) and main is not None and fits_lpfp(main):
        assert isinstance(main, FixedPoint)
        if kind.string == LP_ACT:
            rest.clear()
            _set_lpfp(block, main, None)
        else:
            shares = rest.get("bias") == main  # ADaPTION rounds biases with the weights' format
            for name in ("weight", "bias") if shares else ("weight",):
                del rest[name]
            _set_lpfp(block, main, shares)
    else:
        _remove(block, "lpfp_param")
    _set_precision(block, rest, FORWARD)


def set_points(
    block: Block,
    formats: Mapping[str, Format | None],
    *,
    backward_weights: str | None = None,
) -> None:
    """Make a layer's precision_param state formats at some kinds of point; its type stays.

    Args:
        formats: by kind; None takes the point out.
        backward_weights: "MASTER" or "QUANTIZED"; None leaves what is there.
    """
    wanted = {kind: fmt for kind, fmt in formats.items() if fmt is not None}
    _set_precision(block, wanted, tuple(formats))
    if backward_weights is None:
        return
    have = block.first("precision_param")
    line = f"backward_weights: {backward_weights}"
    if have is None:
        if backward_weights != "MASTER":
            block.append(f"precision_param {{\n  {line}\n}}")
        return
    field = have.block.first("backward_weights")
    if field is not None:
        field.set(backward_weights)
    elif backward_weights != "MASTER":
        have.block.append(line)


def _says(block: Block, wanted: Mapping[str, Format | None]) -> bool:
    try:
        found = formats_of(block)
        return all(found.of(kind) == fmt for kind, fmt in wanted.items())
    except FieldError:  # bits out of range, to be replaced
        return False


def make_float(block: Block, kinds: Sequence[str] = (*KINDS, "backward_weights")) -> None:
    """Take a layer's formats out at these kinds of point, and turn a low-precision type into its
    plain twin."""
    kind = block.first("type")
    assert kind is not None
    for plain, twin in TWINS.items():
        if kind.string == twin:
            kind.set(prototxt.quote(plain))
    for name in LPFP_PARAMS:
        _remove(block, name)
    _set_precision(block, {}, kinds)


def lp_act(name: str, blob: str, fmt: Format, like: Block | None = None) -> str:
    """The text of an in-place LPAct on a blob, kept in the net states that `like` is kept in."""
    if isinstance(fmt, FixedPoint) and fits_lpfp(fmt):
        own = _lpfp(fmt, None)
    else:
        own = f"precision_param {{\n{_number('activation', fmt)}}}"
    return _in_place(name, LP_ACT, blob, own, like)


def clip_layer(name: str, blob: str, fmt: FixedPoint, like: Block) -> str:
    """The same of a Clip with the bounds of a format."""
    return _in_place(name, "Clip", blob, _clip(fmt), like)


def _in_place(name: str, kind: str, blob: str, own: str, like: Block | None) -> str:
    top = prototxt.quote(blob)
    fields = () if like is None else like.fields
    rules = "".join(f.text + "\n" for f in fields if f.name in ("include", "exclude"))
    head = f'name: {prototxt.quote(name)}\ntype: "{kind}"\nbottom: {top}\ntop: {top}\n'
    body = f"{head}{rules}{own}"
    return "layer {\n" + "".join(f"  {line}\n" for line in body.splitlines()) + "}"


def become_rounding(block: Block, fmt: Format) -> None:
    """Turn the text of a layer of one bottom and one top into an LPAct of that format."""
    _become(block, LP_ACT)
    set_formats(block, activation=fmt)


def become_clip(block: Block, fmt: FixedPoint) -> None:
    """Turn it into a Clip with the bounds of that format."""
    _become(block, "Clip")
    block.append(_clip(fmt))


def _become(block: Block, kind: str) -> None:
    """Another type, without the settings of the old one."""
    found = block.first("type")
    assert found is not None
    own = traits_of_type(found.string).param
    for field in block.all(own) if own else ():
        field.remove()
    make_float(block)
    found.set(prototxt.quote(kind))


def _clip(fmt: FixedPoint) -> str:
    return f"clip_param {{ min: {fmt.min_value:g} max: {fmt.max_value:g} }}"


def _set_lpfp(block: Block, fmt: FixedPoint, round_bias: bool | None) -> None:
    """Write lpfp_param; of one that stands there, change the fields that differ."""
    have = block.first("lpfp_param")
    if have is None:
        block.append(_lpfp(fmt, round_bias))
        return
    want = {"bd": str(fmt.int_length), "ad": str(fmt.frac_length)}
    defaults = {"bd": "", "ad": "0", "rounding_scheme": "DETERMINISTIC"}
    want["rounding_scheme"] = SCHEMES[fmt.rounding]
    if round_bias is not None:
        want["round_bias"] = str(round_bias).lower()
        defaults["round_bias"] = "false"
    for name, value in want.items():
        field = have.block.first(name)
        if field is None and value != defaults[name]:
            have.block.append(f"{name}: {value}")
        elif field is not None and field.string != value:
            field.set(value)


def _set_precision(block: Block, rest: Mapping[str, Format], handled: Sequence[str]) -> None:
    """Write the formats of `rest` into precision_param, and take the other points of `handled`
    out."""
    have = block.first("precision_param")
    if have is None:
        if rest:
            inner = "".join(_number(name, fmt) for name, fmt in rest.items())
            block.append(f"precision_param {{\n{inner}}}")
        return
    for name in dict.fromkeys((*handled, *rest)):
        present = have.block.first(name)
        if name in rest:
            if present is None:
                have.block.append(_number(name, rest[name]))
            else:
                _set_number(present, rest[name])
        elif present is not None:
            _remove(have.block, name)
    if not have.block.fields:
        have.remove()


def _set_number(field: Field, fmt: Format) -> None:
    """Make one NumberFormat say `fmt`, where it says something else."""
    if _states(field, fmt):
        return
    wanted = dict(format_text(fmt))
    for item in field.block.fields:
        value = wanted.pop(item.name, None)
        if value is None:
            item.remove()
        elif item.string != value:
            item.set(value)
    for name, value in wanted.items():
        if _states(field, fmt):  # what is left goes without saying
            return
        field.block.append(f"{name}: {value}")


def _states(field: Field, fmt: Format) -> bool:
    try:
        return read_format(prototxt.Document(field.block).message(caffe_pb2.NumberFormat)[0]) == fmt
    except FieldError:  # no format yet, or one that does not exist
        return False


def _remove(block: Block, name: str) -> None:
    for field in block.all(name):
        field.remove()


def _lpfp(fmt: FixedPoint, round_bias: bool | None) -> str:
    extra = "" if round_bias is None else f"  round_bias: {str(round_bias).lower()}\n"
    return (
        f"lpfp_param {{\n  bd: {fmt.int_length}\n  ad: {fmt.frac_length}\n{extra}"
        f"  rounding_scheme: {SCHEMES[fmt.rounding]}\n}}"
    )


def _number(point: str, fmt: Format) -> str:
    """One NumberFormat of precision_param: any layer type, any frac_length."""
    inner = "".join(f"    {name}: {value}\n" for name, value in _fields(fmt))
    return f"  {point} {{\n{inner}  }}\n"


def _fields(fmt: Format) -> list[tuple[str, str]]:
    """What a prototxt says of a format; a sign and a symmetric range go without saying."""
    unsaid = (("is_signed", "true"), ("range", "SYMMETRIC"))
    return [entry for entry in format_text(fmt) if entry not in unsaid]
