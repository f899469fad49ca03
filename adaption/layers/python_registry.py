"""Layers of published Python modules that are built in, by module and class name.

A `type: "Python"` layer names code beside the model file, which is never run. Where the code is
that of a well-known repository, a class registered here computes the same instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from adaption.errors import FieldError
from adaption.layers.base import Layer
from adaption.layers.scan import every_module

__all__ = ["built_in", "parse_param_str", "published", "replaces"]

L = TypeVar("L", bound=type[Layer])
_published: dict[tuple[str, str], type[Layer]] = {}


def replaces(module: str, layer: str) -> Callable[[L], L]:
    """Register the decorated class for a `python_param` with this `module` and `layer`."""

    def register(cls: L) -> L:
        if (module, layer) in _published:
            raise ValueError(f"{module}.{layer} is registered by {_published[module, layer]}")
        _published[module, layer] = cls
        return cls

    return register


def built_in(module: str, layer: str) -> type[Layer] | None:
    """The class that computes what `layer` of `module` does, or None."""
    return _all().get((module, layer))


def published() -> list[str]:
    """`module.layer` of every built-in one, sorted."""
    return sorted(f"{module}.{layer}" for module, layer in _all())


@cache
def _all() -> Mapping[tuple[str, str], type[Layer]]:
    """Every file is asked: what it replaces stands in no layer type."""
    for name in every_module():
        import_module(name)
    return _published


_TOKEN = re.compile(
    r"""\s*(?: \#[^\n]*
    | (?P<quoted> "(?:[^"\\]|\\.)*" | '[^']*' )
    | (?P<dash> -(?=\s) )
    | (?P<mark> [\[\](){},:] )
    | (?P<word> [^\s\[\](){},:\#"']+ ) )""",
    re.VERBOSE,
)
_WORDS = {"true": True, "false": False, "none": None, "null": None, "~": None}


def parse_param_str(text: str) -> dict[str, Any]:
    """The settings in a `param_str`: names with numbers, words, or lists of them.

    Reads what such strings hold in practice, a little YAML or a Python dictionary:
    `'feat_stride': 16, 'scales': (8, 16)` or `feat_stride: 16` and `scales: [8, 16]` on two lines.
    Nothing is evaluated. Raises: FieldError when it is neither.
    """
    return _ParamStr(text).settings()


class _ParamStr:
    """A cursor over the tokens of one param_str."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                raise self.error()
            at = found.end()
            if found.lastgroup:
                self.tokens.append((found.lastgroup, found[found.lastgroup]))

    def error(self) -> FieldError:
        return FieldError(
            "python_param.param_str",
            self.text,
            "settings as in 'feat_stride': 16, 'scales': (8, 16)",
        )

    def next_is(self, *marks: str, ahead: int = 0) -> bool:
        return (
            len(self.tokens) > ahead
            and self.tokens[ahead][1] in marks
            and (self.tokens[ahead][0] in ("mark", "dash"))
        )

    def take(self) -> tuple[str, str]:
        if not self.tokens:
            raise self.error()
        return self.tokens.pop(0)

    def settings(self) -> dict[str, Any]:
        made = self.mapping("}") if self.next_is("{") else self.mapping("")
        if self.tokens:
            raise self.error()
        return made

    def mapping(self, end: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if end:
            self.take()
        while self.tokens and not self.next_is(end):
            name = self.scalar()
            if self.take() != ("mark", ":"):
                raise self.error()
            made[str(name)] = self.value()
            if self.next_is(","):
                self.take()
        if end and self.take() != ("mark", end):
            raise self.error()
        return made

    def value(self) -> Any:
        if self.next_is("{"):
            return self.mapping("}")
        if self.next_is("[", "("):
            return self.listed({"[": "]", "(": ")"}[self.take()[1]])
        if self.next_is("-"):
            made = []
            while self.next_is("-"):
                self.take()
                made.append(self.value())
            return made
        return self.scalar()

    def listed(self, end: str) -> list[Any]:
        made = []
        while not self.next_is(end):
            made.append(self.value())
            if self.next_is(","):
                self.take()
            elif not self.next_is(end):
                raise self.error()
        self.take()
        return made

    def scalar(self) -> Any:
        kind, text = self.take()
        if kind == "quoted":
            return text[1:-1]
        if kind != "word":
            raise self.error()
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        for number in (int, float):
            try:
                return number(text)
            except ValueError:
                continue
        return text
