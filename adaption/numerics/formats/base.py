"""What a number format is, and the registry of the kinds that a prototxt can name.

A kind is one file in this folder, found by scanning. `number_format` makes a format from the fields
of a `NumberFormat` message, `parse_format` from its text, and `Format.to_dict` states it again: the
one place where a format is read and written as message (net/format_message.py), text and JSON.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, ClassVar, Protocol, Self, TypeVar

from adaption.errors import FieldError
from adaption.later import Tensor, torch
from adaption.numerics.rounding import ROUNDINGS

__all__ = [
    "RANGES",
    "Format",
    "NumberFields",
    "format_kind",
    "known_kinds",
    "number_format",
    "parse_format",
]

RANGES = ("symmetric", "full")
FLOAT = "FLOAT"


class Format(Protocol):
    """What every number format offers; one is applied at each quantization point."""

    kind: ClassVar[str]  # its name in the prototxt; "" for what only code makes

    @property
    def word_length(self) -> int:
        """Bits of a code, the sign included."""
        ...

    @property
    def is_random(self) -> bool:
        """True when two roundings of one value may differ."""
        ...

    @property
    def follows_tensor(self) -> bool:
        """True when the grid depends on the tensor, so that `at` reads it."""
        ...

    @property
    def mask_saturated(self) -> bool:
        """True when the gradient is 0 where a value was beyond the range."""
        ...

    @property
    def master_range(self) -> tuple[float, float] | None:
        """Where masters of this format are kept while they learn; None: anywhere."""
        ...

    def at(self, x: Tensor) -> Format:
        """The format for this tensor; itself where the grid does not depend on the tensor.

        Raises: NonFiniteError when the grid depends on values that are inf or NaN.
        """
        ...

    def inside(self, x: Tensor) -> Tensor:
        """Bool, where `x` is within the range (a closed interval); of a format from `at`."""
        ...

    def quantize(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The values of `x` on the grid; same shape and dtype, no gradient."""
        ...

    def quantize_(
        self, x: Tensor, generator: torch.Generator | None = None, *, then_relu: bool = False
    ) -> Tensor:
        """As `quantize`, in x's own memory; returns `x`. With `then_relu`, ReLU of that."""
        ...

    def to_fields(self) -> dict[str, Any]:
        """The NumberFormat fields that say this format; see `number_format`."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: `q` (the text), then the fields. `number_format` reads it."""
        ...


class NumberFields:
    """Base of the formats that a prototxt can name: dataclasses whose fields are the message's.

    `hidden` are fields that no prototxt sets; `stated` are those that are always written.
    """

    kind: ClassVar[str] = ""
    hidden: ClassVar[tuple[str, ...]] = ()
    stated: ClassVar[tuple[str, ...]] = ("word_length", "rounding", "is_signed")

    @classmethod
    def from_fields(cls, kind: str, values: Mapping[str, Any]) -> Self:
        """The format with these fields. Raises: FieldError on one that the kind does not have."""
        allowed = [f.name for f in fields(cls) if f.name not in cls.hidden]  # type: ignore[arg-type]
        for name, value in values.items():
            if name not in allowed:
                raise FieldError(name, value, f"nothing with kind {kind} ({', '.join(allowed)})")
        needed = [f.name for f in fields(cls) if f.default is MISSING]  # type: ignore[arg-type]
        for name in needed:
            if name not in values:
                raise FieldError(name, "not set", f"a number with kind {kind}")
        return cls(**values)

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """The format that `str` prints as `text`; None where it is of another kind."""
        return None

    @property
    def master_range(self) -> tuple[float, float] | None:
        return None

    @property
    def scale_text(self) -> str:
        """What a code is times, in words; for messages about scales that are refused."""
        return "one per tensor, from its values"

    @property
    def kind_name(self) -> str:
        """The kind that a prototxt says for this value."""
        return self.kind

    def to_fields(self) -> dict[str, Any]:
        values: dict[str, Any] = {"kind": self.kind_name}
        for f in fields(self):  # type: ignore[arg-type]
            if f.name in self.hidden:
                continue
            value = getattr(self, f.name)
            if f.name in self.stated or f.default is MISSING or value != f.default:
                values[f.name] = value
        return values

    def to_dict(self) -> dict[str, Any]:
        return {"q": str(self), **self.to_fields()}


F = TypeVar("F", bound=type[NumberFields])
_kinds: dict[str, type[NumberFields]] = {}


def format_kind(*kinds: str) -> Callable[[F], F]:
    """Register a class for the given names of NumberFormat.Kind; the first is its `kind`.

    Raises: ValueError when a name is taken (our own mistake).
    """

    def register(cls: F) -> F:
        for name in kinds:
            if name in _kinds and _kinds[name].__qualname__ != cls.__qualname__:
                raise ValueError(f"number format {name!r} is registered by {_kinds[name]}")
            _kinds[name] = cls
        cls.kind = kinds[0]
        return cls

    return register


@cache
def _registered() -> Mapping[str, type[NumberFields]]:
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, package + "."):
        importlib.import_module(module.name)
    return _kinds


def known_kinds() -> tuple[str, ...]:
    """Every kind of format that can be computed, the usual ones first."""
    usual = (FLOAT, "FIXED")
    return (*usual, *(kind for kind in _registered() if kind not in usual))


def number_format(kind: str = "FIXED", **values: Any) -> Format | None:
    """A number format, from the fields that precision_param gives it in a prototxt.

    Args:
        kind: FLOAT, FIXED, DYNAMIC_FIXED, SHIFTED_DYNAMIC_FIXED or WRPN, in any case.
        values: word_length, frac_length, is_signed, rounding, range, mask_saturated, exponent_bias,
            min_exponent, max_exponent, delayed, per_filter: those that the kind has. Names of
            roundings and ranges in any case. `q`, the text of the format, is ignored, so that
            `number_format(**fmt.to_dict())` is `fmt`.
    Returns: a value with `quantize`; None, which is float, for kind FLOAT.
    Raises: FieldError on a field that the kind does not have, or a value that is not allowed.
    """
    name = str(kind).upper()
    if name == FLOAT:
        return None
    found = _registered().get(name)
    if found is None:
        raise FieldError("kind", kind, ", ".join(known_kinds()))
    values.pop("q", None)
    for field in ("rounding", "range"):
        if isinstance(values.get(field), str):
            values[field] = values[field].lower()
    return found.from_fields(name, values)  # type: ignore[return-value]


def parse_format(text: str) -> Format:
    """The format that prints as `text`: Q2.14, uQ0.8, W2 and A4 (WRPN), DFP8, DFP8-1.

    The text names a grid; rounding and the like are the kind's own defaults.
    Raises: FieldError.
    """
    for cls in dict.fromkeys(_registered().values()):
        made = cls.from_text(text.strip())
        if made is not None:
            return made  # type: ignore[return-value]
    raise FieldError("format", text, "Q2.14, uQ0.8, W2, A4, DFP8, DFP8-1 and the like")


def check_common(rounding: str, range_: str) -> None:
    """Raise FieldError on a rounding or range that does not exist."""
    if rounding not in ROUNDINGS:
        raise FieldError("rounding", rounding, ", ".join(ROUNDINGS))
    if range_ not in RANGES:
        raise FieldError("range", range_, ", ".join(RANGES))
