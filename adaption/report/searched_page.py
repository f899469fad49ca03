"""search.html: what a search for word lengths found, as one self-contained page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from adaption.io.atomic import atomic_write
from adaption.report.pages import render
from adaption.report.searched import searched_sections, verdict

__all__ = ["write_searched"]


def write_searched(report: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the page.

    Args:
        report: the content of search.json.
    Raises: UsageError when `path` cannot be written.
    """
    page = render(
        "searched.html.j2",
        title=f"{report['net'] or 'net'}: word lengths under a budget",
        facts=verdict(report),
        search=searched_sections(report),
        notes=report["notes"],
    )
    with atomic_write(path, "w") as out:
        out.write(page)
