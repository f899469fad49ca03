"""Flags made from the fields of option values, and the values that the flags given say."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # verbs without such flags start without them
    from adaption.options import Option, Options
    from adaption.options.checks import Check

__all__ = [
    "Parser",
    "add_caffe_flag",
    "add_flags",
    "flag_of",
    "flag_settings",
    "flags_for",
    "given",
    "value_of",
    "words_for",
]

T = TypeVar("T", bound="Options")
# As add_argument takes it: a parser, or a group of one.
Parser = argparse._ActionsContainer


def add_caffe_flag(parser: Parser, name: str, **settings: Any) -> None:
    """A flag in all forms that Caffe's tools take: -x v, -x=v, --x v, --x=v; underscores stay.

    Args:
        name: "sigint_effect"; --sigint-effect is understood, too.
        settings: as add_argument takes them.
    """
    names = dict.fromkeys((f"-{name}", f"--{name}", f"--{name.replace('_', '-')}"))
    parser.add_argument(*names, **{"dest": name, **settings})


def add_flags(parser: Parser, value: Options, *uses: str, **helps: str) -> None:
    """One flag for each field; values are checked where they are used, as in Python.

    Args:
        value: what holds where a flag is not given.
        uses: names of fields or topics; without any, all fields.
        helps: help of single fields in other words.
    """
    for name, option in value.declared(*uses).items():
        settings = flag_settings(name, option) | {
            "dest": _place(type(value), name),
            "help": helps.get(name) or option.text(getattr(value, name)),
        }
        if option.is_caffe:
            add_caffe_flag(parser, option.flag or name, **settings)
        else:
            parser.add_argument(flag_of(name, option), **settings)


def flag_settings(name: str, option: Option) -> dict[str, Any]:
    """How argparse reads the flag of a field."""
    from adaption.options.checks import Switch

    if isinstance(option.check, Switch):
        return {"action": "store_const", "const": True}
    settings: dict[str, Any] = {"metavar": option.metavar or _metavar(name, option)}
    return settings | ({"action": "append"} if option.is_repeated else {})


def given(args: argparse.Namespace, kind: type[Options]) -> dict[str, Any]:
    """What the flags that were given say, by field."""
    found = {}
    for name, option in kind.declared().items():
        said = getattr(args, _place(kind, name), None)
        if said is not None:
            found[name] = option.words.get(said, said) if isinstance(said, str) else said
    return found


def value_of(args: argparse.Namespace, value: T) -> T:
    """`value`, where the flags given do not say otherwise. Raises: FieldError, UsageError."""
    from dataclasses import replace

    return replace(value, **given(args, type(value)))


def flags_for(kind: type[Options], values: Mapping[str, Any]) -> str:
    """The flags that say these values, as text."""
    return " ".join(words_for(kind, values))


def words_for(kind: type[Options], values: Mapping[str, Any]) -> list[str]:
    """The flags that say these values, each word apart; a repeated flag stands once per value."""
    from adaption.options.checks import Switch

    words = []
    for name, value in values.items():
        option = kind.declared()[name]
        for one in value if isinstance(value, list) else [value]:
            words.append(flag_of(name, option))
            if not isinstance(option.check, Switch):
                words.append(option.word(one))
    return words


def _place(kind: type[Options], name: str) -> str:
    """Where argparse keeps a flag: no flag of a verb itself has a dot in its name."""
    return f"{kind.__name__}.{name}"


def flag_of(name: str, option: Option) -> str:
    """The flag of a field."""
    return f"--{option.flag or name.replace('_', '-')}"


def _metavar(name: str, option: Option) -> str:
    """What may stand behind a flag: the words for it, or the name of what is asked for."""
    from adaption.options.checks import OneOf, OrNone

    check: Check = option.check
    if isinstance(check, OrNone):
        check = check.check
    words = list(option.words) or (list(check.names) if isinstance(check, OneOf) else [])
    return f"{{{','.join(words)}}}" if words else name.upper()
