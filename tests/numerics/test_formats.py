"""FixedPoint: spec section 1 and its acceptance values, the laws, and the edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from adaption.errors import FieldError
from adaption.numerics import ROUNDINGS, FixedPoint

INF, NAN = math.inf, math.nan


def one(fmt: FixedPoint, value: float, dtype: torch.dtype = torch.float32) -> float:
    return float(fmt.quantize(torch.tensor(value, dtype=dtype)))


# -- the table of the spec -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "lsb", "max_value", "levels"),
    [
        ("2.2", 0.25, 1.75, 15),
        ("3.2", 0.25, 3.75, 31),
        ("1.7", 0.0078125, 0.9921875, 255),
        ("2.6", 0.015625, 1.984375, 255),
        ("1.15", 3.0517578125e-05, 0.999969482421875, 65535),
        ("2.14", 6.103515625e-05, 1.99993896484375, 65535),
        ("3.13", 0.0001220703125, 3.9998779296875, 65535),
        ("9.7", 0.0078125, 255.9921875, 65535),
        ("14.2", 0.25, 8191.75, 65535),
    ],
)
def test_table_of_the_spec(q: str, lsb: float, max_value: float, levels: int) -> None:
    fmt = FixedPoint.q(q)
    assert fmt.lsb == lsb
    assert fmt.max_value == max_value == -fmt.min_value
    assert fmt.max_code - fmt.min_code + 1 == levels
    assert one(fmt, 1e9) == max_value == -one(fmt, -1e9)
    assert str(fmt) == f"Q{q}"


Q22, Q32 = FixedPoint.q("2.2"), FixedPoint.q("3.2")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("fmt", "value", "want"),
    [
        (Q22, 0.1, 0.0),
        (Q22, 0.124, 0.0),
        (Q22, 0.125, 0.25),
        (Q22, 0.375, 0.5),
        (Q22, -0.125, -0.25),
        (Q22, 0.62, 0.5),
        (Q22, 1.7, 1.75),
        (Q22, 1.9, 1.75),
        (Q22, -5.0, -1.75),
        (Q32, -0.3, -0.25),
        (Q32, 1.24, 1.25),
        (Q32, 3.74, 3.75),
        (Q32, 3.9, 3.75),
        (Q32, 0.625, 0.75),
    ],
)
def test_acceptance_values_of_the_spec(
    fmt: FixedPoint, value: float, want: float, dtype: torch.dtype
) -> None:
    assert one(fmt, value, dtype) == want


# -- edges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fmt", "value", "want"),
    [
        pytest.param(FixedPoint(16, 0), 0.49999997, 0.0, id="just below one half"),
        pytest.param(FixedPoint(16, 0), -0.49999997, 0.0, id="just above minus one half"),
        pytest.param(FixedPoint(16, 0), 0.5, 1.0, id="a half goes up"),
        pytest.param(FixedPoint(16, 0), -0.5, -1.0, id="minus a half goes down"),
        pytest.param(FixedPoint(16, 0), 2.5, 3.0, id="no bankers' rounding"),
        pytest.param(FixedPoint(16, 0, "half_even"), 2.5, 2.0, id="half_even at 2.5"),
        pytest.param(FixedPoint(16, 0, "half_even"), 3.5, 4.0, id="half_even at 3.5"),
        pytest.param(FixedPoint(16, 0, "floor"), -0.1, -1.0, id="floor"),
        pytest.param(FixedPoint(32, 0), 2.0**23 - 0.5, 2.0**23, id="the last tie of float32"),
        pytest.param(FixedPoint(32, 0), 2.0**23 + 1, 2.0**23 + 1, id="an integer with lsb 1"),
        pytest.param(FixedPoint(32, 0), -(2.0**24) - 2, -(2.0**24) - 2, id="an integer with lsb 2"),
        pytest.param(FixedPoint(16, 14), INF, 2 - 2.0**-14, id="infinity saturates"),
        pytest.param(FixedPoint(16, 14), -INF, 2.0**-14 - 2, id="minus infinity saturates"),
        pytest.param(FixedPoint(16, 14), 3.4e38, 2 - 2.0**-14, id="scaling overflows"),
        pytest.param(FixedPoint(16, 14), 1e-45, 0.0, id="a denormal"),
        pytest.param(FixedPoint(16, 126), 1e-45, 0.0, id="a denormal, scaled up"),
        pytest.param(FixedPoint(16, 126), 2.0**-126, 2.0**-126, id="the least normal number"),
        pytest.param(FixedPoint(8, -4), 100.0, 96.0, id="negative frac_length"),
        pytest.param(FixedPoint(8, -4), 104.0, 112.0, id="negative frac_length, a tie"),
        pytest.param(FixedPoint(8, -4), 1e9, 127.0 * 16, id="negative frac_length saturates"),
        pytest.param(FixedPoint(4, 8), 1.0, 7 / 256, id="more fractional bits than bits"),
        pytest.param(FixedPoint(8, 4, is_signed=False), 15.9, 15.875, id="unsigned"),
        pytest.param(FixedPoint(8, 4, is_signed=False), 16.0, 15.9375, id="unsigned saturates"),
        pytest.param(FixedPoint(8, 4, is_signed=False), -3.0, 0.0, id="unsigned has no below"),
        pytest.param(FixedPoint(8, 4, range="full"), -9.0, -8.0, id="full range"),
        pytest.param(FixedPoint(8, 4, range="full"), 9.0, 7.9375, id="full range, top"),
        pytest.param(FixedPoint(8, 4), -9.0, -7.9375, id="symmetric range"),
        pytest.param(FixedPoint(1, 0), 5.0, 0.0, id="Q1.0 holds zero only"),
        pytest.param(FixedPoint(1, 0, range="full"), -5.0, -1.0, id="Q1.0 in full range"),
        pytest.param(FixedPoint(1, 0, is_signed=False), 0.7, 1.0, id="one bit"),
        pytest.param(FixedPoint(32, 16), 1e9, 32768.0, id="Q16.16 as in the original"),
        pytest.param(FixedPoint(31, 0), 1e10, 2.0**30, id="Q31.0 as in the original"),
        pytest.param(FixedPoint(31, 30), -9.0, -1.0, id="Q1.30 as in the original"),
        pytest.param(FixedPoint(64, 0), 1e30, 2.0**63, id="64 bits"),
        pytest.param(FixedPoint(64, 0, is_signed=False), 1e30, 2.0**64, id="64 bits, unsigned"),
    ],
)
def test_edge(fmt: FixedPoint, value: float, want: float) -> None:
    assert one(fmt, value) == want


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_nan_stays_nan(rounding: str) -> None:
    assert math.isnan(one(FixedPoint(16, 14, rounding), NAN))


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_infinities_saturate_in_every_rounding(rounding: str) -> None:
    got = FixedPoint(8, 4, rounding).quantize(torch.tensor([INF, -INF]))
    assert got.tolist() == [7.9375, -7.9375]


@pytest.mark.parametrize(
    ("fmt", "want"),
    [
        (FixedPoint(32, 16), 32768 - 2.0**-16),
        (FixedPoint(31, 0), 2.0**30 - 1),
        (FixedPoint(53, 0), 2.0**52 - 1),
    ],
)
def test_float64_holds_wide_words_exactly(fmt: FixedPoint, want: float) -> None:
    assert one(fmt, 1e30, torch.float64) == want == fmt.max_value
    assert one(fmt, want, torch.float64) == want


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (2, 3, 4)])
def test_shape_and_dtype_are_kept_and_x_is_not_touched(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    x = torch.full(shape, 0.3, dtype=dtype)
    for rounding in ROUNDINGS:
        y = FixedPoint(8, 4, rounding).quantize(x)
        assert (y.shape, y.dtype) == (x.shape, dtype)
        assert torch.equal(x, torch.full(shape, 0.3, dtype=dtype))


def test_non_contiguous_and_expanded_tensors() -> None:
    x = torch.arange(6.0).view(2, 3)
    fmt = FixedPoint(4, 0)
    assert torch.equal(fmt.quantize(x.T), fmt.quantize(x).T)
    assert torch.equal(fmt.quantize(x[:, :1].expand(2, 5)), fmt.quantize(x[:, :1]).expand(2, 5))


def test_quantize_has_no_gradient() -> None:
    assert not FixedPoint(8, 4).quantize(torch.ones(2, requires_grad=True)).requires_grad


def test_codes_are_the_integers() -> None:
    fmt = FixedPoint.q("3.2")
    assert fmt.codes(torch.tensor([0.3, -0.3, 3.9, -9.0])).tolist() == [1, -1, 15, -15]


# -- the value itself ----------------------------------------------------------------------------


def test_a_format_is_a_value() -> None:
    assert FixedPoint(16, 14) == FixedPoint.q("Q2.14") != FixedPoint(16, 14, "half_even")
    assert len({FixedPoint(16, 14), FixedPoint.q("2.14")}) == 1
    with pytest.raises(AttributeError):
        FixedPoint(16, 14).word_length = 8  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        ("Q2.14", FixedPoint(16, 14)),
        ("q2.14", FixedPoint(16, 14)),
        (" 2.14\n", FixedPoint(16, 14)),
        ("Q20.-4", FixedPoint(16, -4)),
        ("Q-2.10", FixedPoint(8, 10)),
        ("uQ4.4", FixedPoint(8, 4, is_signed=False)),
    ],
)
def test_q_reads_what_str_writes(text: str, fmt: FixedPoint) -> None:
    assert FixedPoint.q(text) == fmt
    assert FixedPoint.q(str(fmt)) == fmt


def test_str_says_unsigned() -> None:
    assert str(FixedPoint(8, 4, is_signed=False)) == "uQ4.4"


@pytest.mark.parametrize(
    ("make", "want"),
    [
        (lambda: FixedPoint(0, 0), "word_length is 0, allowed: 1..64"),
        (lambda: FixedPoint(65, 0), "word_length is 65, allowed: 1..64"),
        (lambda: FixedPoint(8, 127), "frac_length is 127, allowed: -127..126"),
        (lambda: FixedPoint(8, -128), "frac_length is -128, allowed: -127..126"),
        (
            lambda: FixedPoint(8, 4, "nearest"),
            "rounding is 'nearest', allowed: half_away, half_even, stochastic, floor",
        ),
        (lambda: FixedPoint(8, 4, range="wide"), "range is 'wide', allowed: symmetric, full"),
        (lambda: FixedPoint.q("Q1.-1"), "word_length is 0, allowed: 1..64"),
        (
            lambda: FixedPoint.q("16"),
            "Qm.f is '16', allowed: two integers such as \"Q2.14\" (the sign bit counts in m)\n"
            "  fix: write m and f with a point between: 16 bits may be Q2.14, Q9.7, ...",
        ),
        (
            lambda: FixedPoint.q("sQ4.4"),
            "Qm.f is 'sQ4.4', allowed: two integers such as \"Q2.14\" (the sign bit counts in m)\n"
            "  fix: did you mean Q4.4?",
        ),
    ],
)
def test_bad_format(make: Any, want: str) -> None:
    with pytest.raises(FieldError) as caught:
        make()
    assert str(caught.value) == want


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Q2,6", "Q2.6"),
        ("Q2-14", "Q2.14"),
        ("Q2.-1x", "Q2.-1"),
        ("uQ0:8", "uQ0.8"),
        ("8/8", "Q8.8"),
    ],
)
def test_a_format_that_is_nearly_right(text: str, meant: str) -> None:
    with pytest.raises(FieldError) as caught:
        FixedPoint.q(text)
    assert caught.value.fix == f"did you mean {meant}?" and str(FixedPoint.q(meant)) == meant


# -- laws ----------------------------------------------------------------------------------------

FLOATS = st.floats(width=32, allow_nan=False)
DETERMINISTIC = [name for name in ROUNDINGS if name != "stochastic"]
formats = st.builds(
    FixedPoint,
    word_length=st.integers(2, 32),
    frac_length=st.integers(-20, 40),
    rounding=st.sampled_from(DETERMINISTIC),
    is_signed=st.booleans(),
    range=st.sampled_from(["symmetric", "full"]),
)
tensors = st.lists(FLOATS, min_size=1, max_size=20).map(torch.tensor)


@given(formats, tensors)
def test_idempotent(fmt: FixedPoint, x: Tensor) -> None:
    y = fmt.quantize(x)
    assert torch.equal(fmt.quantize(y), y)


@given(formats, tensors)
def test_monotone(fmt: FixedPoint, x: Tensor) -> None:
    y = fmt.quantize(x.sort().values)
    assert bool((y.diff() >= 0).all())


@given(formats, tensors)
def test_on_the_grid_and_in_the_range(fmt: FixedPoint, x: Tensor) -> None:
    codes = fmt.quantize(x).double() / fmt.lsb
    assert torch.equal(codes, codes.round())
    # Words wider than 24 bits saturate at the float32 nearest to the greatest code.
    assert bool((codes <= np.float32(fmt.max_code)).all())
    assert bool((codes >= np.float32(fmt.min_code)).all())


@given(
    st.integers(1, 32), st.integers(-20, 40), st.sampled_from(["half_away", "half_even"]), tensors
)
def test_odd_symmetry(word: int, frac: int, rounding: str, x: Tensor) -> None:
    fmt = FixedPoint(word, frac, rounding)
    assert torch.equal(fmt.quantize(-x), -fmt.quantize(x))


@given(
    st.integers(2, 24), st.integers(-20, 40), st.sampled_from(["half_away", "half_even"]), tensors
)
def test_error_is_at_most_half_an_lsb_inside(
    word: int, frac: int, rounding: str, x: Tensor
) -> None:
    fmt = FixedPoint(word, frac, rounding)
    wide = x.double()
    inside = wide.abs() <= fmt.max_value
    error = (fmt.quantize(x).double() - wide).abs()[inside]
    assert bool((error <= fmt.lsb / 2).all())


@given(st.integers(2, 32), st.integers(-20, 40), st.sampled_from(DETERMINISTIC), tensors)
def test_one_fractional_bit_less_is_twice_the_format(
    word: int, frac: int, rounding: str, x: Tensor
) -> None:
    fine, coarse = (FixedPoint(word, f, rounding) for f in (frac, frac - 1))
    assert torch.equal(coarse.quantize(2 * x), 2 * fine.quantize(x))


@given(formats, tensors)
def test_float32_agrees_with_float64(fmt: FixedPoint, x: Tensor) -> None:
    """Where every code fits both. Denormals aside: scaled down they vanish, and floor sees it."""
    x = x[(x == 0) | (x.abs() >= 2.0**-100)]
    if fmt.word_length <= 24:
        assert torch.equal(fmt.quantize(x).double(), fmt.quantize(x.double()))


@given(st.integers(1, 24), st.integers(-20, 40), st.lists(FLOATS, min_size=1, max_size=20))
def test_half_away_is_the_formula_of_the_original(
    word: int, frac: int, values: list[float]
) -> None:
    """In exact integers: floor(|x| 2^f + 1/2) with the sign of x, then saturated."""
    fmt = FixedPoint(word, frac)
    for value, got in zip(values, fmt.quantize(torch.tensor(values)).tolist(), strict=True):
        if math.isinf(value):
            want = fmt.max_code
        else:
            n, d = abs(value).as_integer_ratio()
            n, d = (n << frac, d) if frac >= 0 else (n, d << -frac)
            want = min((2 * n + d) // (2 * d), fmt.max_code)
        assert got == math.copysign(want, value) * fmt.lsb
