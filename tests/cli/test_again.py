"""The command to go on with has every flag that was given, whichever the verb has."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from adaption.cli.again import words_again
from adaption.cli.main import VERBS, verb_parsers

FLAGS = "help", "version"


def given(action: argparse.Action) -> list[str]:
    """A flag with something behind it."""
    flag = action.option_strings[0]
    if action.nargs == 0:
        return [flag]
    one = str(next(iter(action.choices))) if action.choices else "3"
    if isinstance(action.nargs, int):
        return [flag, *[one] * action.nargs]
    return [f"{flag}={one}"]


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [a for a in parser._actions if a.option_strings and a.dest not in FLAGS]


def parsed(verb: str, words: list[str]) -> argparse.Namespace:
    """What the words say, behind what the verb cannot be without by its place."""
    parser = verb_parsers()[verb]
    places = [a for a in parser._actions if not a.option_strings and a.nargs not in ("?", "*")]
    first = [next(iter(a.choices)) if a.choices else "place" for a in places]
    return parser.parse_args([*first, *words])


def values(args: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(args).items() if name not in ("run", "parser")}


@pytest.mark.parametrize("verb", VERBS)
def test_all_flags_say_the_same_again(verb: str) -> None:
    words = [word for action in options_of(verb_parsers()[verb]) for word in given(action)]
    before = parsed(verb, words)
    assert values(parsed(verb, words_again(before))) == values(before)


def test_flags_that_are_not_given_are_not_said() -> None:
    assert words_again(parsed("train", [])) == [] == words_again(parsed("verify", []))


def test_each_flag_of_train_is_kept() -> None:
    kept = 0
    for action in options_of(verb_parsers()["train"]):
        if action.choices and next(iter(action.choices)) == action.default:
            continue
        said = words_again(parsed("train", given(action)))
        assert said and said[0].partition("=")[0] == action.option_strings[-1]
        kept += 1
    assert kept > 15


def test_values_stay_whole() -> None:
    words = ["--mirror", "--scale=-0.5", "--root=a b", "--input=x=1x2", "--input=y=3"]
    args = parsed("verify", words)
    assert sorted(words_again(args)) == sorted(words)
    assert words_again(args, "scale", "mirror", "root") == ["--input=x=1x2", "--input=y=3"]
