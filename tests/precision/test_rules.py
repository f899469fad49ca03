"""Rules that choose Qm.f. Source of the tables: the ADaPTION specification, 6.1 and 6.2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.errors import FieldError
from adaption.precision.rules import RULES
from adaption.precision.statistics import TensorStats


def stats_of(values: object) -> TensorStats:
    made = TensorStats.counting_above()
    made.update(torch.as_tensor(values, dtype=torch.float32))
    return made


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
    assert str(RULES["adaption-legacy"](stats_of(values), 16, threshold).format) == q


def test_legacy_rule_equals_the_recorded_helper(shared: Path) -> None:
    recorded = np.load(shared / "golden/quantization/get_qmf.npz")
    for i, (bits, m, f) in enumerate(recorded["nbits_m_f"]):
        found = RULES["adaption-legacy"](stats_of(recorded[f"x.{i}"]), int(bits), 0.0).format
        assert (found.int_length - 1, found.frac_length + 1) == (m, f), f"row {i}"


@pytest.mark.parametrize(
    ("values", "threshold", "q"),
    [
        pytest.param([0.4], 0, "Q1.15", id="below one"),
        pytest.param([1.0], 0, "Q2.14", id="a power of two does not fit its own exponent"),
        pytest.param([0.9999999], 0, "Q1.15", id="less than one LSB beyond the top code is within"),
        pytest.param([9.4], 0, "Q5.11", id="as the original where it is right"),
        pytest.param([-8.1, 0.3], 0, "Q5.11", id="max-abs, not max"),
        pytest.param(DIGITS, 0.5, "Q7.9", id="36 % lie beyond 64, 68 % beyond 32"),
        pytest.param(DIGITS, 0.2, "Q8.8", id="the promised share is honoured"),
        pytest.param(SPARSE, 0.1, "Q8.8", id="zeros do not dilute the share"),
        pytest.param([0.0], 0, "Q1.15", id="all zero"),
        pytest.param([70000.0], 0, "Q18.-2", id="negative f where the word is too short"),
    ],
)
def test_corrected_rule(values: list[float], threshold: float, q: str) -> None:
    assert str(RULES["adaption"](stats_of(values), 16, threshold).format) == q


@pytest.mark.parametrize("bits", [2, 8, 16])
def test_corrected_rule_keeps_its_promise(bits: int) -> None:
    x = torch.randn(5000, generator=torch.Generator().manual_seed(bits)) * 20
    for threshold in (0.0, 0.001, 0.01, 0.1, 0.5):
        fmt = RULES["adaption"](stats_of(x), bits, threshold).format
        top = 2.0 ** (fmt.int_length - 1)
        assert float((x.abs() >= top).float().mean()) <= threshold
        if fmt.int_length > 1:
            assert float((x.abs() >= top / 2).float().mean()) > threshold


def test_non_finite_values_are_refused() -> None:
    with pytest.raises(FieldError) as caught:
        RULES["adaption"](stats_of([1.0, float("nan")]), 16, 0.0)
    assert str(caught.value).startswith("values is 'NaN or infinite', allowed: finite numbers\n")
