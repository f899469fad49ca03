"""What mkdocs.yml does beyond mkdocs: the README as first page, links that stay within the site,
and the API reference, one entry for each public name."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[([^\]]+)\]\(([^):\s]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The text of a page as it stands on the site."""
    place = page.file.src_uri
    if place == "index.md":
        markdown = (ROOT / "README.md").read_text("utf-8").replace("](docs/", "](")
    if place == "reference/api.md":
        markdown = markdown.rstrip() + "\n\n" + api_entries()

    def within(link: re.Match[str]) -> str:
        target = link[2].partition("#")[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
        is_page = not target or (ROOT / "docs" / path).is_file()
        return link[0] if is_page and not path.startswith("..") else link[1]

    return LINK.sub(within, markdown)


def api_entries() -> str:
    """mkdocstrings' line for every public name, by its module."""
    sys.path.insert(0, str(ROOT))
    import adaption

    names = sorted(adaption._MODULE_OF.items(), key=lambda item: item[0].lower())
    return "".join(f"::: {module}.{name}\n\n" for name, module in names)
