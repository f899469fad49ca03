"""A layer's fields, read by name from its parameter message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import isfinite
from typing import Any, NamedTuple

from google.protobuf.message import Message

from adaption.errors import FieldError
from adaption.io.text import as_path

__all__ = ["check_numbers", "read_fields"]


def read_fields(cls: type, message: Any) -> dict[str, Any]:
    """What the fields of a dataclass hold in a message, which is of one type for each class.

    Repeated fields become tuples and enums their names; a field typed `X | None` is None where
    the message lacks it and the proto has no default. Strings can be opened as paths.
    """
    return {reader.name: reader.read(message) for reader in _readers_of(cls, message)}


class _Reader(NamedTuple):
    """How a class reads one of its fields from a message."""

    name: str
    is_repeated: bool
    enum: Mapping[int, str] | None
    may_be_none: bool  # where the message does not have it

    def read(self, message: Any) -> Any:
        value = getattr(message, self.name)
        if self.is_repeated:
            return tuple(value if self.enum is None else (self.enum[v] for v in value))
        if self.may_be_none and not message.HasField(self.name):
            return None
        if self.enum is not None:
            return self.enum[value]
        return as_path(value) if isinstance(value, str) else value


_readers: dict[type, tuple[_Reader, ...]] = {}


def _readers_of(cls: type, message: Any) -> tuple[_Reader, ...]:
    if cls in _readers:
        return _readers[cls]
    made = []
    for f in fields(cls):
        descriptor = message.DESCRIPTOR.fields_by_name[f.name]
        numbers = descriptor.enum_type and descriptor.enum_type.values_by_number
        enum = {number: value.name for number, value in numbers.items()} if numbers else None
        is_optional = "None" in str(f.type) and not descriptor.has_default_value
        made.append(_Reader(f.name, _is_repeated(descriptor), enum, is_optional))
    return _readers.setdefault(cls, tuple(made))


def _is_repeated(descriptor: Any) -> bool:
    """protobuf 7 has no `label` any more; older releases have no `is_repeated`."""
    repeated = getattr(descriptor, "is_repeated", None)
    if repeated is None:
        return bool(descriptor.label == descriptor.LABEL_REPEATED)
    return bool(repeated() if callable(repeated) else repeated)


def check_numbers(message: Any, path: str) -> None:
    """Raise FieldError for a field that is no finite number; bounds may be infinite."""
    for field_, value in message.ListFields():
        name = f"{path}.{field_.name}"
        if field_.message_type is not None:
            for one in [value] if isinstance(value, Message) else value:
                check_numbers(one, name)
            continue
        for number in value if isinstance(value, Sequence) else (value,):
            is_bound = field_.name in ("min", "max", "threshold")
            if (
                isinstance(number, float)
                and not isfinite(number)
                and not (is_bound and number == number)
            ):
                raise FieldError(name, number, "a finite number")
