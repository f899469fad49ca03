"""Plan: which number format applies at which point of a net.

A prototxt says it with `lpfp_param` (ADaPTION) and `precision_param` (everything else). The kinds
of point below are the only places where numbers are quantized.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adaption.errors import FieldError
from adaption.io.lp_types import LP_ACT, LP_TYPES
from adaption.net.format_message import read_format, write_format
from adaption.numerics import FixedPoint, Format
from adaption.numerics.accumulator import Accumulator

if TYPE_CHECKING:
    from adaption.graph import LayerSpec
    from adaption.proto import caffe_pb2

__all__ = [
    "FORWARD_KINDS",
    "GRADIENT_OF",
    "KINDS",
    "MASTERS",
    "LayerFormats",
    "Plan",
    "Point",
    "is_low_precision",
    "layer_formats",
    "stated_kinds",
    "write_formats",
]

MASTERS = ("weight", "bias")  # kinds of point of a layer's first and second blob
KINDS = (
    "weight",
    "bias",
    "bottom",
    "activation",
    "weight_grad",
    "bias_grad",
    "activation_grad",
    "weight_accumulator",
)
"""The kinds of point, in the order in which an iteration comes to them. (`accumulator` is none: it
is the register that sums products in exact arithmetic.)"""

FORWARD_KINDS = KINDS[:4]

GRADIENT_OF = {"weight": "weight_grad", "bias": "bias_grad"}


@dataclass(frozen=True, order=True)
class Point:
    """One place where numbers can be quantized: a layer's weight, bias, activation, ..."""

    layer: str
    kind: str

    def __str__(self) -> str:
        return f"{self.layer}:{self.kind}"


Plan = Mapping[Point, Format | None]
"""Formats by point; None is float."""


@dataclass(frozen=True)
class LayerFormats:
    """Formats at one layer's points; None leaves the numbers in float.

    backward_weights: "MASTER" or "QUANTIZED", the weights in the gradient of the bottoms.
    accumulator: of exact arithmetic; simulations sum in float32.
    """

    weight: Format | None = None
    bias: Format | None = None
    activation: Format | None = None
    bottom: Format | None = None
    weight_grad: Format | None = None
    bias_grad: Format | None = None
    activation_grad: Format | None = None
    weight_accumulator: Format | None = None
    accumulator: Accumulator | None = None
    backward_weights: str = "MASTER"

    def of(self, kind: str) -> Format | None:
        """The format of one kind of point."""
        fmt: Format | None = getattr(self, kind)
        return fmt

    def items(self) -> Iterator[tuple[str, Format]]:
        """Kinds with a format, in the order of KINDS."""
        for kind in KINDS:
            fmt = self.of(kind)
            if fmt is not None:
                yield kind, fmt

    def having(self, formats: Mapping[str, Format | None]) -> LayerFormats:
        """These formats with others at some kinds of point."""
        return replace(self, **formats)  # type: ignore[arg-type]

    def with_backward(self, weights: str) -> LayerFormats:
        """These formats with other weights in the gradient of the bottoms."""
        return replace(self, backward_weights=weights)

    @property
    def rounds_forward(self) -> bool:
        """Whether a forward pass rounds anything at this layer."""
        return any(self.of(kind) is not None for kind in FORWARD_KINDS)

    @property
    def for_inference(self) -> LayerFormats:
        """Without the points that only training has."""
        return LayerFormats(
            self.weight, self.bias, self.activation, self.bottom, accumulator=self.accumulator
        )


def is_low_precision(layer_type: str) -> bool:
    """True for ADaPTION's layers, whose blobs come in pairs of full precision and rounded."""
    return layer_type in LP_TYPES


def layer_formats(spec: LayerSpec, *, original_semantics: bool = False) -> LayerFormats:
    """The formats that a layer's `lpfp_param` and `precision_param` ask for.

    Raises: FieldError on bits out of range, or a format that does not exist.
    """
    message = spec.message
    formats: dict[str, Format | None] = {}
    if is_low_precision(spec.type) and not _says_it_by_precision_param(message):
        low = lpfp_format(message.lpfp_param, original_semantics=original_semantics)
        if spec.type == LP_ACT:
            formats["activation"] = low
        else:
            # ADaPTION rounds the bias with the weights' format (lp_base_conv_layer.cpp).
            formats["weight"] = low
            formats["bias"] = low if message.lpfp_param.round_bias else None
    own = message.precision_param
    for kind in KINDS:
        if own.HasField(kind):
            try:
                formats[kind] = read_format(getattr(own, kind))
            except FieldError as error:
                name = f"precision_param.{kind}.{error.field}"
                raise FieldError(name, error.found, error.allowed, error.fix) from None
    weights = type(own).DESCRIPTOR.fields_by_name["backward_weights"].enum_type
    return LayerFormats(
        **formats,
        accumulator=_accumulator(message),
        backward_weights=weights.values_by_number[own.backward_weights].name,
    )


