"""Differences of two arrays: the same whether they are found the short way or the long one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from adaption.compare.gaps import count_differing, gap_between
from adaption.compare.passes import _Top
from adaption.exact.reference import greatest_finite
from adaption.export.onnx.graph import Array

A = np.array([0.0, -0.0, 1.5, -7.0, math.inf, math.nan], np.float32)
B = np.array([0.0, 0.0, 1.25, 7.0, math.inf, math.nan], np.float32)


def _plainly(a: Array, b: Array) -> list[float]:
    """The definition, value by value."""
    out = []
    for x, y in zip(a.astype(float), b.astype(float), strict=True):
        same = x == y or (math.isnan(x) and math.isnan(y))
        gap = 0.0 if same else abs(x - y)
        out.append(math.inf if math.isnan(gap) else gap)
    return out


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param(A, B, id="odd values"),
        pytest.param(A[:4], B[:4], id="finite"),
        pytest.param(A, A, id="equal but for NaN"),
        pytest.param(A[:5], A[:5], id="equal"),
        pytest.param(A, A[::-1], id="infinity and NaN against numbers"),
        pytest.param(A[4:5], -A[4:5], id="infinities of two signs"),
        pytest.param(A[:0], A[:0], id="nothing"),
        pytest.param(np.float32([3e38]), np.float32([-3e38]), id="beyond float32"),
    ],
)
def test_gap(a: Array, b: Array) -> None:
    want = _plainly(a, b)
    assert gap_between(a, b).tolist() == want
    assert count_differing(a, b) == sum(x != 0 for x in want)
    top = _Top("conv1", "Convolution", "conv1", "conv1", "conv1", None)
    top.add(a, b)
    assert (top.count, top.differing) == (len(b), count_differing(a, b))
    assert (top.total_error, top.max_error) == (sum(want), max(want, default=0.0))


def test_one_number_without_axes() -> None:
    assert gap_between(np.array(A[2]), np.array(B[2])).max(initial=0.0) == 0.25


def test_another_shape_differs_everywhere() -> None:
    assert gap_between(A[:3], B).tolist() == [math.inf] * 6
    assert count_differing(A[:3], B) == 6


@pytest.mark.parametrize(
    ("values", "want"),
    [([1.0, -3.0], 3.0), ([1.0, math.nan, -math.inf], 1.0), ([math.nan], 0.0), ([], 0.0)],
)
def test_greatest_finite(values: list[float], want: float) -> None:
    assert greatest_finite(torch.tensor(values)) == want
