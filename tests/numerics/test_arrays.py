"""Arrays are rounded as tensors are, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adaption.numerics import DynamicFixed, FixedPoint
from adaption.numerics.arrays import is_plain, quantize_array


def values(fmt: FixedPoint) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Of the format's range and beyond, ties, and the ends of float32."""
    rng = np.random.default_rng(1)
    ties = rng.integers(-(2**20), 2**20, 500) * 0.5 * fmt.lsb
    odd = [0.0, -0.0, 0.49999997, -0.49999997, 1e-30, -1e-38, 3e38, -3e38]
    return np.concatenate([rng.normal(0, fmt.max_value, 2000), ties, odd]).astype(np.float32)


@pytest.mark.parametrize("rounding", ["half_away", "half_even"])
@pytest.mark.parametrize("limits", ["symmetric", "full"])
@pytest.mark.parametrize(("bits", "frac"), [(2, 0), (4, 7), (8, -5), (8, 3), (16, 14), (24, 30)])
def test_bits_are_those_of_the_tensor(bits: int, frac: int, limits: str, rounding: str) -> None:
    fmt = FixedPoint(bits, frac, rounding, range=limits)
    x = values(fmt)
    assert is_plain(fmt)
    want = fmt.quantize(torch.from_numpy(x.copy())).numpy()
    assert quantize_array(fmt, x).tobytes() == want.tobytes()


def test_other_formats_are_left_to_torch() -> None:
    assert not is_plain(FixedPoint(8, 3, "stochastic"))
    assert not is_plain(FixedPoint(32, 3))
    assert not is_plain(FixedPoint(8, 3, is_signed=False))
    assert not is_plain(DynamicFixed(8))
    fmt = FixedPoint(8, 3, is_signed=False)
    x = np.array([-1, 0.3, 99], np.float32)
    assert quantize_array(fmt, x).tolist() == [0.0, 0.25, 31.875]
    assert x.tolist() == [-1, np.float32(0.3), 99]
