"""Settings of a verb from a TOML file: `--config FILE`.

A key is a flag without its dashes; what stands on the command line wins. Keys at the top hold for
any verb that has such a flag, those of a table `[VERB]` for that verb:

    limit = 100
    mean-value = [104, 117, 123]

    [quantize]
    bits = [8, "activation=16"]
    rule = "sqnr"
    unsigned = true
"""

from __future__ import annotations

import argparse
import tomllib
from typing import Any

from adaption.cli.parser import Parser, meant
from adaption.errors import FieldError, FileFormatError, UsageError, system_error

__all__ = ["use_config"]


def use_config(parser: Parser, verb: str, path: str, verbs: tuple[str, ...]) -> None:
    """Make the settings of a file the defaults of a verb's parser.

    Raises: FileFormatError, UsageError, FieldError on a file, key or value that does not fit.
    """
    actions = {
        flag.lstrip("-").replace("_", "-"): action
        for action in parser._actions
        for flag in action.option_strings
        if flag.startswith("--") and action.dest not in ("help", "config")
    }
    for key, value, is_own in _settings(path, verb, verbs):
        action = actions.get(key.replace("_", "-"))
        if action is None and is_own:
            fix = meant(key, actions) or f"{parser.prog} --help lists all flags"
            raise UsageError(f"[{verb}] has {key}, and {verb} has no flag --{key}", fix).at(
                file=path
            )
        if action is not None:
            try:
                parser.set_defaults(**{action.dest: _value(parser, action, key, value)})
            except (FieldError, UsageError) as error:
                raise error.at(file=path) from None
            action.required = False


def _settings(path: str, verb: str, verbs: tuple[str, ...]) -> list[tuple[str, Any, bool]]:
    """Key, value, and whether it stands in the verb's own table; those come last."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            found = tomllib.load(file)
    except OSError as error:
        raise system_error(error) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"no TOML: {error}", "write KEY = VALUE, a line each").at(
            file=path
        ) from None
    tables = {key: value for key, value in found.items() if isinstance(value, dict)}
    for name in tables:
        if name not in verbs:
            fix = meant(name, verbs) or "a table is called as a verb, such as [quantize]"
            raise UsageError(f"[{name}] is no verb", fix).at(file=path)
    shared = [(key, value, False) for key, value in found.items() if key not in tables]
    return [*shared, *((key, value, True) for key, value in tables.get(verb, {}).items())]


def _value(parser: Parser, action: argparse.Action, key: str, value: Any) -> Any:
    """What argparse would keep for the flag. Raises: FieldError, UsageError."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise FieldError(key, value, "true, false")
        return action.const if value else action.default
    if isinstance(value, bool):
        raise FieldError(key, value, "a value, as the flag takes it")
    if isinstance(action, argparse._AppendAction):
        rows = value if isinstance(value, list) else [value]
        if isinstance(action.nargs, int) and not all(isinstance(row, list) for row in rows):
            rows = [rows]
        return [_one(parser, action, row) for row in rows]
    return _one(parser, action, value)


def _one(parser: Parser, action: argparse.Action, value: Any) -> Any:
    if action.nargs is not None:
        return [_word(parser, action, part) for part in value]
    text = ",".join(map(str, value)) if isinstance(value, list) else value
    return _word(parser, action, text)


def _word(parser: Parser, action: argparse.Action, value: Any) -> Any:
    try:
        found = parser._get_value(action, str(value))
    except argparse.ArgumentError as error:
        raise UsageError(str(error), f"{parser.prog} --help explains each flag") from None
    parser._check_value(action, found)
    return found
