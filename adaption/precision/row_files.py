"""Files of rows: JSON with one line per tensor or point, to be read and edited by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from adaption.errors import AdaptionError, FileFormatError
from adaption.io.atomic import atomic_write
from adaption.io.entries import Entries
from adaption.io.files import read_json

__all__ = ["load_rows", "save_rows"]

T = TypeVar("T")


def save_rows(
    path: str | os.PathLike[str],
    head: Mapping[str, Any],
    name: str,
    rows: Iterable[Mapping[str, Any]],
) -> None:
    """Write `head` and, as its last entry `name`, the rows, each on a line of its own."""
    lines = [json.dumps(row) for row in rows]
    text = json.dumps(dict(head), indent=2)[:-2] + f',\n  "{name}": [\n    '
    with atomic_write(path, "w") as out:
        out.write(text + ",\n    ".join(lines) + "\n  ]\n}\n")


def load_rows(
    path: str | os.PathLike[str],
    formats: tuple[str, ...],
    what: str,
    verb: str,
    read: Callable[[Entries], T],
) -> T:
    """What `read` makes of the file's values.

    Args:
        formats: that the entry `format` may name.
        what: the file is, for messages; `verb` writes it.
    Raises: FileFormatError when it is something else or damaged; errors of `read`, with the file.
    """
    fix = f"write it with `adaption {verb}`"
    values = read_json(path, f"a {what}", fix=fix)
    try:
        if not isinstance(values, dict) or "format" not in values:
            raise FileFormatError(f"is no {what}", fix)
        if values["format"] not in formats:
            allowed = ", ".join(map(repr, formats))
            raise FileFormatError(
                f"has format {values['format']!r}, allowed: {allowed}", f"{fix} of this version"
            )
        return read(Entries(values))
    except AdaptionError as error:
        raise error.at(file=path) from None
    except KeyError as error:
        raise FileFormatError(f"is no {what}: it lacks {error}", fix).at(file=path) from None
