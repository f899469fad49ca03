"""Sidecar files: JSON with one line per tensor or point, to be read and edited by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from adaption.io.atomic import atomic_write

__all__ = ["save_rows"]


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
