"""The parser of a verb: argparse, whose mistakes come out as our errors, with what may be meant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from adaption.errors import UsageError
from adaption.nearest import nearest_names

__all__ = ["Parser", "meant"]

_NUMBER = re.compile(r"-\d|-\.\d")
_INSTEAD = {  # what others have as a verb
    "help": "adaption VERB --help explains a verb; ",
    "version": "adaption --version prints it; ",
}
_AMBIGUOUS = re.compile(r"ambiguous option: (\S+) could match (.+)")
_MISSING = "the following arguments are required: "
_NO_NUMBER = re.compile(r"argument (\S+): invalid (float|int) value: '(.*)'")
_QUOTIENT = re.compile(r"\s*([-+]?[\d.]+)\s*/\s*([\d.]+)\s*")


def meant(said: str, known: Iterable[str]) -> str:
    """`did you mean ...?` for a name that is not among the known ones; "" where none is near."""
    plain = {name.lstrip("-"): name for name in known}  # dashes make any two flags alike
    said = said.lstrip("-")
    near = [name for name in plain if name.startswith(said)]
    near = near or list(nearest_names(said, tuple(plain)))
    found = [plain[name] for name in near[:3]]
    return f"did you mean {' or '.join(found)}?" if found else ""


class Parser(argparse.ArgumentParser):
    """Raises UsageError, where argparse prints its usage and ends the process."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse has it; an unknown flag is named before anything that is missing."""
        if args is not None:
            self._refuse_unknown(args)
        found, left = super().parse_known_args(args, namespace)
        if left and not any(isinstance(a, argparse._SubParsersAction) for a in self._actions):
            more = [a for a in self._actions if not a.option_strings and a.nargs in ("*", "+")]
            if not more or any(word.startswith("-") for word in left):
                self.error(f"not understood: {' '.join(left)}")
            # argparse gives a place all its words at once: those behind a flag are left.
            setattr(found, more[0].dest, [*(getattr(found, more[0].dest) or []), *left])
            left = []
        return found, left

    def flags(self) -> list[str]:
        """All flags, each in the form that help shows last."""
        named = (a.option_strings[-1] for a in self._actions if a.option_strings)
        return [flag for flag in named if flag.startswith("--")]

    def places(self) -> list[str]:
        """What is given by its place, without a flag."""
        return [_name_of(a) for a in self._actions if not a.option_strings]

    def error(self, message: str) -> NoReturn:
        """What argparse finds wrong. Raises: UsageError."""
        if message.startswith(_MISSING):
            missing = message.removeprefix(_MISSING)
            raise UsageError(f"missing: {missing}", self._explained(missing.split(", ")))
        if found := _AMBIGUOUS.fullmatch(message):
            raise UsageError(f"{found[1]} may be {found[2]}", "write the flag in full")
        if found := _NO_NUMBER.fullmatch(message):
            flag = found[1].rpartition("/")[2]
            if found[2] == "int":
                raise UsageError(f"{flag} is {found[3]!r}, allowed: a whole number")
            number = _quotient(found[3])
            fix = "" if number is None else f"write the number itself: {flag} {number:.6g}"
            raise UsageError(f"{flag} is {found[3]!r}, allowed: a number", fix)
        raise UsageError(message, f"{self.prog} --help explains each flag")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(choice) for choice in action.choices]
        near = meant(str(value), names)
        if isinstance(action, argparse._SubParsersAction):
            fix = f"{near} " if near else _INSTEAD.get(str(value), "")
            raise UsageError(f"unknown verb {value!r}", f"{fix}{self.prog} alone lists all verbs")
        name = _name_of(action)
        raise UsageError(f"{name} is {value!r}, allowed: {', '.join(names)}", near)

    def _refuse_unknown(self, args: Sequence[str]) -> None:
        if any(isinstance(a, argparse._SubParsersAction) for a in self._actions):
            return  # the verb's own parser knows its flags
        known = self._option_string_actions
        for word in args:
            if word == "--":
                return
            name = word.partition("=")[0]
            if not name.startswith("-") or name == "-" or _NUMBER.match(name) or " " in word:
                continue
            is_short = not name.startswith("--") and name[:2] in known
            is_whole = not name.startswith("--") and "=" in word  # as argparse reads -x=v
            if is_short or name in known:
                continue
            if not is_whole and any(flag.startswith(name) for flag in known):
                continue
            raise UsageError(f"unknown flag {name}", self._instead(name))

    def _instead(self, name: str) -> str:
        """What to write in place of an unknown flag."""
        plain = name.lstrip("-").replace("-", "_")
        if plain in [place.lower() for place in self.places()]:
            return f"give it by its place, without a flag: {self._example()}"
        near = meant(f"--{name.lstrip('-')}", self.flags())
        return near or f"{self.prog} --help lists all flags"

    def _explained(self, missing: Sequence[str]) -> str:
        """What is missing by its place, where its name says little, and an example."""
        helps = {_name_of(a): a.help for a in self._actions if not a.option_strings}
        said = [f"{name} is {helps[name]}; " for name in missing if len(name) == 1 and helps[name]]
        return f"{''.join(said)}{self._example()}"

    def _example(self) -> str:
        """The first example of the verb, on one line."""
        lines = (self.epilog or "").removeprefix("example:\n").replace("\\\n", " ").splitlines()
        first = " ".join(lines[0].split()) if lines else f"{self.prog} --help"
        return f"for example: {first}"


def _quotient(text: str) -> float | None:
    """The value of "1/255"; None of anything else."""
    found = _QUOTIENT.fullmatch(text)
    try:
        return float(found[1]) / float(found[2]) if found else None
    except (ValueError, ZeroDivisionError):
        return None


def _name_of(action: argparse.Action) -> str:
    if action.option_strings:
        return action.option_strings[-1]
    return str(action.metavar or action.dest)
