"""comparison.html: variants beside the float net, in the design of the reports."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from adaption.report.comparison import comparison_grid, write_comparison
from tests.report.conftest import Page

Row = dict[str, Any]


def row(rule: str, bits: int, top1: float | None, **changes: Any) -> Row:
    """One entry of comparison.json."""
    return {
        "rule": rule,
        "bits": bits,
        "Top-1": top1,
        "change": None if top1 is None else top1 - 0.9,
        "Top-5": None,
        "flipped": 0.05,
        "output SQNR": 4.0 * bits,
        "zero weights": 0.1,
        "zero inputs": 0.5,
        "verified": True,
        "fine-tuned Top-1": None,
        "fine-tuned Top-5": None,
        "float Top-1": None if top1 is None else 0.9,
        "float Top-5": None,
        "float zero weights": 0.0,
        "float zero inputs": 0.4,
        "folder": f"{rule}_{bits}",
        **changes,
    }


def written(rows: list[Row], folder: Path) -> str:
    write_comparison(rows, folder / "c.html", "Net<1>")
    return (folder / "c.html").read_text("utf-8")


def test_page(tmp_path: Path) -> None:
    rows = [
        row("adaption", 8, 0.9),
        row("adaption", 4, 0.7),
        row("sqnr", 8, 0.91),
        row("sqnr", 4, 0.895, verified=False),
    ]
    text = written(rows, tmp_path)
    page = Page(text)
    assert page.addresses == [f"{r['folder']}/report.html" for r in rows]
    assert "Net&lt;1&gt;" in text and "@media print" in text
    assert not re.search(r"@import|url\(|<script", text)
    # The float net leads the table, and is a line in the figures that have a value of it.
    assert [*comparison_grid(rows).rows[0]][:3] == ["float net", "32", "90.00 %"]
    figures = {
        (figure.find("title").text or ""): figure  # type: ignore[union-attr]
        for figure in map(ElementTree.fromstring, re.findall("<svg .*?</svg>", text, re.DOTALL))
    }
    assert list(figures) == [
        "Top-1, %",
        "Flipped predictions, %",
        "SQNR of the output, dB",
        "Zero inputs, %",
    ]
    for title, figure in figures.items():
        labels = [t.text for t in figure.iter("text")]
        assert ("float net" in labels) == (title in ("Top-1, %", "Zero inputs, %")), title
        assert len(list(figure.iter("circle"))) == len(rows), title
        assert float(figure.get("viewBox", "").split()[2]) <= 420  # letters stay legible at 400 px
    # What a reader looks for, and what must not be missed.
    assert "4 bits" in page.words and "rule sqnr, Top-1 89.50 %" in page.words
    assert '<td class="alarm">NO</td>' in text and "3 of 4 variants" in page.words


def test_what_nobody_measured_is_left_out(tmp_path: Path) -> None:
    rows = [row("max", 8, None, flipped=None)]
    assert list(comparison_grid(rows).columns) == [
        *("rule", "bits", "output SQNR", "zero weights", "zero inputs", "verified")
    ]
    page = Page(written(rows, tmp_path))
    assert page.tags.count("svg") == 2 and "Fewest bits" not in page.words


def test_no_variant_at_all(tmp_path: Path) -> None:
    page = Page(written([], tmp_path))
    assert "0 variants" in page.words and "svg" not in page.tags


def test_none_is_near_to_float(tmp_path: Path) -> None:
    page = Page(written([row("max", 3, 0.5)], tmp_path))
    assert "none" in page.words and "--best" in page.words


def test_a_recipe_has_a_net_and_no_report(tmp_path: Path) -> None:
    rows = [row("sqnr", 4, 0.8), row("wrpn", 4, 0.85, verified=None)]
    text = written(rows, tmp_path)
    assert Page(text).addresses == ["sqnr_4/report.html", "wrpn_4/net_lp.prototxt"]
    assert ">net</a>" in text and "1 of 1 variants" in text  # it does not count as unproved
    assert "Verification" not in written(rows[1:], tmp_path)
