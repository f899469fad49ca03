"""report.html: self-contained, complete, escaped, and right about what it shows."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from adaption.errors import FieldError
from adaption.report.html import render_report, write_report
from tests.report.conftest import Page, layer, point

Summary = dict[str, Any]


def test_page_is_whole_and_asks_for_nothing_outside(summary: Summary) -> None:
    text = render_report(summary)
    page = Page(text)
    assert all(address.startswith("#") for address in page.addresses)
    assert not re.search(r"@import|url\(", text)
    # Two overviews and one figure per layer.
    assert page.tags.count("svg") >= 2 + len(summary["layers"])
    assert page.tags.count("details") >= len(summary["layers"])
    for shown in ("LeNet", "99.1", "99.08", "3 of 500", "Q1.15", "Q6.10", "65.2", "Dropout was"):
        assert shown in page.words, shown
    assert "m counts the sign bit" in page.words


def test_names_from_model_files_are_escaped(summary: Summary) -> None:
    evil = '<script>alert(1)</script>"><img src=x onerror=y>'
    summary["net"] = evil
    summary["layers"][0]["name"] = evil
    summary["notes"] = [evil]
    text = render_report(summary)
    assert "<script>alert" not in text and "<img" not in text
    assert "&lt;script&gt;alert" in text
    Page(text)


def test_a_date_is_no_subtraction(summary: Summary) -> None:
    assert "2026-11-29" in Page(render_report(summary | {"date": "2026-11-29"})).words


def test_a_failed_check_stands_out(summary: Summary) -> None:
    summary["verification"][1]["ok"] = False
    summary["verification"][1]["detail"] = "conv2 differs"
    page = Page(render_report(summary))
    assert "conv2 differs" in page.words
    assert "1 of 2" in page.words


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"accuracy": None, "flipped_predictions": None}, id="no labels"),
        pytest.param({"output_sqnr_db": {}, "verification": [], "notes": []}, id="no outputs"),
        pytest.param({"output_sqnr_db": {"prob": None}}, id="exact output"),
        pytest.param({"layers": [layer("ip", activation=None)]}, id="float result"),
        pytest.param({"layers": [layer("c", weight=point(8, 11, sqnr_db=math.inf))]}, id="inf"),
        pytest.param(
            {
                "layers": [
                    layer(
                        "c",
                        activation=point(
                            6,
                            -3,
                            histogram={
                                "exponent_low": 0,
                                "negative": [],
                                "positive": [],
                                "zeros": 9,
                            },
                        ),
                    )
                ]
            },
            id="all zero, negative f",
        ),
        pytest.param({"layers": []}, id="no layers"),
    ],
)
def test_unusual_summaries(summary: Summary, changes: Summary) -> None:
    page = Page(render_report(summary | changes))
    assert not re.search(r"\b(nan|inf|None)\b", page.words)


def row_of(text: str, name: str, kind: str) -> str:
    """The table row of one point."""
    body = text[text.index(f'data-name="{name}"') :]
    start = body.index(f'<span class="dot {kind}">')
    return body[start : body.index("</tr>", start)]


def test_marks_what_does_harm(summary: Summary) -> None:
    clipped = point(4, 3, saturated_share=0.02, sqnr_db=18.0)  # as a rule wanted it
    lost = point(4, -4, flushed_share=0.95, zero_share_before=0.05, sqnr_db=0.0)
    cut = point(4, 3, saturated_share=0.3, flushed_share=0.0, sqnr_db=2.0)
    summary["layers"] = [
        layer("a", weight=clipped, bias=lost, activation=cut),
        layer("b", weight=point(4, 3, sqnr_db=None), activation=None),
    ]
    text = render_report(summary)
    mark = '<td class="alarm">'
    assert mark not in row_of(text, "a", "weight")
    bias = row_of(text, "a", "bias")
    assert f"{mark}95.00 %" in bias and f"{mark}0.0 dB" in bias and bias.count(mark) == 2
    activation = row_of(text, "a", "activation")
    assert f"{mark}30.00 %" in activation and activation.count(mark) == 2
    assert mark not in row_of(text, "b", "weight")


def test_names_break_at_their_seams(summary: Summary) -> None:
    summary["layers"] = [layer("block_1/conv<b>1x1", "InnerProduct")]
    text = render_report(summary)
    shown = "block_<wbr>1/<wbr>conv&lt;b&gt;1x1</a><small>Inner<wbr>Product</small>"
    assert f'<a href="#layer-0">{shown}' in text
    assert "overflow-wrap: anywhere" not in text  # which narrows columns to one letter


def test_heads_are_words_in_print(summary: Summary) -> None:
    """Browsers leave form controls out of the heads that they repeat on each printed page."""
    text = render_report(summary)
    for head in re.findall(r"<thead>.*?</thead>", text, re.DOTALL):
        assert not re.search("<(button|input|select)", head)
    assert "@media print" in text
    keys = set(re.findall(r'<span data-key="(\w+)">', text))
    assert keys == {"name", "index", "saturated", "flushed", "sqnr", "macs"}
    (body, *_) = re.findall("<tbody data-[^>]*>", text)
    assert all(f"data-{key}=" in body for key in keys)


def test_explanations_are_not_cut_with_wide_tables(summary: Summary) -> None:
    assert "<caption" not in render_report(summary)


def test_large_nets_stay_small(summary: Summary) -> None:
    summary["layers"] = [layer(f"inception_{i}/3x3") for i in range(60)]
    text = render_report(summary)
    assert len(text) < 3 << 20
    assert Page(text).tags.count("svg") >= 60


def test_write(summary: Summary, tmp_path: Path) -> None:
    write_report(summary, tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text("utf-8") == render_report(summary)
    with pytest.raises(FieldError):
        write_report({"format": "something else"}, tmp_path / "x.html")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
