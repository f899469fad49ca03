"""The few SVG elements the figures are made of; text and attributes are escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["figure", "group", "line", "number", "rect", "text"]


def number(value: float) -> str:
    """A coordinate with at most one decimal: files stay small."""
    return f"{value:.1f}".removesuffix(".0")


def element(tag: str, attributes: dict[str, str | float], content: Markup | str = "") -> Markup:
    """<tag attributes>content</tag>; `content` is escaped unless it is Markup.

    Attribute names are written with "-" for "_", and without a trailing "_" (class_, for Python).
    """
    from markupsafe import Markup, escape

    head = "".join(
        f' {name.removesuffix("_").replace("_", "-")}="'
        f'{escape(value) if isinstance(value, str) else number(value)}"'
        for name, value in attributes.items()
    )
    body = escape(content)
    return Markup(f"<{tag}{head}>{body}</{tag}>" if body else f"<{tag}{head}/>")


def rect(x: float, y: float, width: float, height: float, class_: str, tip: str = "") -> Markup:
    """A rectangle; `tip` is shown while the mouse rests on it."""
    box: dict[str, str | float] = {"x": x, "y": y, "width": max(0, width), "height": max(0, height)}
    return element("rect", {**box, "class_": class_}, _title(tip))


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return element("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class_": class_})


def circle(x: float, y: float, radius: float, class_: str, tip: str = "") -> Markup:
    return element("circle", {"cx": x, "cy": y, "r": radius, "class_": class_}, _title(tip))


def text(x: float, y: float, content: str, class_: str = "", anchor: str = "start") -> Markup:
    """Text at its baseline; `anchor` is start, middle or end."""
    attributes: dict[str, str | float] = {"x": x, "y": y}
    if anchor != "start":
        attributes["text_anchor"] = anchor
    if class_:
        attributes["class_"] = class_
    return element("text", attributes, content)


def link(href: str, content: Markup) -> Markup:
    return element("a", {"href": href}, content)


def group(parts: list[Markup], class_: str = "") -> Markup:
    from markupsafe import Markup

    return element("g", {"class_": class_} if class_ else {}, Markup("").join(parts))


def figure(key: str, width: float, height: float, title: str, desc: str, body: Markup) -> Markup:
    """An <svg> that fills its place, with a title and a description for those who listen.

    Args:
        key: unique in the page; ids are made from it.
        width, height: of the drawing, in units that are pixels at full size.
    """
    from markupsafe import Markup

    head = [
        element("title", {"id": f"{key}-title"}, title),
        element("desc", {"id": f"{key}-desc"}, desc),
    ]
    attributes: dict[str, str | float] = {
        "viewBox": f"0 0 {number(width)} {number(height)}",
        "role": "img",
        "aria_labelledby": f"{key}-title {key}-desc",
    }
    return element("svg", attributes, Markup("").join([*head, body]))


def _title(tip: str) -> Markup | str:
    return element("title", {}, tip) if tip else ""
