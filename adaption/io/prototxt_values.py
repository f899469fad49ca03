"""From a written value to a Python one, with protobuf's idea of what fits which type of field.

Source: protobuf text_format.cc, ConsumeFieldValue and the functions it calls. Strictness is theirs:
no string for a number, no fraction for an integer, no hexadecimal for a float.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from google.protobuf.descriptor import FieldDescriptor

from adaption.errors import near_miss
from adaption.io.prototxt_tokens import quote
from adaption.io.prototxt_tree import Scalar
from adaption.io.text import decode

__all__ = ["Misfit", "converter"]

_TRUE = frozenset({"true", "True", "t"})
_FALSE = frozenset({"false", "False", "f"})
_FLOAT_WORDS = frozenset({"inf", "infinity", "nan"})
_FLOAT_MAX = 3.4028235677973366e38  # halfway from the largest float32 to the next power of two


class Misfit(Exception):
    """A value does not fit: what is allowed, and a fix."""

    def __init__(self, allowed: str, fix: str = "") -> None:
        super().__init__(allowed)
        self.allowed = allowed
        self.fix = fix


def converter(each: FieldDescriptor, names: dict[str, int] | None) -> Callable[[Scalar], object]:
    kind, name = each.cpp_type, each.name
    if names is not None:
        return lambda value: _enum(value, name, names)
    if kind in _RANGES:
        low, high = _RANGES[kind]
        return lambda value: _integer(value, name, low, high)
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        single = kind == FieldDescriptor.CPPTYPE_FLOAT
        return lambda value: _float(value, name, single)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return lambda value: _bool(value, name)
    if each.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: _bytes(value, name)
    return lambda value: _string(value, name)


_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}


def _integer(value: Scalar, name: str, low: int, high: int) -> int:
    number = _as_integer(value)
    if number is None or not low <= number <= high or (not low and value.text[0] == "-"):
        unquoted = value.string if value.kind == "string" else ""
        fix = f"write {name}: {unquoted}" if unquoted.isdecimal() else ""
        raise Misfit(f"an integer from {low} to {high}", fix)
    return number


def _as_integer(value: Scalar) -> int | None:
    """None when it is no integer. As in C, a leading 0 means octal and 0x hexadecimal."""
    if value.kind != "number":
        return None
    text = value.text
    sign, digits = (-1, _digits(text)) if text[0] == "-" else (1, text)
    try:
        if digits[:2] in ("0x", "0X"):
            return sign * int(digits[2:], 16)
        if len(digits) > 1 and digits[0] == "0":
            return sign * int(digits, 8)
        return sign * int(digits)
    except ValueError:
        return None


def _digits(text: str) -> str:
    """The number after a minus sign and the gap behind it."""
    return text[1:].rsplit("\n", 1)[-1].strip()


def _float(value: Scalar, name: str, single: bool) -> float:
    text, negative = value.text, value.text[0] == "-"
    digits = _digits(text) if negative else text
    if value.kind == "number" and not _is_octal_or_hex(digits):
        number = float(digits.rstrip("fF"))
        if single and number >= _FLOAT_MAX:
            number = math.inf
    elif value.kind == "word" and digits.lower() in _FLOAT_WORDS:
        number = float(digits.lower())
    else:
        allowed = "a decimal number" if value.kind == "number" else "a number"
        fix = ""
        if value.kind == "string" and _reads_as_float(value.string):
            fix = f"write {name}: {value.string}"
        raise Misfit(allowed, fix)
    return -number if negative else number


def _is_octal_or_hex(digits: str) -> bool:
    return len(digits) > 1 and digits[0] == "0" and (digits[1] in "xX" or digits.isdecimal())


def _reads_as_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _bool(value: Scalar, name: str) -> bool:
    if value.kind == "word" and value.text in _TRUE:
        return True
    if value.kind == "word" and value.text in _FALSE:
        return False
    number = _as_integer(value) if value.text[0] != "-" else None
    if number in (0, 1):
        return number == 1
    folded = value.string.lower()
    fix = f"write {name}: {folded}" if folded in ("true", "false") else ""
    raise Misfit("true or false", fix)


def _enum(value: Scalar, name: str, names: dict[str, int]) -> int:
    if value.kind == "word" and value.text in names:
        return names[value.text]
    if value.kind == "number" and (number := _as_integer(value)) in names.values():
        assert number is not None
        return number
    fix = near_miss(value.string, names)
    if value.kind == "string" and value.string in names:
        fix = f"write {name}: {value.string}"
    raise Misfit(", ".join(names), fix)


def _string(value: Scalar, name: str) -> str:
    return decode(_bytes(value, name))


def _bytes(value: Scalar, name: str) -> bytes:
    if value.kind != "string":
        raise Misfit("a string in quotes", f"write {name}: {quote(value.text)}")
    return value.data
