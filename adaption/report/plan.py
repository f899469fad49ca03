"""A plan as a table: formats, reasons, and what the formats do to the values measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adaption.errors import counted
from adaption.report.format import Q_CONVENTION, decibel, one_line, percent, significant
from adaption.report.tables import Grid

__all__ = ["bias_grid", "flushing_lines", "frozen_grid", "plan_grid"]


def plan_grid(net: str, rule: str, lengths: str, rows: Iterable[Mapping[str, Any]]) -> Grid:
    """One line per point; `rows` as in plan.json."""
    lines = []
    for row in rows:
        measured = "saturated" in row
        lines.append(
            (
                *(str(row["layer"]), str(row["kind"]), str(row["q"]), str(row["reason"])),
                significant(row.get("min")),
                significant(row.get("max")),
                percent(row.get("saturated"), unit=""),
                percent(row.get("flushed"), unit=""),
                decibel(row["sqnr_db"], "") if measured else "-",
            )
        )
    columns = ("layer", "point", "Qm.f", "reason", "min", "max", "sat %", "flush %", "SQNR dB")
    title = f"{net or 'net'}: {lengths} bits, rule {rule}"
    note = (
        f"{Q_CONVENTION}.\nsat: outside the range; flush: rounded to 0; computed from histograms."
    )
    return Grid(columns, lines, title, note, text_columns=4)


def flushing_lines(values: Mapping[str, Any]) -> list[str]:
    """What short weights lose to zero, and the flags that keep more; `values` as
    Flushing.to_dict gives them."""
    layers = values["layers"]
    where = f"{len(layers)} layers" if len(layers) > 1 else f'layer "{one_line(layers[0])}"'
    lines = [
        f"{percent(values['flushed'])} of the non-zero weights round to 0 ({where} with"
        f" {values['bits']} bits or fewer, rule {values['rule']}); their SQNR is"
        f" {decibel(values['sqnr_db'])} on average"
    ]
    better = [
        f"{one['flag']} ({percent(one['flushed'])}, {decibel(one['sqnr_db'])})"
        for one in values["better"]
    ]
    if better:
        lines.append(f"fewer with {', '.join(better)}")
    lines.append("adaption quantize --best goes further: it rounds weights so that errors cancel")
    return lines


def bias_grid(values: Mapping[str, Any]) -> Grid:
    """The SQNR of each class of tensors and each tensor at every bias; `values` as
    BiasProposal.to_dict gives them."""
    classes = {"weight": "s_w", "activation": "s_a", "gradient": "s_g"}
    biases = [int(s) for s in next(iter(values["sqnr_db"].values()))]
    lines = []
    for name, key in classes.items():
        lines.append((name, "all", str(values[key]), *_sqnr(values["sqnr_db"][name])))
    for row in values["layers"]:
        lines.append((row["kind"], row["layer"], str(row["bias"]), *_sqnr(row["sqnr_db"])))
    columns = ("tensors", "layer", "bias", *(f"SQNR at {s:+d}" if s else "at 0" for s in biases))
    title = f"{values['net'] or 'net'}: {values['recipe']}, {values['bits']} bits"
    note = "bias: on the shared exponent, where SQNR (dB) is best; computed from histograms."
    return Grid(columns, lines, title, note, text_columns=2)


def _sqnr(by_bias: Mapping[str, float | None]) -> list[str]:
    return [decibel(value, "") for value in by_bias.values()]


def frozen_grid(values: Mapping[str, Any]) -> Grid:
    """One line per point; `values` as FreezeResult.to_dict gives them."""
    lines = []
    for layer, formats in values["formats"].items():
        for kind, fmt in formats.items():
            point = f"{layer}:{kind}"
            seen = values["exponents"].get(point, {})
            shown = ", ".join(f"{e} ({n})" for e, n in seen.items())
            lines.append((layer, kind, values["moved"].get(point, "-"), fmt["q"], shown or "-"))
    dynamic, frozen = (values["accuracy"][name] for name in ("dynamic", "frozen"))
    title = "frozen formats"
    if frozen is not None:
        title += f"; top-1 {percent(dynamic)} before, {percent(frozen)} frozen"
        title += f" ({counted(values['samples'], 'sample')})"
    note = f"{Q_CONVENTION}.\nexponents: of tensors in the calibration, and how many had each."
    return Grid(("layer", "point", "was", "Qm.f", "exponents"), lines, title, note, text_columns=5)
