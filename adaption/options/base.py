"""What option values have in common: every field says what it may hold and how the shell spells it.

A value checks its fields when it is made, so nothing behind it has to. Which flags there are
(cli/flags.py) and which keywords (keywords.py) follow from the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from textwrap import wrap
from typing import Any, Self

from adaption.options.checks import Check

__all__ = ["COMMON", "SPECIAL", "Option", "Options", "option"]

COMMON = "common"
"""Topic of the fields that every call uses which takes values of their class."""
SPECIAL = "special"
"""Topic of the fields that single calls use; those name them one by one."""


@dataclass(frozen=True)
class Option:
    """One field.

    Args:
        check: what it may hold.
        help: what it means, in the shell and in Python; {default} stands for the default.
        topic: of the fields that the same calls use: COMMON, SPECIAL or another.
        flag: its name in the shell without dashes, where that is not the field's.
        metavar: what stands for the flag's value in its help.
        words: the shell's words for values, where they differ.
        is_repeated: the flag may be given several times; the value gets them all.
        is_caffe: the flag has all forms that Caffe's tools take.
    """

    check: Check
    help: str
    topic: str = COMMON
    flag: str = ""
    metavar: str | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    is_repeated: bool = False
    is_caffe: bool = False

    def word(self, value: Any) -> str:
        """A value as the shell spells it."""
        plain = f"{value:g}" if isinstance(value, float) else str(value)
        return next((word for word, meant in self.words.items() if meant == value), plain)

    def text(self, default: Any) -> str:
        """The help, with the default filled in."""
        return self.help.replace("{default}", self.word(default))


def option(default: Any, check: Check, help: str, **more: Any) -> Any:
    """A field of an Options class; `more`: as Option takes it."""
    return field(default=default, metadata={"option": Option(check, help, **more)})


@dataclass(frozen=True, kw_only=True, repr=False)
class Options:
    """A frozen value whose fields were made with `option`; it prints those that are no defaults.

    Raises: FieldError naming the field that holds what is not allowed.
    """

    def __init_subclass__(cls) -> None:
        """Append to the docstring what each field means."""
        lines = [(cls.__doc__ or "").rstrip(), "", "    Args:"]
        for name, made in vars(cls).items():
            if isinstance(made, Field):
                said: Option = made.metadata["option"]
                text = f"{name}: {said.text(made.default)}"
                if said.words:
                    text += f"; in Python {', '.join(said.words.values())}"
                lines += wrap(text, 92, initial_indent=" " * 8, subsequent_indent=" " * 12)
        cls.__doc__ = "\n".join(lines)

    def __post_init__(self) -> None:
        for name, said in self.declared().items():
            object.__setattr__(self, name, said.check(name, getattr(self, name)))

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.changed().items())
        return f"{type(self).__name__}({said})"

    @classmethod
    def declared(cls, *uses: str) -> dict[str, Option]:
        """What the fields say of themselves, by name.

        Args:
            uses: names of fields or topics; without any, all fields.
        """
        found = {f.name: f.metadata["option"] for f in fields(cls)}
        unknown = set(uses) - set(found) - {said.topic for said in found.values()}
        assert not unknown, f"{cls.__name__} has no field or topic {unknown}"
        return {
            name: said
            for name, said in found.items()
            if not uses or name in uses or said.topic in uses
        }

    def values(self, *uses: str) -> dict[str, Any]:
        """Values by name; `uses` as of `declared`."""
        return {name: getattr(self, name) for name in self.declared(*uses)}

    def changed(self, *uses: str) -> dict[str, Any]:
        """Values by name of the fields that differ from their defaults."""
        defaults = type(self)().values()
        return {n: v for n, v in self.values(*uses).items() if v != defaults[n]}

    def to_dict(self, *uses: str) -> dict[str, Any]:
        """Plain values for JSON, by name."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.values(*uses).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote; fields that are left out have their defaults, others' are ignored.

        Raises: FieldError.
        """
        return cls(**{name: values[name] for name in cls.declared() if name in values})