def stated_kinds(spec: LayerSpec) -> frozenset[str]:
    """The kinds of point, and `backward_weights`, about which a layer's own text says something,
    float included."""
    message = spec.message
    own = message.precision_param
    kinds = {kind for kind in (*KINDS, "backward_weights") if own.HasField(kind)}
    if is_low_precision(spec.type) and not _says_it_by_precision_param(message):
        kinds |= {"activation"} if spec.type == LP_ACT else {"weight", "bias"}
    return frozenset(kinds)


def write_formats(formats: LayerFormats, message: caffe_pb2.LayerParameter) -> None:
    """Make a layer's message state these formats at its points, all by precision_param.

    The inverse of `layer_formats`. Of the accumulator the message keeps what it says.
    """
    message.ClearField("lpfp_param")
    own = message.precision_param
    for kind in KINDS:
        own.ClearField(kind)
        fmt = formats.of(kind)
        if fmt is not None:
            write_format(fmt, getattr(own, kind))
    own.ClearField("backward_weights")
    if formats.backward_weights != "MASTER":
        own.backward_weights = type(own).Weights.Value(formats.backward_weights)
    if own.ListFields():
        return
    message.ClearField("precision_param")
    if is_low_precision(message.type):  # without formats it has to say so
        own = message.precision_param
        write_format(None, own.activation if message.type == LP_ACT else own.weight)


def _says_it_by_precision_param(message: caffe_pb2.LayerParameter) -> bool:
    """A low-precision layer whose formats lpfp_param cannot say (a negative frac_length)."""
    return message.HasField("precision_param") and not message.HasField("lpfp_param")


def lpfp_format(
    param: caffe_pb2.LowPrecisionFPParameter, *, original_semantics: bool = False
) -> FixedPoint:
    """The format of an lpfp_param. Allowed: bd 1..31, ad 0..30 (beyond, the original overflows)."""
    if not 1 <= param.bd <= 31:
        raise FieldError(
            "lpfp_param.bd",
            param.bd,
            "1..31 (integer bits, the sign bit counts)",
            'for 16 bits write "bd: 2 ad: 14" (Q2.14)',
        )
    if not 0 <= param.ad <= 30:
        raise FieldError(
            "lpfp_param.ad",
            param.ad,
            "0..30 (fractional bits)",
            'for 16 bits write "bd: 2 ad: 14" (Q2.14)',
        )
    is_stochastic = param.rounding_scheme == type(param).STOCHASTIC
    if is_stochastic:
        rounding = "floor" if original_semantics else "stochastic"
    else:
        rounding = "half_away"
    return FixedPoint(param.bd + param.ad, param.ad, rounding)


def _accumulator(message: caffe_pb2.LayerParameter) -> Accumulator | None:
    """The accumulator that precision_param states, for exact arithmetic.

    Without a frac_length it keeps the products' own; `range` and signs have no meaning here.
    """
    if not message.precision_param.HasField("accumulator"):
        return None
    number = message.precision_param.accumulator
    enums = type(number).DESCRIPTOR.fields_by_name
    if not number.HasField("kind") or number.kind != type(number).FIXED:
        raise FieldError(
            "precision_param.accumulator.kind",
            enums["kind"].enum_type.values_by_number[number.kind].name,
            "FIXED",
            "write kind: FIXED word_length: 32",
        )
    try:
        return Accumulator(
            number.word_length,
            number.frac_length if number.HasField("frac_length") else None,
            enums["overflow"].enum_type.values_by_number[number.overflow].name.lower(),
            enums["rounding"].enum_type.values_by_number[number.rounding].name.lower(),
            number.per_product,
        )
    except FieldError as error:
        raise FieldError(
            f"precision_param.accumulator.{error.field}", error.found, error.allowed
        ) from None
