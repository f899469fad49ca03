"""Word lengths for all points, per kind, per layer or pattern."""

from __future__ import annotations

import pytest

from adaption.errors import FieldError
from adaption.net import Point
from adaption.options import Bits, WordLengths

POINTS = [
    Point(layer, kind)
    for layer in ("conv1", "conv1_2", "fc6")
    for kind in ("weight", "bias", "activation")
]


@pytest.mark.parametrize(
    ("given", "want"),
    [
        pytest.param(8, [8] * 9, id="one for all"),
        pytest.param(["12"], [12] * 9, id="as text"),
        pytest.param([8, "activation=16"], [8, 8, 16] * 3, id="a kind"),
        pytest.param([8, "conv1=4"], [4, 4, 4, *[8] * 6], id="a layer"),
        pytest.param([8, "conv*:weight=6"], [6, 8, 8, 6, 8, 8, 8, 8, 8], id="pattern and kind"),
        pytest.param([8, "conv1=float"], [None] * 3 + [8] * 6, id="a layer in float"),
        pytest.param([8, "activation=float"], [8, 8, None] * 3, id="a kind in float"),
        pytest.param(["*=float", "fc6=4"], [None] * 6 + [4] * 3, id="all but one in float"),
        pytest.param(["conv*=6", "weight=4"], [4, 6, 6] * 2 + [4, 16, 16], id="the last counts"),
    ],
)
def test_lengths_by_point(given: Bits, want: list[int | None]) -> None:
    lengths = WordLengths.parse(given)
    assert [lengths.of(p) for p in POINTS] == want
    lengths.check_used(POINTS)
    assert WordLengths.parse(str(lengths).split(", ")) == lengths


@pytest.mark.parametrize("item", ["eight", "float", "conv1=x", "=8", "activation:8", ""])
def test_what_is_no_word_length(item: str) -> None:
    with pytest.raises(FieldError) as caught:
        WordLengths.parse([item])
    assert str(caught.value) == (
        f"bits is {item!r}, allowed: a word length, KIND=LENGTH, PATTERN=LENGTH or"
        " PATTERN:KIND=LENGTH\n"
        "  fix: write 8, activation=16, conv1*=12, conv1*:weight=6 or conv1=float (kinds:"
        " weight, bias, activation)"
    )


def test_a_pattern_that_fits_nothing() -> None:
    with pytest.raises(FieldError) as caught:
        WordLengths.parse([8, "fc7:weight=4"]).check_used(POINTS)
    assert str(caught.value) == (
        "bits is 'fc7:weight=4', allowed: patterns of the layers conv1, conv1_2, fc6\n"
        "  fix: did you mean 'fc6'?"
    )
    why = {"fc6": "last classifier, its result stays float"}
    kinds = [p for p in POINTS if p != Point("fc6", "activation")]
    with pytest.raises(FieldError) as caught:
        WordLengths.parse([8, "fc6:activation=4"]).check_used(kinds, why)
    assert str(caught.value) == (
        "bits is 'fc6:activation=4', allowed: points that are rounded: of layer \"fc6\" last"
        " classifier, its result stays float\n  fix: leave it out"
    )
    with pytest.raises(FieldError, match=r"bits is 25, allowed: 2\.\.24"):
        WordLengths.parse([8, "fc6=25"])
