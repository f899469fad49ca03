"""Values as an interpreter and a notebook show them: a few lines, a table, a data frame."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from adaption.errors import UsageError, one_line
from adaption.table import columns

if TYPE_CHECKING:  # torch behind them takes a second that tables of text need not wait for
    from adaption.net.blob import Blob
    from adaption.net.node import Node

__all__ = ["MOST_LINES", "as_frame", "as_html", "net_text", "shortened"]

MOST_LINES = 15  # of a repr: it shall not push away what stood before it
MOST_ROWS = 60  # of a table in a notebook


class ShownNet(Protocol):
    """What `net_text` reads of a net."""

    name: str
    phase: str
    nodes: list[Node]
    blobs: dict[str, Blob]

    @property
    def inputs(self) -> Sequence[str]:
        """Blobs that the user fills."""

    @property
    def outputs(self) -> Sequence[str]:
        """Blobs that no layer reads."""


def shortened(rows: Sequence[Any], most: int, more: Any) -> list[Any]:
    """The rows, with `more` in place of those in the middle where there are more than `most`."""
    if len(rows) <= most:
        return list(rows)
    behind = (most - 1) // 3
    return [*rows[: most - 1 - behind], more, *rows[len(rows) - behind :]]


def net_text(net: ShownNet) -> str:
    """Layers, parameters and shapes of a net, in MOST_LINES lines at most."""
    nodes = [node for node in net.nodes if not node.spec.is_split]
    blobs = {id(blob): blob for node in nodes for blob in node.masters}
    count = sum(blob.count for blob in blobs.values())
    rows = [
        (
            f"  {node.spec.name}",
            node.spec.type,
            " ".join(_by(net.blobs[top].shape) for top in node.spec.tops),
            " ".join(_by(blob.shape) for blob in node.masters),
        )
        for node in nodes
    ]
    head = f'Net "{net.name}" ({net.phase}): {len(nodes)} layers, {count:,} parameters'
    left = len(rows) - (MOST_LINES - 3)
    lines = columns(shortened(rows, MOST_LINES - 2, (f"  ... {left} more",)))
    ends = f"inputs: {', '.join(net.inputs) or 'none'}; outputs: {', '.join(net.outputs)}"
    return "\n".join([one_line(head), *lines, one_line(ends)])


def as_html(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """A table for a notebook; its first rows where it is long."""
    from html import escape

    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(row.get(name)))}</td>" for name in names) + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    more = f"<p>{len(rows) - MOST_ROWS} rows more</p>" if len(rows) > MOST_ROWS else ""
    text = f"<p>{escape(one_line(title))}</p>"
    return f"{text}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def as_frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """The rows as a pandas.DataFrame. Raises: UsageError where pandas is not installed."""
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        raise UsageError(
            "to_dataframe() needs pandas, which is not installed", "pip install pandas"
        ) from None
    return pandas.DataFrame(list(rows))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return one_line(f"{value:.6g}" if isinstance(value, float) else value)


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"
