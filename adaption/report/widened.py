"""What widening did to a net, as a table."""

from __future__ import annotations

from adaption.precision.widen import Widened
from adaption.report.format import count
from adaption.report.tables import Grid

__all__ = ["layers_table"]


def layers_table(widened: Widened) -> str:
    """One line per weight layer: num_output and weights before and after, and why it stays."""
    rows = []
    for layer in widened.layers:
        weights = (layer.weights_before, layer.weights_after)
        rows.append(
            (
                *(layer.name, str(layer.before), str(layer.after)),
                *("?" if n is None else count(n) for n in weights),
                widened.kept.get(layer.name, ""),
            )
        )
    known = [
        x for x in widened.layers if x.weights_before is not None and x.weights_after is not None
    ]
    rows = [(name, why, *numbers) for name, *numbers, why in rows]
    columns = ("layer", "stays because", "num_output", "wider", "weights", "wider")
    lines = [Grid(columns, rows, text_columns=2).plain()]
    if len(known) == len(widened.layers):
        before, after = (sum(n or 0 for n in column) for column in zip(
            *((x.weights_before, x.weights_after) for x in known), strict=True
        ))  # fmt: skip
        lines.append(f"{count(before)} weights, {count(after)} in the wider net")
    lines += [f"put in: {name}, a 1 x 1 convolution before a sum" for name in widened.inserted]
    return "\n".join(lines)
