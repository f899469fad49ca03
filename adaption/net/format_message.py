"""Number formats as NumberFormat messages, both ways. Text and JSON are a format's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adaption.errors import FieldError
from adaption.numerics import Format, number_format
from adaption.numerics.formats.base import known_kinds

if TYPE_CHECKING:
    from adaption.proto import caffe_pb2

__all__ = ["format_text", "read_format", "write_format"]

ACCUMULATOR_ONLY = ("overflow", "per_product")


def read_format(message: caffe_pb2.NumberFormat) -> Format | None:
    """The format that a message states; None is float.

    Raises: FieldError on a missing kind, a field that the kind does not have, or a bad value.
    """
    if not message.HasField("kind"):
        raise FieldError(
            "kind",
            "not set",
            ", ".join(known_kinds()),
            "write kind: FIXED beside word_length and frac_length",
        )
    values = {field.name: _value(field, value) for field, value in message.ListFields()}
    for name in ACCUMULATOR_ONLY:
        if name in values:
            raise FieldError(name, values[name], "only in precision_param.accumulator")
    return number_format(**values)


def _value(field: Any, value: Any) -> Any:
    return value if field.enum_type is None else field.enum_type.values_by_number[value].name


def write_format(fmt: Format | None, message: caffe_pb2.NumberFormat) -> None:
    """Make the message state `fmt`: the inverse of `read_format`."""
    message.Clear()
    fields = type(message).DESCRIPTOR.fields_by_name
    for name, value in ({"kind": "FLOAT"} if fmt is None else fmt.to_fields()).items():
        enum = fields[name].enum_type
        setattr(message, name, value if enum is None else enum.values_by_name[value.upper()].number)


def format_text(fmt: Format | None) -> list[tuple[str, str]]:
    """Names and values of the fields that state `fmt` in a prototxt, in the order to write them."""
    values = {"kind": "FLOAT"} if fmt is None else fmt.to_fields()
    return [(name, _text(value)) for name, value in values.items()]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).upper()
