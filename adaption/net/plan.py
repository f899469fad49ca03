"""Plan: which number format applies at which point of a net.

A prototxt says it with `lpfp_param` (ADaPTION) and `precision_param` (everything else). The six
kinds of point below are the only places where numbers are quantized.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adaption.errors import FieldError
from adaption.io.lp_types import LP_ACT, LP_TYPES
from adaption.numerics import FixedPoint, Format
from adaption.numerics.accumulator import Accumulator

if TYPE_CHECKING:
    from adaption.graph import LayerSpec
    from adaption.proto import caffe_pb2

__all__ = ["KINDS", "LayerFormats", "Plan", "Point", "is_low_precision", "layer_formats"]

KINDS = ("weight", "bias", "activation", "weight_grad", "activation_grad", "accumulator")


@dataclass(frozen=True, order=True)
class Point:
    """One place where numbers can be quantized: a layer's weight, bias, activation, ..."""

    layer: str
    kind: str

    def __str__(self) -> str:
        return f"{self.layer}:{self.kind}"


Plan = Mapping[Point, Format]


@dataclass(frozen=True)
class LayerFormats:
    """Formats at one layer's points; None leaves the numbers in float."""

    weight: Format | None = None
    bias: Format | None = None
    activation: Format | None = None
    accumulator: Accumulator | None = None  # of exact arithmetic; simulations sum in float32


def is_low_precision(layer_type: str) -> bool:
    """True for ADaPTION's layers, whose blobs come in pairs of full precision and rounded."""
    return layer_type in LP_TYPES


def layer_formats(spec: LayerSpec, *, original_semantics: bool = False) -> LayerFormats:
    """The formats that a layer's `lpfp_param` and `precision_param` ask for.

    Raises: FieldError on bits out of range, or on a kind of number not computed here.
    """
    message = spec.message
    weight: Format | None = None
    bias: Format | None = None
    activation: Format | None = None
    if is_low_precision(spec.type) and not _says_it_by_precision_param(message):
        low = lpfp_format(message.lpfp_param, original_semantics=original_semantics)
        if spec.type == LP_ACT:
            activation = low
        else:
            # ADaPTION rounds the bias with the weights' format (lp_base_conv_layer.cpp).
            weight, bias = low, low if message.lpfp_param.round_bias else None
    if message.HasField("precision_param"):
        own = message.precision_param
        weight = _number_format(own, "weight", weight)
        bias = _number_format(own, "bias", bias)
        activation = _number_format(own, "activation", activation)
        for kind in KINDS[3:5]:
            if own.HasField(kind):
                raise FieldError(
                    f"precision_param.{kind}",
                    "set",
                    "weight, bias, activation, accumulator in this release",
                )
    return LayerFormats(weight, bias, activation, _accumulator(message))


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


def _number_format(
    param: caffe_pb2.PrecisionParameter, kind: str, inherited: Format | None
) -> Format | None:
    if not param.HasField(kind):
        return inherited
    number: caffe_pb2.NumberFormat = getattr(param, kind)
    names = {
        name: type(number).DESCRIPTOR.fields_by_name[name].enum_type.values_by_number
        for name in ("kind", "rounding", "range")
    }
    if not number.HasField("kind"):
        raise FieldError(
            f"precision_param.{kind}.kind",
            "not set",
            "FLOAT, FIXED in this release",
            "write kind: FIXED beside word_length and frac_length",
        )
    made = names["kind"][number.kind].name
    if made == "FLOAT":
        return None
    if made != "FIXED":
        raise FieldError(f"precision_param.{kind}.kind", made, "FLOAT, FIXED in this release")
    try:
        return FixedPoint(
            number.word_length,
            number.frac_length,
            names["rounding"][number.rounding].name.lower(),
            number.is_signed,
            names["range"][number.range].name.lower(),
        )
    except FieldError as error:
        raise FieldError(
            f"precision_param.{kind}.{error.field}", error.found, error.allowed
        ) from None


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
