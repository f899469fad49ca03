"""Rules that choose Qm.f. Source of the tables: the ADaPTION specification, 6.1 and 6.2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adaption.errors import FieldError
from adaption.numerics import FixedPoint, sqnr_db
from adaption.options import Formats
from adaption.precision.rules import RULES, Settings, choose, rule
from adaption.precision.statistics import TensorStats


def stats_of(values: object) -> TensorStats:
    made = TensorStats.counting_above()
    made.update(torch.as_tensor(values, dtype=torch.float32))
    return made


def settings_of(bits: int, **choices: Any) -> Settings:
    return Settings(bits, formats=Formats(**choices))


def format_of(name: str, stats: TensorStats, bits: int, threshold: float = 0.0) -> FixedPoint:
    return choose(name, stats, settings_of(bits, threshold=threshold)).format


DIGITS = list(range(100))
SPARSE = [0.0] * 9 + [100.0]


@pytest.mark.parametrize(
    ("values", "threshold", "q"),
    [
        ([0.4], 0, "Q1.15"),
        ([0.5], 0, "Q1.15"),
        ([1.0], 0, "Q1.15"),
        ([1.01], 0, "Q2.14"),
        ([2.0], 0, "Q2.14"),
        ([2.5], 0, "Q3.13"),
        ([9.4], 0, "Q5.11"),
        ([100], 0, "Q8.8"),
        ([600], 0, "Q11.5"),
        ([-8, 0.3], 0, "Q1.15"),
        (DIGITS, 0.01, "Q6.10"),
        (DIGITS, 0.05, "Q6.10"),
        (DIGITS, 0.1, "Q6.10"),
        (DIGITS, 0.2, "Q6.10"),
        (DIGITS, 0.5, "Q5.11"),
        (SPARSE, 0.1, "Q6.10"),
    ],
)
def test_legacy_rule_gives_the_originals_table(
    values: list[float], threshold: float, q: str
) -> None:
    assert str(format_of("adaption-legacy", stats_of(values), 16, threshold)) == q


def test_legacy_rule_equals_the_recorded_helper(shared: Path) -> None:
    recorded = np.load(shared / "golden/quantization/get_qmf.npz")
    for i, (bits, m, f) in enumerate(recorded["nbits_m_f"]):
        found = format_of("adaption-legacy", stats_of(recorded[f"x.{i}"]), int(bits), 0.0)
        assert (found.int_length - 1, found.frac_length + 1) == (m, f), f"row {i}"


@pytest.mark.parametrize(
    ("values", "threshold", "q"),
    [
        pytest.param([0.4], 0, "Q1.15", id="below one"),
        pytest.param([1.0], 0, "Q2.14", id="a power of two does not fit its own exponent"),
        pytest.param([0.9999999], 0, "Q1.15", id="less than one LSB beyond the top code is within"),
        pytest.param([9.4], 0, "Q5.11", id="as the original where it is right"),
        pytest.param([-8.1, 0.3], 0, "Q5.11", id="max-abs, not max"),
        pytest.param([-8.0, 0.3], 0, "Q5.11", id="acceptance 10.4: Q4.12 or wider"),
        pytest.param(DIGITS, 0.5, "Q7.9", id="36 % lie beyond 64, 68 % beyond 32"),
        pytest.param(DIGITS, 0.2, "Q8.8", id="the promised share is honoured"),
        pytest.param(SPARSE, 0.1, "Q8.8", id="zeros do not dilute the share"),
        pytest.param([0.0], 0, "Q1.15", id="all zero"),
        pytest.param([70000.0], 0, "Q18.-2", id="negative f where the word is too short"),
    ],
)
def test_corrected_rule(values: list[float], threshold: float, q: str) -> None:
    assert str(format_of("adaption", stats_of(values), 16, threshold)) == q


@pytest.mark.parametrize("bits", [2, 8, 16])
def test_corrected_rule_keeps_its_promise(bits: int) -> None:
    x = torch.randn(5000, generator=torch.Generator().manual_seed(bits)) * 20
    for threshold in (0.0, 0.001, 0.01, 0.1, 0.5):
        fmt = format_of("adaption", stats_of(x), bits, threshold)
        top = 2.0 ** (fmt.int_length - 1)
        assert float((x.abs() >= top).float().mean()) <= threshold
        if fmt.int_length > 1:
            assert float((x.abs() >= top / 2).float().mean()) > threshold


def test_non_finite_values_are_refused() -> None:
    with pytest.raises(FieldError) as caught:
        format_of("adaption", stats_of([1.0, float("nan")]), 16)
    assert str(caught.value).startswith("values is 'NaN or infinite', allowed: finite numbers\n")


@pytest.mark.parametrize(
    ("values", "q"),
    [
        pytest.param([0.8, -0.3], "Q1.7", id="below one"),
        pytest.param([1.0], "Q1.7", id="a power of two saturates by one LSB"),
        pytest.param([1.01], "Q2.6", id="just above it"),
        pytest.param([0.06], "Q-3.11", id="small: more bits of fraction than the word has"),
        pytest.param([-300.0, 2.0], "Q10.-2", id="large: max-abs, negative f"),
        pytest.param([0.0, 0.0], "Q1.7", id="all zero"),
        pytest.param([1e-40], "Q-99.107", id="denormal: as far as the format goes"),
    ],
)
def test_max_rule(values: list[float], q: str) -> None:
    assert str(format_of("max", stats_of(values), 8)) == q


def test_percentile_rule() -> None:
    stats = stats_of([*[0.0] * 5000, *np.linspace(0.001, 0.98, 999), 100.0])
    for percent, q in ((100, "Q8.0"), (99.9, "Q1.7"), (25, "Q-1.9")):
        choice = choose("percentile", stats, settings_of(8, percentile=percent))
        assert str(choice.format) == q, percent
    assert choice.reason.startswith("25 % of the non-zero magnitudes are up to 0.24")
    assert choice.effect is not None and choice.effect.saturated > 0.1


@pytest.mark.parametrize("bits", [3, 4, 6, 8, 12])
@pytest.mark.parametrize("shape", ["normal", "laplace", "rectified", "heavy"])
def test_sqnr_rule_finds_the_best_frac_length(shape: str, bits: int) -> None:
    rng = np.random.default_rng(bits)
    x = {
        "normal": rng.normal(size=20000),
        "laplace": rng.laplace(size=20000) * 0.01,
        "rectified": np.maximum(rng.normal(size=20000), 0) * 30,
        "heavy": rng.standard_t(2, size=20000),
    }[shape].astype(np.float32)
    tensor = torch.from_numpy(x)
    fmt = format_of("sqnr", stats_of(x), bits)
    found = {
        f: sqnr_db(tensor, FixedPoint(bits, f).quantize(tensor))
        for f in range(fmt.frac_length - 6, fmt.frac_length + 7)
    }
    # Told from a histogram: where two are as good as each other it may take the second best.
    assert max(found.values()) - found[fmt.frac_length] < 0.15


@pytest.mark.parametrize(
    ("values", "bits", "unsigned", "q", "reason"),
    [
        pytest.param(
            [-1, 1], 2, False, "Q2.0", "2^1 has the best SQNR and covers max-abs 1", id="binary"
        ),
        pytest.param([-1, 0, 1], 2, False, "Q2.0", None, id="ternary"),
        pytest.param([-0.5, 0, 0.5], 2, False, "Q1.1", None, id="ternary halves"),
        pytest.param([-3, 0, 3], 3, False, "Q3.0", None, id="threes"),
        pytest.param([-0.9, 0.9], 2, False, "Q2.0", None, id="below the power"),
        pytest.param([0, 1], 2, False, "Q2.0", None, id="spikes"),
        pytest.param([0, 1], 1, True, "uQ1.0", None, id="spikes without a sign"),
        pytest.param([0, 1], 8, False, "Q2.6", None, id="spikes in 8 bits"),
        pytest.param(
            [*(n / 64 for n in range(-40, 41)), 1.0], 8, False, "Q2.6", None, id="on a grid, with 1"
        ),
        pytest.param(
            [*(n / 128 for n in range(-127, 128))], 8, False, "Q1.7", None, id="on its own grid"
        ),
        pytest.param([256, 1, -3], 9, False, "Q9.0", None, id="one saturates rather"),
        pytest.param(
            [*np.linspace(-0.7, 0.7, 999), 1.0], 8, False, "Q1.7",
            "2^0 has the best SQNR and saturates max-abs 1 to 0.992188", id="worth a saturated one",
        ),
        pytest.param([0, 0], 8, False, "Q1.7", None, id="zeros"),
        pytest.param([-0.0, 0.0], 8, False, "Q1.7", None, id="signed zeros"),
    ],
)  # fmt: skip
def test_sqnr_rule_where_the_greatest_value_is_a_power_of_two(
    values: list[float], bits: int, unsigned: bool, q: str, reason: str | None
) -> None:
    """One format above max-abs was never tried, and +-1 at 2 bits was halved."""
    stats = stats_of(values)
    choice = choose("sqnr", stats, Settings(bits, formats=Formats(unsigned=unsigned)))
    assert str(choice.format) == q
    if reason is not None:
        assert choice.reason == reason
    x = torch.as_tensor(values, dtype=torch.float32)
    best = max(
        sqnr_db(x, FixedPoint(bits, f, is_signed=choice.format.is_signed).quantize(x))
        for f in range(-4, 14)
    )
    mine = sqnr_db(x, choice.format.quantize(x))
    assert mine == best or mine > best - 0.2  # the histogram's own error


def test_max_rule_says_what_saturates() -> None:
    choice = choose("max", stats_of([-1, 1]), Settings(2))
    assert choice.reason == "max-abs 1 <= 2^0, which saturates it to 0.5"
    assert "saturates" not in choose("max", stats_of([-0.4, 0.3]), Settings(8)).reason


def test_unused_sign_bit_is_reported_and_used_on_request() -> None:
    stats = stats_of([0.0, 3.0, 100.0])
    signed = choose("max", stats, Settings(8))
    assert (str(signed.format), signed.format.is_signed) == ("Q8.0", True)
    assert signed.reason == "max-abs 100 <= 2^7, never negative: the sign bit is unused"
    unsigned = choose("max", stats, settings_of(8, unsigned=True))
    assert (str(unsigned.format), unsigned.format.max_value) == ("uQ7.1", 127.5)
    assert choose("max", stats_of([-1.0, 2.0]), settings_of(8, unsigned=True)).format.is_signed


def test_every_rule_is_deterministic_and_gives_its_effect() -> None:
    x = torch.randn(3000, generator=torch.Generator().manual_seed(5))
    for name in RULES:
        first, second = (choose(name, stats_of(x), Settings(6)) for _ in range(2))
        assert first == second
        assert first.effect is not None and first.range == (float(x.min()), float(x.max()))


def test_registry_refuses_a_second_rule_of_a_name() -> None:
    with pytest.raises(FieldError, match="rule is 'max', allowed: a name that is not taken"):
        rule("max")(RULES["sqnr"])
    with pytest.raises(FieldError) as caught:
        choose("mean", stats_of([1.0]), Settings())
    assert str(caught.value) == (
        "rule is 'mean', allowed: adaption, adaption-legacy, max, percentile, sqnr"
    )


def test_legacy_rule_with_a_threshold_needs_its_counts() -> None:
    stats = TensorStats.of(torch.tensor([9.0]))
    assert str(format_of("adaption-legacy", stats, 16)) == "Q5.11"
    with pytest.raises(FieldError, match=r"with a threshold, a measurement made for it"):
        format_of("adaption-legacy", stats, 16, 0.1)
