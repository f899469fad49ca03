"""Zeros per layer as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adaption.errors import counted
from adaption.report.format import ABSENT, compact, percent
from adaption.report.tables import Grid

__all__ = ["sparsity_grid"]

_NOTE = (
    "Zeros in percent, float > quantized: of the weights, of the result before and after the\n"
    "activation function, and of what the layer reads; MACs whose input is zero can be skipped.\n"
    "SM: size of what it reads in NullHop's sparsity-map form over its plain size."
)


def sparsity_grid(result: Mapping[str, Any]) -> Grid:
    """One line per weight layer; `result` as `adaption sparsity --json` prints it."""
    rows = []
    for layer in (*result["layers"], {"name": "all", "type": "", **result["total"]}):
        row = [str(layer["name"]), str(layer["type"])]
        for key in ("weights", "result", "activation", "input"):
            pair = layer.get(key)
            row.append(ABSENT if pair is None else _shares(pair["before"], pair["after"]))
        macs = layer["macs"]
        skipped = [layer[f"skippable_macs_{when}"] for when in ("before", "after")]
        dense = max(1, layer["map_words_dense"])
        words = [layer[f"map_words_{when}"] for when in ("before", "after")]
        row.append(compact(macs).replace(" ", ""))
        row.append(_shares(*(None if s is None else s / max(1, macs) for s in skipped)))
        row.append(_shares(*(None if w is None else w / dense for w in words)))
        rows.append(row)
    columns = ("layer", "type", "weights", "result", "activation", "input", "MACs", "skip", "SM")
    title = f"{result['net'] or 'net'}: zeros over {counted(result['samples'], 'sample')}"
    return Grid(columns, rows, title, _NOTE, text_columns=2)


def _shares(before: float | None, after: float | None) -> str:
    shown = percent(before, 1, "")
    return shown if after is None else f"{shown} > {percent(after, 1, '')}"
