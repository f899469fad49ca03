"""Shared exponents: the identities, worked examples and trends of S-DFP's specification."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from adaption.errors import FieldError, NonFiniteError
from adaption.numerics import DynamicFixed, FixedPoint, number_format, parse_format, sqnr_db
from adaption.numerics.formats.dynamic import _DeviceGrid


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fixed(fmt: DynamicFixed, x: Tensor) -> FixedPoint:
    grid = fmt.at(x)
    assert isinstance(grid, FixedPoint)
    return grid


# -- worked examples (P = 8) ---------------------------------------------------------------------

X = torch.tensor([0.9, -0.31, 0.04, 0.0031])


@pytest.mark.parametrize(
    ("bias", "exponent", "codes", "values", "largest"),
    [
        (-2, -9, [127, -127, 20, 2], [0.248047, -0.248047, 0.0390625, 0.00390625], 0.248047),
        (-1, -8, [127, -79, 10, 1], [0.496094, -0.308594, 0.0390625, 0.00390625], 0.496094),
        (0, -7, [115, -40, 5, 0], [0.898438, -0.3125, 0.0390625, 0], 0.992188),
        (1, -6, [58, -20, 3, 0], [0.90625, -0.3125, 0.046875, 0], 1.984375),
    ],
)
def test_worked_example(
    bias: int, exponent: int, codes: list[int], values: list[float], largest: float
) -> None:
    fmt = DynamicFixed(8, bias)
    grid = fixed(fmt, X)
    assert grid.frac_length == -exponent
    assert grid.codes(X).tolist() == codes
    assert fmt.quantize(X).tolist() == pytest.approx(values, abs=1e-6)
    assert grid.max_value == pytest.approx(largest, abs=1e-6)


def test_what_rounds_up_beyond_the_greatest_code_saturates() -> None:
    x = torch.tensor([0.999, -0.5])
    grid = fixed(DynamicFixed(8), x)
    assert (grid.codes(x).tolist(), grid.frac_length) == ([127, -64], 7)


def test_dot_product_of_the_example() -> None:
    a, w = torch.tensor([1.5, -0.75, 0.3]), torch.tensor([0.2, 0.05, -0.11])
    fmt = DynamicFixed(8)
    ga, gw = fixed(fmt, a), fixed(fmt, w)
    assert ga.codes(a).tolist() == [96, -48, 19] and ga.frac_length == 6
    assert gw.codes(w).tolist() == [102, 26, -56] and gw.frac_length == 9
    assert int((ga.codes(a) * gw.codes(w)).sum()) == 7480
    assert float((fmt.quantize(a) * fmt.quantize(w)).sum()) == 7480 * 2.0**-15 == 0.228271484375


# -- identities ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rounding", ["half_even", "half_away", "stochastic"])
@pytest.mark.parametrize("bias", [-2, -1, 0, 1])
def test_scaling_by_a_power_of_two_moves_the_exponent_alone(bias: int, rounding: str) -> None:
    fmt = DynamicFixed(6, bias, rounding)
    for k in (-20, -3, 5, 30):
        x = normal(500, seed=k + 40)
        a, b = fixed(fmt, x), fixed(fmt, x * 2.0**k)
        assert b.frac_length == a.frac_length - k
        draws = [torch.Generator().manual_seed(1) for _ in range(2)]
        assert torch.equal(a.codes(x, draws[0]), b.codes(x * 2.0**k, draws[1]))


def test_negating_negates_the_codes() -> None:
    x = normal(1000)
    grid = fixed(DynamicFixed(5, -1), x)
    assert torch.equal(grid.codes(-x), -grid.codes(x))


@pytest.mark.parametrize("bits", [2, 3, 4, 8, 16])
def test_idempotence(bits: int) -> None:
    x = normal(2000, seed=bits)
    plain, shifted = DynamicFixed(bits), DynamicFixed(bits, -1)
    assert torch.equal(plain.quantize(plain.quantize(x)), plain.quantize(x))
    held = fixed(shifted, x)
    once = held.quantize(x)
    assert torch.equal(held.quantize(once), once)
    # Saturation has lowered the maximum: with an exponent of its own the tensor changes again.
    assert not torch.equal(shifted.quantize(once), once)


@pytest.mark.parametrize("bits", [4, 8])
def test_integer_dot_products_are_exact(bits: int) -> None:
    fmt = DynamicFixed(bits, -1)
    a, w = normal(300), normal(300, seed=1) / 100
    ga, gw = fixed(fmt, a), fixed(fmt, w)
    codes = int((ga.codes(a).long() * gw.codes(w).long()).sum())
    exact = math.ldexp(codes, -(ga.frac_length + gw.frac_length))
    assert exact == float((fmt.quantize(a).double() * fmt.quantize(w).double()).sum())


@pytest.mark.parametrize("rounding", ["half_even", "stochastic"])
def test_error_is_bounded_where_nothing_saturates(rounding: str) -> None:
    x = normal(5000)
    grid = fixed(DynamicFixed(5, -1, rounding), x)
    error = (grid.quantize(x, torch.Generator().manual_seed(2)) - x).abs()[grid.inside(x)]
    assert float(error.max()) <= grid.lsb * (0.5 if rounding == "half_even" else 1.0)


def test_stochastic_rounding_is_unbiased() -> None:
    x = torch.full((100_000,), 0.3)
    x[0] = 0.5  # gives the step: 2^-2 with 3 bits
    fmt = DynamicFixed(3, rounding="stochastic")
    assert fixed(fmt, x).lsb == 0.25
    y = fmt.quantize(x, torch.Generator().manual_seed(0))[1:]
    assert float(y.mean()) == pytest.approx(0.3, abs=0.002)


def test_zeros() -> None:
    fmt = DynamicFixed(8, -1)
    zeros = torch.zeros(3)
    assert fixed(fmt, zeros).frac_length == 0
    assert torch.equal(fmt.quantize(zeros), zeros)
    assert fmt.quantize(torch.zeros(0)).shape == (0,)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_inf_and_nan_are_refused(bad: float) -> None:
    with pytest.raises(NonFiniteError, match="the greatest magnitude is"):
        DynamicFixed(8).quantize(torch.tensor([1.0, bad]))


def test_exponents_are_limited() -> None:
    tiny, huge = torch.tensor([1e-44]), torch.tensor([3e38])
    assert fixed(DynamicFixed(8), tiny).frac_length == 126
    assert torch.equal(DynamicFixed(8).quantize(tiny), torch.zeros(1))
    assert fixed(DynamicFixed(2), huge).frac_length == -127
    limited = DynamicFixed(8, min_exponent=-6, max_exponent=-2)
    assert fixed(limited, torch.tensor([100.0])).frac_length == 2
    assert fixed(limited, torch.tensor([0.001])).frac_length == 6


def test_exponents_of_exact_powers_come_from_frexp() -> None:
    """floor(log2(x)) of float32 neighbours of 2^k is off by one where log2 rounds."""
    for k in (-100, -1, 0, 23, 100):
        power = torch.tensor([2.0**k])
        below = torch.nextafter(power, torch.zeros(1))
        assert fixed(DynamicFixed(8), power).frac_length == -(k - 6)
        assert fixed(DynamicFixed(8), below).frac_length == -(k - 7)


def test_other_ranges() -> None:
    x = torch.tensor([-1.0, 0.99, 0.5])
    assert fixed(DynamicFixed(3, range="full"), x).codes(x * 4).tolist() == [-4, 3, 3]
    unsigned = DynamicFixed(3, is_signed=False)
    assert fixed(unsigned, x.abs()).lsb == 0.25  # all three bits hold the magnitude
    assert unsigned.quantize(x).tolist() == [0.0, 1.0, 0.5]


FORMATS = [
    *(DynamicFixed(8), DynamicFixed(4, -1), DynamicFixed(6, 2), DynamicFixed(8, is_signed=False)),
    *(DynamicFixed(5, range="full"), DynamicFixed(8, -1, "half_away")),
]


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_a_step_that_stays_on_a_device_gives_the_same_values(fmt: DynamicFixed) -> None:
    for scale in (1e-42, 1e-30, 1e-3, 1.0, 1000.0, 3e38, 0.0):
        x = normal(1000, seed=3)
        x = x / x.abs().max() * scale
        grid = _DeviceGrid(fmt, fmt.peak(x))
        assert torch.equal(grid.quantize(x), fmt.quantize(x))
        assert torch.equal(grid.inside(x), fmt.inside(x))
    assert _DeviceGrid(fmt, torch.tensor(math.nan)).quantize(x).isnan().all()


# -- trends --------------------------------------------------------------------------------------


def tensor(name: str, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    if name == "Gaussian":
        return torch.randn(10**6, generator=g)
    if name == "uniform":
        return torch.rand(10**6, generator=g) * 2 - 1
    signs = torch.randint(0, 2, (10**6,), generator=g) * 2.0 - 1
    if name == "Laplace":
        return -torch.rand(10**6, generator=g).clamp_min(1e-30).log() * signs
    return torch.exp(2 * torch.randn(10**6, generator=g)) * signs


def sqnr(name: str, bits: int, bias: int, seed: int = 0) -> float:
    x = tensor(name, seed)
    return sqnr_db(x, DynamicFixed(bits, bias).quantize(x))


@pytest.mark.parametrize(
    ("name", "bits", "want"),
    [
        ("Gaussian", 8, (8.15, 19.17, 40.44, 34.87, 28.85)),
        ("Gaussian", 4, (7.03, 15.48, 16.80, 10.79, 4.81)),
        ("Laplace", 8, (8.55, 17.02, 32.52, 31.89, 25.87)),
        ("Laplace", 4, (7.49, 13.84, 13.85, 8.29, 3.51)),
        ("uniform", 8, (1.73, 3.72, 8.93, 48.06, 42.14)),
    ],
)
def test_a_bias_of_minus_one_is_a_free_bit_for_bells(
    name: str, bits: int, want: tuple[float, ...]
) -> None:
    """The maximum is random, and the exponent changes where it crosses a power of two: a row holds
    for one of a few draws, within 1 dB."""
    rows = [[sqnr(name, bits, bias, seed) for bias in range(-3, 2)] for seed in range(4)]
    assert any(all(abs(a - b) <= 1 for a, b in zip(row, want, strict=True)) for row in rows), rows


def test_log_normal() -> None:
    want = (6.7, 9.9, 13.9, 12.1, 9.5)
    for bias, expected in zip(range(-3, 2), want, strict=True):
        mean = sum(sqnr("log-normal", 8, bias, seed) for seed in range(5)) / 5
        assert mean == pytest.approx(expected, abs=2)


# -- texts and messages --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        ("DFP8", DynamicFixed(8)),
        ("DFP8-1", DynamicFixed(8, -1)),
        ("DFP4+2", DynamicFixed(4, 2)),
        ("uDFP6", DynamicFixed(6, is_signed=False)),
    ],
)
def test_texts(text: str, fmt: DynamicFixed) -> None:
    assert str(fmt) == text and parse_format(text) == fmt
    assert number_format(**fmt.to_dict()) == fmt


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ({"word_length": 1}, "word_length is 1, allowed: 2..32 with a shared exponent"),
        ({"word_length": 33}, "word_length is 33, allowed: 2..32 with a shared exponent"),
        ({"word_length": 8, "exponent_bias": -1}, "exponent_bias is -1, allowed: 0 with kind"
         " DYNAMIC_FIXED\n  fix: write kind: SHIFTED_DYNAMIC_FIXED"),
        ({"word_length": 8, "min_exponent": -127}, "min_exponent is -127, allowed: -126..127"),
        ({"word_length": 8, "min_exponent": 3, "max_exponent": 2}, "min_exponent is 3, allowed: at"
         " most 2"),
        ({"word_length": 8, "frac_length": 3}, "frac_length is 3, allowed: nothing with kind"
         " DYNAMIC_FIXED (word_length, exponent_bias, rounding, is_signed, range, mask_saturated,"
         " min_exponent, max_exponent, delayed)"),
        ({}, "word_length is 'not set', allowed: a number with kind DYNAMIC_FIXED"),
    ],
)  # fmt: skip
def test_bad_formats(values: dict[str, int], want: str) -> None:
    with pytest.raises(FieldError) as caught:
        number_format(kind="DYNAMIC_FIXED", **values)
    assert str(caught.value) == want
