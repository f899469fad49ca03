"""`<caffemodel>.precision.json`: which recipe chose the formats of weights, since those files
cannot say it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adaption.io.atomic import atomic_write

__all__ = ["note_of", "note_text", "read_note", "remove_note", "write_note"]

VERSION = 1
PathLike = str | os.PathLike[str]


def _path(weights: PathLike) -> Path:
    path = Path(weights)
    return path.with_name(path.name + ".precision.json")


def note_of(recipe: str, plan: Sequence[Mapping[str, Any]], state: str) -> dict[str, Any]:
    """A note: the recipe's name, the formats in force, and the solver state beside the weights."""
    return {"adaption_precision": VERSION, "recipe": recipe, "state": state, "plan": list(plan)}


def write_note(weights: PathLike, note: Mapping[str, Any]) -> None:
    """Put a note beside a caffemodel."""
    with atomic_write(_path(weights), "w") as out:
        out.write(json.dumps(note, indent=1) + "\n")


def remove_note(weights: PathLike) -> None:
    """Take away a note that an older run of the same name has left."""
    _path(weights).unlink(missing_ok=True)


def read_note(weights: PathLike) -> dict[str, Any] | None:
    """The note beside a caffemodel; None where there is none that can be read."""
    path = _path(weights)
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        is_ours = note["adaption_precision"] == VERSION and isinstance(note["plan"], list)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return dict(note) if is_ours else None


def note_text(weights: PathLike, note: Mapping[str, Any]) -> str:
    """What a user should know who runs such weights in a net without those formats."""
    state = Path(weights).with_name(str(note.get("state", "")))
    return (
        f"{os.fspath(weights)} was trained by recipe {note.get('recipe')}, whose formats this net"
        f" does not have: it runs in other numbers. adaption freeze NET {os.fspath(weights)}"
        f" --state {state} -o DIR writes the net with them"
    )
