"""WRPN's grids: the identities and worked values of its specification."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from adaption.errors import FieldError
from adaption.numerics import (
    BinaryWeight,
    FixedPoint,
    Format,
    Wrpn,
    number_format,
    parse_format,
    quantize_ste,
)


def weight(bits: int) -> Format:
    fmt = number_format(kind="WRPN", word_length=bits)
    assert fmt is not None
    return fmt


def activation(bits: int) -> Format:
    fmt = number_format(kind="WRPN", word_length=bits, is_signed=False)
    assert fmt is not None
    return fmt


W = torch.tensor([-1.7, -1, -0.51, -0.5, -0.49, -0.1, 0, 0.2, 0.34, 0.5, 0.7, 0.93, 1.2])
A = torch.tensor([-0.3, 0, 0.1, 0.17, 0.25, 0.4, 0.5, 0.6, 0.84, 1, 3.2])


@pytest.mark.parametrize(
    ("fmt", "x", "want"),
    [
        (weight(2), W, [-1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]),
        (weight(3), W, [-1, -1, -0.6667, -0.6667, -0.3333, 0, 0, 0.3333, 0.3333, 0.6667, 0.6667, 1,
                        1]),
        (weight(4), W, [-1, -1, -0.5714, -0.5714, -0.4286, -0.1429, 0, 0.1429, 0.2857, 0.5714,
                        0.7143, 1, 1]),
        (activation(1), A, [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]),
        (activation(2), A, [0, 0, 0, 0.3333, 0.3333, 0.3333, 0.6667, 0.6667, 1, 1, 1]),
        (activation(4), A, [0, 0, 0.1333, 0.2, 0.2667, 0.4, 0.5333, 0.6, 0.8667, 1, 1]),
    ],
    ids=lambda v: str(v) if isinstance(v, FixedPoint) else "",
)  # fmt: skip
def test_worked_values(fmt: Format, x: Tensor, want: list[float]) -> None:
    assert fmt.quantize(x).tolist() == pytest.approx(want, abs=5e-5)


def test_one_bit_is_the_sign_times_the_mean_magnitude() -> None:
    w = torch.tensor([0.5, -0.25, 0.1, -0.75])
    fmt = weight(1)
    assert isinstance(fmt, BinaryWeight)
    assert fmt.quantize(w).tolist() == pytest.approx([0.4, -0.4, 0.4, -0.4])
    assert fmt.quantize(torch.zeros(3)).tolist() == [0, 0, 0]
    assert fmt.codes(torch.tensor([0.0, -0.0])).tolist() == [1, 1]
    rows = number_format(kind="WRPN", word_length=1, per_filter=True)
    assert rows is not None
    made = rows.quantize(torch.tensor([[0.5, -0.25], [0.1, -0.7]]))
    assert made.flatten().tolist() == pytest.approx([0.375, -0.375, 0.4, -0.4])


@pytest.mark.parametrize("bits", range(2, 17))
def test_levels_of_weights(bits: int) -> None:
    x = torch.linspace(-1, 1, 200_001)
    levels = weight(bits).quantize(x).unique()
    n = 2 ** (bits - 1) - 1
    assert float(levels[-1]) == 1.0 == -float(levels[0])
    if bits <= 10:
        assert len(levels) == 2 * n + 1


@pytest.mark.parametrize("bits", range(1, 9))
def test_levels_of_activations(bits: int) -> None:
    levels = activation(bits).quantize(torch.linspace(0, 1, 10_001)).unique()
    n = 2**bits - 1
    assert len(levels) == n + 1 and float(levels[-1]) == 1.0
    # i / n by division, not by a product with the reciprocal.
    assert torch.equal(levels, torch.arange(n + 1) / n)


ALL = [*map(weight, range(2, 17)), *map(activation, range(1, 17))]


@pytest.mark.parametrize("fmt", ALL, ids=str)
def test_idempotent_and_odd(fmt: Format) -> None:
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    y = fmt.quantize(x)
    assert torch.equal(fmt.quantize(y), y)
    assert isinstance(fmt, FixedPoint)
    low = -1 if fmt.is_signed else 0
    assert torch.equal(y, torch.round(fmt.divisor * x.clamp(low, 1)) / fmt.divisor)
    if fmt.is_signed:
        assert torch.equal(fmt.quantize(-x), -y)
    else:
        assert (y[x <= 0] == 0).all() and (y[x >= 1] == 1).all()


def test_sums_are_sums_of_codes() -> None:
    w, x = torch.randn(200, dtype=torch.float64), torch.rand(200, dtype=torch.float64)
    for k in (2, 3, 4, 8):
        fw, fa = weight(k), activation(k)
        assert isinstance(fw, Wrpn) and isinstance(fa, Wrpn)
        codes = int((fw.codes(w) * fa.codes(x)).sum())
        exact = codes / (fw.divisor * fa.divisor)
        assert float((fw.quantize(w) * fa.quantize(x)).sum()) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("fmt", [weight(3), activation(2)], ids=str)
def test_the_gradient_is_one_inside_the_closed_interval(fmt: Format) -> None:
    x = torch.tensor([-1.5, -1.0, -0.3, 0.0, 0.4, 1.0, 1.01], requires_grad=True)
    quantize_ste(x, fmt).sum().backward()
    low = -1 if str(fmt).startswith("W") else 0
    assert x.grad is not None
    assert x.grad.tolist() == [float(low <= v <= 1) for v in x.tolist()]


@pytest.mark.parametrize("text", ["W2", "W8", "A1", "A4", "W1"])
def test_texts(text: str) -> None:
    fmt = parse_format(text)
    assert str(fmt) == text
    assert number_format(**fmt.to_dict()) == fmt


def test_in_place_and_stochastic() -> None:
    x = torch.randn(1000)
    fmt = weight(3)
    assert torch.equal(fmt.quantize_(x.clone()), fmt.quantize(x))
    assert torch.equal(fmt.quantize_(x.clone(), then_relu=True), fmt.quantize(x).relu())
    drawn = number_format(kind="WRPN", word_length=3, rounding="STOCHASTIC")
    assert drawn is not None and drawn.is_random
    y = drawn.quantize(torch.full((100_000,), 0.5), torch.Generator().manual_seed(1))
    assert sorted(y.unique().tolist()) == pytest.approx([1 / 3, 2 / 3])
    assert float(y.mean()) == pytest.approx(0.5, abs=0.003)


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ({"word_length": 17}, "word_length is 17, allowed: 2..16 with WRPN"),
        ({"word_length": 0}, "word_length is 0, allowed: 2..16 with WRPN"),
        ({"word_length": 2, "per_filter": True}, "per_filter is True, allowed: false, except for"
         " weights of one bit"),
        ({"word_length": 2, "range": "FULL"}, "range is 'full', allowed: nothing with kind WRPN"
         " (word_length, rounding, is_signed, mask_saturated)"),
    ],
)  # fmt: skip
def test_bad_formats(values: dict[str, object], want: str) -> None:
    with pytest.raises(FieldError) as caught:
        number_format(kind="wrpn", **values)
    assert str(caught.value) == want
