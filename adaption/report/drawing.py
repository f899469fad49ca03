"""A net as boxes and arrows, written as DOT (graphviz) or Mermaid text. Knows nothing of nets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["COLOURS", "RANKDIRS", "Arrow", "Box", "Drawing"]

RANKDIRS = ("LR", "TB", "RL", "BT")

COLOURS = {
    "convolution": "#ff8a80",
    "inner product": "#ce93d8",
    "recurrent": "#b39ddb",
    "pooling": "#ffcc80",
    "normalization": "#a5d6a7",
    "neuron": "#90caf9",
    "rounding": "#80deea",
    "loss": "#fff59d",
    "data": "#cfd8dc",
    "arrangement": "#e0e0e0",
    "other": "#bcaaa4",
    "unknown": "#ffffff",
    "blob": "#f5f5f5",
}
"""Kinds of boxes, and what they are filled with; all of them carry black text."""


@dataclass(frozen=True)
class Box:
    """A layer, or a blob that no layer makes or reads."""

    lines: tuple[str, ...]
    kind: str  # a key of COLOURS
    is_low_precision: bool = False  # drawn with a strong border


@dataclass(frozen=True)
class Arrow:
    """From box `tail` to box `head`, by their places in the list."""

    tail: int
    head: int
    label: str = ""


@dataclass
class Drawing:
    """Boxes and arrows; `dot()` and `mermaid()` give text."""

    name: str
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    rankdir: str = "LR"

    def dot(self) -> str:
        """Text for graphviz' programs."""
        lines = [
            f"digraph {_dot(self.name or 'net')} {{",
            f"  rankdir={self.rankdir};",
            '  node [shape=box, style="filled", fontname="Helvetica", fontsize=11];',
            '  edge [fontname="Helvetica", fontsize=9];',
        ]
        for i, box in enumerate(self.boxes):
            settings = [f"label={_dot(*box.lines)}", f'fillcolor="{COLOURS[box.kind]}"']
            if box.kind == "blob":
                settings.append("shape=octagon")
            if box.kind == "unknown":
                settings.append('style="filled,dashed"')
            if box.is_low_precision:
                settings.append("penwidth=2.5")
            lines.append(f"  n{i} [{', '.join(settings)}];")
        for arrow in self.arrows:
            label = f" [label={_dot(*arrow.label.splitlines())}]" if arrow.label else ""
            lines.append(f"  n{arrow.tail} -> n{arrow.head}{label};")
        return "\n".join([*lines, "}", ""])

    def mermaid(self) -> str:
        """Text for Mermaid, which many viewers of Markdown draw."""
        lines = [f"flowchart {self.rankdir}"]
        for i, box in enumerate(self.boxes):
            left, right = ("([", "])") if box.kind == "blob" else ("[", "]")
            lines.append(f'  n{i}{left}"{_mermaid(box.lines)}"{right}:::{_class(box)}')
        for arrow in self.arrows:
            label = f'|"{_mermaid(arrow.label.splitlines())}"|' if arrow.label else ""
            lines.append(f"  n{arrow.tail} -->{label} n{arrow.head}")
        for box in sorted(set(self.boxes), key=_class):
            style = f"fill:{COLOURS[box.kind]},stroke:#555,color:#000"
            if box.is_low_precision:
                style += ",stroke-width:3px"
            if box.kind == "unknown":
                style += ",stroke-dasharray:4"
            definition = f"  classDef {_class(box)} {style}"
            if definition not in lines:
                lines.append(definition)
        return "\n".join([*lines, ""])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "format": "adaption.drawing/1",
            "name": self.name,
            "boxes": [
                {"lines": list(b.lines), "kind": b.kind, "low_precision": b.is_low_precision}
                for b in self.boxes
            ],
            "arrows": [{"tail": a.tail, "head": a.head, "label": a.label} for a in self.arrows],
        }


def _dot(*lines: str) -> str:
    """A quoted DOT string; names from files cannot end it, nor call graphviz' escapes."""
    return (
        '"'
        + "\\n".join(_printable(x).replace("\\", "\\\\").replace('"', '\\"') for x in lines)
        + '"'
    )


def _mermaid(lines: Sequence[str]) -> str:
    """Mermaid's entities are HTML's with # for &."""
    text = []
    for line in lines:
        safe = (c if c.isalnum() or c in " .,:_-+/()%" else f"#{ord(c)};" for c in _printable(line))
        text.append("".join(safe))
    return "<br/>".join(text)


def _class(box: Box) -> str:
    return box.kind.replace(" ", "_") + ("_lp" if box.is_low_precision else "")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
