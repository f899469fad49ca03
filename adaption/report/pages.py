"""What all pages of this room share: their templates and filters, and tiles."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from adaption.report.format import one_line, typeset

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["OPEN_FIGURES", "breakable", "render", "tile"]

_SEAMS = re.compile(r"(?<=[/_.:\-])(?=[^/_.:\-])|(?<=[a-z])(?=[A-Z])")
OPEN_FIGURES = 12  # pages with more figures than this start with them folded


def render(template: str, **values: Any) -> str:
    """The text of a page, with everything escaped.

    Args:
        template: name of a file of this folder. values: what it shows.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = resources.files("adaption.report")
    templates = Environment(
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["typeset"] = typeset
    templates.filters["one_line"] = one_line
    templates.filters["breakable"] = breakable
    return templates.get_template(template).render(values)


def breakable(name: object) -> Markup:
    """A name in one line that may be broken behind its separators and at its capitals only."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(part) for part in _SEAMS.split(one_line(name)))


def tile(label: str, value: str, note: str, tone: str = "plain") -> dict[str, str]:
    """One answer at the head of a page, for tiles.html.j2; `tone` is good, bad, warn or plain."""
    return {"label": label, "value": value, "note": note, "tone": tone}
