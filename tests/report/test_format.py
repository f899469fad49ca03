"""Numbers as people read them in a report."""

from __future__ import annotations

import pytest

from adaption.report.format import typeset

MINUS = "\u2212"


@pytest.mark.parametrize(
    "text",
    ["~1", "~0.02 points", "~<0.01 points", "~inf", "1e~07", "~2.5e~3", "2^~14", "[~3,~1]",
     "(~1, 2)", "x=~1", "~3 to ~1", "uQ2.~3", "Q~1.~9", "a ~7.", "~12 dB"],
)  # fmt: skip
def test_numbers_below_zero_have_a_minus(text: str) -> None:
    assert typeset(text.replace("~", "-")) == text.replace("~", MINUS)


@pytest.mark.parametrize(
    "text",
    ["2026-11-29", "29-11", "1-3", "conv2-3", "conv-2", "conv_-1", "res2a-1e-3", "fire2/-1",
     "top-1", "DFP8-1", "8-bit", "1-3, 5-7", "v1.0-2", "conv1-3x3", "a-1/b-2", "2^-f", "half-even",
     "1 - 2"],
)  # fmt: skip
def test_hyphens_of_dates_ranges_and_names_stay(text: str) -> None:
    assert typeset(text) == text


def test_what_was_not_measured_is_a_dash() -> None:
    assert typeset("-") == "–"
