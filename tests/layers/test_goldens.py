"""Every layer against what the original ADaPTION computed; new cases are picked up."""

from __future__ import annotations

import numpy as np
import pytest

from tests.golden_cases import Case, cases, check

RANDOM = "dropout_train_random"


@pytest.mark.parametrize("case", [c for c in cases("layers") if c.id != RANDOM])
def test_layers(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", cases("lp_layers"))
def test_low_precision_layers(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", cases("round_fp"))
def test_rounding(case: Case) -> None:
    check(case, exact=True)


@pytest.mark.parametrize("case", [c for c in cases("layers") if c.id in (RANDOM, "missing")])
def test_random_dropout(case: Case) -> None:
    """The mask is drawn anew: each value is 0 or scaled, about as often, and so is its diff."""
    net = case.forward()
    x, y = case.arrays["in.x"], net.blobs["y"].data
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / 0.25, rtol=1e-6)
    # 64 draws that are kept with odds 1/4: 16 on average, deviation 3.5.
    assert 2 <= kept.sum() <= 34
    case.backward(net)
    want = np.where(kept, case.arrays["topdiff.y"] / 0.25, 0)
    np.testing.assert_allclose(net.blobs["x"].diff, want, rtol=1e-6)
