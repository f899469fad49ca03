"""The flags of a command as it was given, for a command that goes on with the same work."""

from __future__ import annotations

import argparse

__all__ = ["words_again"]


def words_again(args: argparse.Namespace, *but: str) -> list[str]:
    """Every flag that was given, whichever the verb has; of files given by their place nothing.

    For the same verb: what a file of --config says is not repeated, --config itself is. A command
    of another verb takes the flags that both have: see data_words and preprocessing_words.

    Args:
        but: names of flags to leave out, as argparse keeps them ("log_json").
    """
    words: list[str] = []
    parser: argparse.ArgumentParser = args.parser
    for action in parser._actions:
        if not action.option_strings or action.dest in but or not hasattr(args, action.dest):
            continue
        value = getattr(args, action.dest)
        if value == action.default:
            continue
        flag = action.option_strings[-1]
        is_repeated = isinstance(action, argparse._AppendAction)
        for one in value if is_repeated else [value]:
            if action.nargs == 0:
                words.append(flag)
            elif action.nargs is None:
                words.append(f"{flag}={one}")  # it may begin with a dash
            else:
                words += [flag, *map(str, one)]
    return words
