"""Calls that take option values, whole or field by field: quantize(..., bits=8, limit=100)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from adaption.errors import FieldError, KeywordError, UsageError, near_and_all
from adaption.options.base import Options

__all__ = ["takes_options"]

P = ParamSpec("P")
R = TypeVar("R")


def takes_options(**uses: Sequence[str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of a call with option values among its parameters, and `**choices: Any` at the end.

    Each field of these values becomes a keyword of the call, too, which `inspect.signature` shows.
    The call itself gets whole values and no choices. A parameter's default is an option value: that
    which keywords are put into.

    Args:
        uses: by parameter, the fields or topics that the call uses; without, all fields.
    The call raises, beside what it raises itself:
        KeywordError on an unknown keyword, and on one that a value beside it contradicts.
        UsageError on a value with a field set that the call does not use.
        FieldError on what a field may not hold.
    """

    def decorate(call: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(call)
        parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        taken = [
            _Taken(
                call.__name__, p.name, p.default, tuple(p.default.declared(*uses.get(p.name, ())))
            )
            for p in parameters
            if isinstance(p.default, Options)
        ]
        own = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL]
        fields = _as_parameters(taken)
        known = (*own, *fields)
        run: Callable[..., R] = call

        @wraps(call)
        def with_values(*args: P.args, **given: P.kwargs) -> R:
            rest: dict[str, Any] = {name: x for name, x in given.items() if name in own}
            choices = {name: x for name, x in given.items() if name not in own}
            for name in choices:
                if name not in known:
                    raise _unknown(call.__name__, name, known)
            for one in taken:
                rest[one.name] = one.value(rest, choices)
            return run(*args, **rest)

        with_values.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*parameters, *fields.values()]
        )
        return with_values

    return decorate


@dataclass(frozen=True)
class _Taken:
    """A parameter that takes an option value."""

    call: str
    name: str
    default: Options
    fields: tuple[str, ...]

    def value(self, given: dict[str, Any], choices: dict[str, Any]) -> Options:
        """What the call gets, of its arguments and of the keywords that stand for fields."""
        own = {name: x for name, x in choices.items() if name in self.fields}
        if self.name not in given:
            return replace(self.default, **own)
        whole = given[self.name]
        kind = type(self.default)
        if not isinstance(whole, kind):
            raise FieldError(self.name, whole, f"a value of adaption.{kind.__name__}")
        for name, value in whole.changed().items():
            if name not in self.fields:
                raise UsageError(
                    f"{self.call}() does not use {name} of {self.name}, which is {value!r}",
                    f"leave it out; what it uses is {', '.join(self.fields)}",
                )
        for name, value in own.items():
            said, held = kind.declared()[name].check(name, value), getattr(whole, name)
            if said != held:
                raise KeywordError(
                    f"{name} is {said!r} as a keyword and {held!r} in {self.name}",
                    f"say it once; dataclasses.replace({self.name}, {name}={said!r}) changes it",
                )
        return whole


def _as_parameters(taken: Sequence[_Taken]) -> dict[str, inspect.Parameter]:
    """Keyword parameters that stand for fields, by name."""
    return {
        name: inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=getattr(one.default, name),
            annotation=type(one.default).__annotations__[name],
        )
        for one in taken
        for name in one.fields
    }


def _unknown(call: str, name: str, known: Sequence[str]) -> KeywordError:
    return KeywordError(
        f"{call}() has no keyword {name!r}", near_and_all(name, known, "its keywords:")
    )
