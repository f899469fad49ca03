"""Flags made from the fields of option values, and the values that the flags given say."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from adaption.options import Option, Options
from adaption.options.checks import Check, OneOf, OrNone, Switch

__all__ = ["add_caffe_flag", "add_flag", "add_flags", "flags_for", "given", "value_of"]

T = TypeVar("T", bound=Options)
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
        help = helps.get(name) or option.text(getattr(value, name))
        add_flag(parser, name, option, dest=_place(type(value), name), help=help)


def add_flag(parser: Parser, name: str, option: Option, **settings: Any) -> None:
    """The flag of one field. `settings`: as add_argument takes them."""
    if isinstance(option.check, Switch):
        settings |= {"action": "store_const", "const": True}
    else:
        settings["metavar"] = option.metavar or _metavar(name, option)
        settings |= {"action": "append"} if option.is_repeated else {}
    if option.is_caffe:
        add_caffe_flag(parser, option.flag or name, **settings)
    else:
        parser.add_argument(_flag(name, option), **settings)


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
    return replace(value, **given(args, type(value)))


def flags_for(kind: type[Options], values: Mapping[str, Any]) -> str:
    """The flags that say these values."""
    words = []
    for name, value in values.items():
        option = kind.declared()[name]
        words.append(_flag(name, option))
        if not isinstance(option.check, Switch):
            words.append(option.word(value))
    return " ".join(words)


def _place(kind: type[Options], name: str) -> str:
    """Where argparse keeps a flag: no flag of a verb itself has a dot in its name."""
    return f"{kind.__name__}.{name}"


def _flag(name: str, option: Option) -> str:
    return f"--{option.flag or name.replace('_', '-')}"


def _metavar(name: str, option: Option) -> str:
    """What may stand behind a flag: the words for it, or the name of what is asked for."""
    check: Check = option.check
    if isinstance(check, OrNone):
        check = check.check
    words = list(option.words) or (list(check.names) if isinstance(check, OneOf) else [])
    return f"{{{','.join(words)}}}" if words else name.upper()
