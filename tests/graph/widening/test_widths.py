"""Widths: rounding, multiples, and equality through sums of joined channels."""

from __future__ import annotations

from fractions import Fraction

import pytest

from adaption.errors import LayerError
from adaption.graph.widening.channels import Piece, cut
from adaption.graph.widening.widths import Widths, widened

ERROR = LayerError("cannot be")


@pytest.mark.parametrize(
    ("count", "factor", "multiple", "want"),
    [
        pytest.param(64, "2", 1, 128, id="twice"),
        pytest.param(5, "1.5", 1, 8, id="7.5 goes to even"),
        pytest.param(5, "1.3", 1, 6, id="6.5 goes to even, as 13/10 and not as a float"),
        pytest.param(384, "1.3", 2, 500, id="499.2 is 499, halfway between 498 and 500: to even"),
        pytest.param(24, "1.3", 3, 30, id="31.2 is 31, nearer to 30 than to 33"),
        pytest.param(3, "0.5", 8, 8, id="at least one multiple"),
        pytest.param(20, "1", 8, 16, id="2.5 multiples go to two"),
        pytest.param(1, "0.1", 1, 1, id="at least one"),
    ],
)
def test_widened(count: int, factor: str, multiple: int, want: int) -> None:
    assert widened(count, Fraction(factor), multiple) == want


def settled(factor: str, **counts: int) -> Widths:
    made = Widths(Fraction(factor))
    for name, count in counts.items():
        made.add(name, count)
    return made


def test_equal_widths_share_their_multiples() -> None:
    widths = settled("1.3", a=24, b=24, c=24)
    a, b, c = (Piece.of(name, 24) for name in "abc")
    widths.is_multiple(a, 3, ERROR)
    widths.are_equal([a], [b], ERROR)
    widths.are_equal([b], [c], ERROR)
    widths.is_multiple(c, 4, ERROR)
    assert widths.settle() == {"a": 36, "b": 36, "c": 36}  # 31.2 is 31, nearer to 36 than to 24


def test_a_sum_with_joined_channels_decides_the_width() -> None:
    """64 channels are added to 40 and 24: 1.3 * 64 = 83, but 52 + 31 = 83 only by luck; at 1.1
    they are 44 + 26 = 70, not 70.4."""
    widths = settled("1.7", a=41, b=24, c=65)
    a, b, c = Piece.of("a", 41), Piece.of("b", 24), Piece.of("c", 65)
    widths.are_equal([c], [a, b], ERROR)
    widths.is_multiple(c, 2, ERROR)
    assert widths.settle() == {"a": 70, "b": 40, "c": 110}


def test_limits_that_cross_make_totals_equal() -> None:
    def pair(factor: str) -> Widths:
        widths = settled(factor, a=10, b=20, c=15, d=15)
        a, b, c, d = (Piece.of(n, k) for n, k in zip("abcd", (10, 20, 15, 15), strict=True))
        widths.are_equal([a, b], [c, d], ERROR)
        return widths

    assert pair("2").settle() == {"a": 20, "b": 40, "c": 30, "d": 30}
    made = pair("1.3").settle()  # what is free gives way: a follows from the other three
    assert made["a"] + made["b"] == made["c"] + made["d"]


def test_a_fixed_piece_equals_no_width() -> None:
    widths = settled("2", a=3)
    with pytest.raises(LayerError, match="cannot be"):
        widths.are_equal([Piece.of("a", 3)], [Piece.fixed(3)], ERROR)


def test_what_must_be_whole_is_checked() -> None:
    widths = settled("1.5", a=5)
    widths.is_whole(Piece.of("a", 5).times(Fraction(2, 5)), ERROR)
    with pytest.raises(LayerError, match="cannot be"):
        widths.settle()  # 8 * 2 / 5
    widths = settled("2", a=5)
    widths.is_whole(Piece.of("a", 5).times(Fraction(2, 5)), ERROR)
    assert widths.settle() == {"a": 10}


def test_cut() -> None:
    a, b = Piece.of("a", 4), Piece.of("b", 6)
    parts = cut([a, b], [4, 7])
    assert parts == [(a,), (b.times(Fraction(1, 2)),), (b.times(Fraction(1, 2)),)]
    assert cut([a, b], [11]) is None
    assert cut([a, Piece.fixed(None)], [1]) is None
