"""Number formats in the text of a layer: lpfp_param where it can say them, else precision_param.

Only fields that change are touched, so comments and layout beside them stay.
"""

from __future__ import annotations

from collections.abc import Mapping

from adaption.errors import FieldError
from adaption.graph import LayerSpec
from adaption.io import prototxt
from adaption.io.lp_types import TWINS
from adaption.io.prototxt import Block, Field
from adaption.net.plan import LayerFormats, is_low_precision, layer_formats
from adaption.numerics import FixedPoint
from adaption.proto import caffe_pb2

__all__ = ["fits_lpfp", "formats_of", "lp_act", "make_float", "set_formats", "text_of"]

SCHEMES = {"half_away": "DETERMINISTIC", "stochastic": "STOCHASTIC"}
NUMBER_DEFAULTS = {"rounding": "HALF_AWAY", "is_signed": "true", "range": "SYMMETRIC"}
POINTS = ("weight", "bias", "activation")  # of precision_param, as far as a net computes them


def text_of(block: Block, name: str) -> str:
    """The first value of a field, "" where it is not written."""
    found = block.first(name)
    return "" if found is None else found.string


def formats_of(block: Block) -> LayerFormats:
    """The formats that a layer's text asks for. Raises: FieldError on bits out of range."""
    message, _ = prototxt.Document(block).message(caffe_pb2.LayerParameter)
    return layer_formats(LayerSpec(message.name, message.type, (), (), message))


def fits_lpfp(fmt: FixedPoint) -> bool:
    """Whether ADaPTION's lpfp_param can say the format: bd 1..31, ad 0..30, with a sign."""
    return (
        1 <= fmt.int_length <= 31
        and 0 <= fmt.frac_length <= 30
        and fmt.is_signed
        and fmt.range == "symmetric"
        and fmt.rounding in SCHEMES
    )


def set_formats(
    block: Block,
    *,
    weight: FixedPoint | None = None,
    bias: FixedPoint | None = None,
    activation: FixedPoint | None = None,
) -> None:
    """Make a layer's text say these formats; None is float. What says them already stays.

    A weight in fixed point makes Convolution and InnerProduct their low-precision twins.
    """
    kind = block.first("type")
    assert kind is not None
    if kind.string not in TWINS and _says(block, LayerFormats(weight, bias, activation)):
        return
    if weight is not None and kind.string in TWINS:
        kind.set(prototxt.quote(TWINS[kind.string]))
    points = {"weight": weight, "bias": bias, "activation": activation}
    rest = {name: fmt for name, fmt in points.items() if fmt is not None}
    main = rest.get("activation" if kind.string == "LPAct" else "weight")
    if is_low_precision(kind.string) and main is not None and fits_lpfp(main):
        if kind.string == "LPAct":
            rest.clear()
            _set_lpfp(block, main, None)
        else:
            shares = rest.get("bias") == main  # ADaPTION rounds biases with the weights' format
            for name in ("weight", "bias") if shares else ("weight",):
                del rest[name]
            _set_lpfp(block, main, shares)
    else:
        _remove(block, "lpfp_param")
    _set_precision(block, rest)


def _says(block: Block, wanted: LayerFormats) -> bool:
    try:
        return formats_of(block) == wanted
    except FieldError:  # bits out of range, to be replaced
        return False


def make_float(block: Block) -> None:
    """Take a layer's formats out, and turn a low-precision type into its plain twin."""
    kind = block.first("type")
    assert kind is not None
    for plain, twin in TWINS.items():
        if kind.string == twin:
            kind.set(prototxt.quote(plain))
    for name in ("lpfp_param", "lp_convolution_param", "lp_inner_product_param", "lp_act_param"):
        _remove(block, name)
    _set_precision(block, {})


def lp_act(name: str, blob: str, fmt: FixedPoint, like: Block | None = None) -> str:
    """The text of an in-place LPAct on a blob, kept in the net states that `like` is kept in."""
    top = prototxt.quote(blob)
    if fits_lpfp(fmt):
        own = _lpfp(fmt, None)
    else:
        own = f"precision_param {{\n{_number('activation', fmt)}}}"
    fields = () if like is None else like.fields
    rules = "".join(f.text + "\n" for f in fields if f.name in ("include", "exclude"))
    body = f'name: {prototxt.quote(name)}\ntype: "LPAct"\nbottom: {top}\ntop: {top}\n{rules}{own}'
    return "layer {\n" + "".join(f"  {line}\n" for line in body.splitlines()) + "}"


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


def _set_precision(block: Block, rest: Mapping[str, FixedPoint]) -> None:
    """Write the formats of `rest` into precision_param, and take the other points out."""
    have = block.first("precision_param")
    if have is None:
        if rest:
            inner = "".join(_number(name, fmt) for name, fmt in rest.items())
            block.append(f"precision_param {{\n{inner}}}")
        return
    for name in POINTS:
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


def _set_number(field: Field, fmt: FixedPoint) -> None:
    new = prototxt.parse(_number(field.name, fmt)).root.first(field.name)
    assert new is not None
    for item in new.block.fields:
        have = field.block.first(item.name)
        if have is None:
            if item.string != NUMBER_DEFAULTS.get(item.name):
                field.block.append(item.text)
        elif have.string != item.string:
            have.set(item.string)
    for have in field.block.fields:
        is_default = have.name in NUMBER_DEFAULTS and have.string == NUMBER_DEFAULTS[have.name]
        if new.block.first(have.name) is None and not is_default:
            have.remove()


def _remove(block: Block, name: str) -> None:
    for field in block.all(name):
        field.remove()


def _lpfp(fmt: FixedPoint, round_bias: bool | None) -> str:
    extra = "" if round_bias is None else f"  round_bias: {str(round_bias).lower()}\n"
    return (
        f"lpfp_param {{\n  bd: {fmt.int_length}\n  ad: {fmt.frac_length}\n{extra}"
        f"  rounding_scheme: {SCHEMES[fmt.rounding]}\n}}"
    )


def _number(point: str, fmt: FixedPoint) -> str:
    """One NumberFormat of precision_param: any layer type, any frac_length."""
    text = f"  {point} {{\n    kind: FIXED\n    word_length: {fmt.word_length}\n"
    text += f"    frac_length: {fmt.frac_length}\n    rounding: {fmt.rounding.upper()}\n"
    if not fmt.is_signed:
        text += "    is_signed: false\n"
    if fmt.range != "symmetric":
        text += f"    range: {fmt.range.upper()}\n"
    return text + "  }\n"
