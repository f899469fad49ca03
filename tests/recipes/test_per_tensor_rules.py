"""The rules of per-tensor fixed point, against the figures of the paper's released program."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from adaption.errors import FieldError
from adaption.numerics import FixedPoint
from adaption.recipes import per_tensor_rules as rules
from adaption.recipes.per_tensor_statistics import patch_energy, power_step
from tests.recipes.nets import layer_of

# The ResNet-20 of the released program, 8 times as wide: noise gains, and what they were used for.
A_GAINS = (
    *(0.514729, 0.128972, 0.112114, 0.0731081, 0.0897527, 0.0769944, 0.0839371, 0.0637812),
    *(0.192215, 0.154415, 0.132652, 0.112686, 0.0850616, 0.0656614, 0.128648, 0.0650852),
    *(0.0215583, 0.00479986, 0.000782167),
)
W_GAINS = (
    *(2408.89, 980.265, 1222.58, 1624.38, 1519.67, 3049.83, 1465.91, 2147.51, 2741.23, 4961.36),
    *(4232.13, 4201.90, 7251.92, 2987.89, 2859.57, 2995.52, 5016.89, 4338.24, 1406.75, 1297.27),
    *(107.980, 8.30819),
)
A_OFFSETS = [int(x) for x in "5 4 4 3 3 3 3 3 4 4 4 4 3 3 4 3 2 1 0".split()]
W_OFFSETS = [
    int(x) for x in "11 10 10 10 10 11 10 11 11 11 11 11 12 11 11 11 11 11 10 10 9 7".split()
]
W_BITS = [
    int(x) for x in "14 13 13 13 13 14 13 14 14 14 14 14 15 14 14 14 14 14 13 13 12 10".split()
]
GW_BITS = [11, 12, 12, *[11] * 15, 12, 12, 14, 14]
GW_RANGES = [-2, -4, -4, *[-5] * 11, *[-6] * 7, -2]
ACC_BITS = [
    int(x) for x in "9 13 13 13 13 12 13 12 12 12 12 12 11 12 13 13 13 13 15 15 18 16".split()
]


def test_all_41_offsets_of_the_released_resnet() -> None:
    found = rules.offsets([*A_GAINS, *W_GAINS])
    assert found == [*A_OFFSETS, *W_OFFSETS]
    assert [x + 3 for x in found[19:]] == W_BITS  # B_min of its training arrays


def test_all_22_accumulators_of_the_released_resnet() -> None:
    found = [
        rules.accumulator_bits(w, 0.001, r + 1 - g)
        for w, g, r in zip(W_BITS, GW_BITS, GW_RANGES, strict=True)
    ]
    assert found == ACC_BITS


def test_offsets_take_ranges_in_and_leave_out_what_no_score_depends_on() -> None:
    assert rules.offsets([1.0, 16.0]) == [0, 2]
    assert rules.offsets([1.0, 16.0], [0, -2]) == [0, 0]
    assert rules.offsets([1.0, 16.0], [2, 0]) == [0, 0]
    assert rules.offsets([0.0, 4.0, 64.0]) == [0, 0, 2]
    assert rules.offsets([0.0, 0.0]) == [0, 0]
    # Half a bit is rounded up: log2 sqrt(2) = 0.5.
    assert rules.offsets([1.0, 2.0, 1.9999, 8.0]) == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("fmt", "grid"),
    [
        pytest.param(rules.signed(3, 0), [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75], id="signed"),
        pytest.param(rules.unsigned(3, 0), [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75], id="unsigned"),
        pytest.param(rules.signed(2, -3), [-0.125, -0.0625, 0, 0.0625], id="signed, r = 1/8"),
        pytest.param(rules.unsigned(1, 1), [0, 2], id="one bit"),
        pytest.param(rules.signed(1, 0), [-1, 0], id="one signed bit"),
    ],
)
def test_grids(fmt: FixedPoint, grid: list[float]) -> None:
    x = torch.linspace(-9, 9, 4001)
    assert fmt.quantize(x).unique().tolist() == grid
    assert fmt.lsb == grid[1] - grid[0]


@pytest.mark.parametrize(
    ("value", "signed", "unsigned"),
    [(0.125, 0.25, 0.25), (-0.125, -0.25, 0), (5, 0.75, 1.75), (-5, -1, 0), (0.124, 0, 0)],
)
def test_values_of_three_bits(value: float, signed: float, unsigned: float) -> None:
    x = torch.tensor(float(value))
    assert rules.signed(3, 0).quantize(x).item() == signed
    assert rules.unsigned(3, 0).quantize(x).item() == unsigned


@pytest.mark.parametrize(
    ("sigmas", "share"), [(1, 0.31731), (2, 0.04550), (3, 0.0027), (4, 6.33e-5)]
)
def test_gaussian_clip_rates(sigmas: float, share: float) -> None:
    assert rules.clipped_share(sigmas) == pytest.approx(share, rel=2e-3)  # as printed
    # The criterion: at most 5 % of weight gradients.
    assert rules.clipped_share(2) < 0.05


@pytest.mark.parametrize(("ratio", "bias"), [(1, 0.0862), (1 / 2, 0.0211), (1 / 8, 0.00130)])
def test_bias_of_the_first_level(ratio: float, bias: float) -> None:
    assert rules.lsb_bias(ratio) == pytest.approx(bias, rel=3e-3)  # as printed


def test_a_quarter_sigma_is_the_greatest_power_of_two_within_one_percent() -> None:
    assert rules.lsb_bias(1 / 4) == pytest.approx(0.005224, abs=5e-7)
    assert rules.lsb_bias(0.34542) == pytest.approx(0.01, abs=1e-6)
    assert rules.lsb_bias(1 / 2) > 0.01
    # The law of small steps, (LSB / sigma)^2 / 12.
    assert rules.lsb_bias(1 / 64) == pytest.approx(64**-2 / 12, rel=1e-3)
    # Against rounding itself.
    x = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).abs()
    first = x[(x >= 0.25) & (x < 0.75)]
    assert rules.lsb_bias(1 / 2) == pytest.approx(abs(0.5 - float(first.mean())) / 0.5, rel=0.05)


def test_clipping_of_gradients() -> None:
    assert rules.gradient_range_log2("weight_grad", 0.01) == -5
    assert rules.gradient_range_log2("activation_grad", 0.01) == -4
    assert rules.gradient_range_log2("weight_grad", 0.01, legacy=True) == -3
    assert rules.gradient_range_log2("activation_grad", 0.01, legacy=True) == -1


def test_rules_by_hand() -> None:
    assert rules.weight_grad_lsb_log2(2.95e-3) == -11  # the last layer of the MNIST net
    assert rules.activation_grad_lsb_log2(-11, 4.0) == -12
    assert rules.activation_grad_lsb_log2(-11, 4.0001) == -13
    # Weight 19 of the ResNet: 0.001 2^-17 = 7.63e-9, so 2^-27.
    assert rules.accumulator_lsb_log2(0.001, -17) == -27
    assert rules.bits_of(-13, -27) == 15
    assert rules.accumulator_bits(8, 1.0, -5) == 2  # updates wider than the weight's own step


def test_an_accumulator_gains_three_or_four_bits_by_a_decade_of_the_rate() -> None:
    bits = [rules.accumulator_bits(10, 10.0**-k, -14) for k in range(1, 6)]
    assert all(b - a in (3, 4) for a, b in pairwise(bits))


def test_half_the_batch_shifts_activation_gradients_and_keeps_their_bits() -> None:
    sigma, jacobian = 3e-4, 20.0
    before = rules.gradient_range_log2("activation_grad", sigma)
    after = rules.gradient_range_log2("activation_grad", 2 * sigma)
    lsb = [rules.activation_grad_lsb_log2(-12, j) for j in (jacobian, jacobian / 4)]
    assert after - before == 1 and lsb[1] - lsb[0] == 1


@pytest.mark.parametrize(
    ("least", "greatest", "want"),
    [(0, 2, (0, False)), (0, 1.0, (-1, False)), (0, 255 / 256, (-1, False)), (0, 255, (7, False)),
     (-1, 1, (0, True)), (-123.7, 151, (8, True)), (0, 6, (2, False)), (0, 0, (-1, False))],
)  # fmt: skip
def test_range_of_values(least: float, greatest: float, want: tuple[int, bool]) -> None:
    assert rules.range_log2(least, greatest) == want


def test_eight_bits_hold_pixels_over_256() -> None:
    r, is_signed = rules.range_log2(0, 255 / 256)
    fmt = rules.signed(8, r) if is_signed else rules.unsigned(8, r)
    pixels = torch.arange(256) / 256
    assert torch.equal(fmt.quantize(pixels), pixels)


def test_the_bound_falls_four_times_by_a_bit() -> None:
    gains, b = [1.54e4, 4302, 844, 507, 233, 62.8], [4, 3, 2, 2, 1, 0]
    bounds = [rules.bound(gains, [x + k for x in b]) for k in range(1, 9)]
    assert bounds[0] == pytest.approx(27.7, rel=2e-3)  # the paper's definition, as printed
    assert all(high / low == pytest.approx(4) for high, low in pairwise(bounds))


@pytest.mark.parametrize(
    "call",
    [
        lambda: rules.gradient_range_log2("weight_grad", 0.0),
        lambda: rules.weight_grad_lsb_log2(0.0),
        lambda: rules.activation_grad_lsb_log2(-3, math.inf),
        lambda: rules.accumulator_lsb_log2(0.0, -3),
    ],
)
def test_statistics_of_nothing_are_refused(call: object) -> None:
    with pytest.raises(FieldError, match="allowed: a number above 0"):
        call()  # type: ignore[operator]


def test_noise_of_activation_gradients_in_weight_gradients() -> None:
    """The identity behind criterion BQN, by Monte Carlo."""
    generator = torch.Generator().manual_seed(5)
    a = torch.rand(64, 20, generator=generator)
    lsb = 2.0**-6
    trace = 0.0
    draws = 400
    for _ in range(draws):
        noise = (torch.rand(64, 10, generator=generator) - 0.5) * lsb
        trace += float((noise.t() @ a).square().sum()) / draws
    layer = layer_of('type: "InnerProduct" inner_product_param { num_output: 10 }', (64, 20))
    energy = float(patch_energy(layer, a))
    assert energy == pytest.approx(float(a.double().square().sum(0).mean()), rel=1e-6)
    assert trace == pytest.approx(10 * 20 * energy * lsb**2 / 12, rel=0.02)
    direction, value = None, torch.zeros(())
    for _ in range(20):
        value, direction = power_step(layer, a, direction)
    singular = float(torch.linalg.svdvals(a.square())[0])
    assert float(value) == pytest.approx(singular, rel=1e-5)
    # The rule of the paper is not conservative without the sizes of the two gradients.
    assert singular < energy
