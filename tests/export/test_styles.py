"""The operators of an activation point equal FixedPoint.quantize, bit for bit."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from adaption.compare.probe import edge_values
from adaption.compare.sessions import Session
from adaption.errors import LayerError
from adaption.export.onnx.graph import OnnxGraph
from adaption.export.onnx.model import IR_VERSIONS, OPSETS
from adaption.export.onnx.styles import FloatStyle
from adaption.numerics import FixedPoint

FORMATS = [
    pytest.param(FixedPoint(16, 14), id="Q2.14"),
    pytest.param(FixedPoint(16, 15), id="Q1.15"),
    pytest.param(FixedPoint(8, 3), id="Q5.3"),
    pytest.param(FixedPoint(2, 0), id="Q2.0, codes -1 to 1"),
    pytest.param(FixedPoint(1, 0), id="Q1.0, zero only"),
    pytest.param(FixedPoint(23, 10), id="23 bits: sums of code and one half still fit"),
    pytest.param(FixedPoint(24, 12), id="24 bits: codes above 2^22 have no fraction"),
    pytest.param(FixedPoint(25, 0), id="25 bits: greatest code is no float32"),
    pytest.param(FixedPoint(32, 16), id="Q16.16"),
    pytest.param(FixedPoint(61, 30), id="bd 31 ad 30"),
    pytest.param(FixedPoint(8, -4), id="step of 16"),
    pytest.param(FixedPoint(8, 12), id="more fraction bits than bits"),
    pytest.param(FixedPoint(16, 126), id="smallest step"),
    pytest.param(FixedPoint(16, -100), id="greatest step"),
    pytest.param(FixedPoint(8, 4, range="full"), id="full range"),
    pytest.param(FixedPoint(8, 4, "half_even"), id="half even"),
    pytest.param(FixedPoint(8, 4, "half_even", range="full"), id="half even, full range"),
    pytest.param(FixedPoint(16, 8, "floor"), id="floor"),
]


def values(fmt: FixedPoint) -> np.ndarray:
    """Edge values, all ties near zero with both neighbours, and 1e5 random bit patterns."""
    ties = (np.arange(-300, 300) + 0.5) * fmt.lsb
    with np.errstate(over="ignore"):
        ties = ties.astype(np.float32)
    ties = ties[np.isfinite(ties)]
    around = [np.nextafter(ties, np.float32(side)) for side in (-np.inf, np.inf)]
    bits = np.random.default_rng(7).integers(0, 2**32, 100_000, dtype=np.uint32)
    return np.concatenate([edge_values(fmt), ties, *around, bits.view(np.float32)])


def rounded(fmt: FixedPoint, x: np.ndarray, opset: int = 18) -> np.ndarray:
    g = OnnxGraph(["x"])
    with g.scope("L"):
        y = FloatStyle().activation(g, "x", fmt)
    x_info, y_info = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n"]) for n in ("x", y))
    graph = helper.make_graph(g.nodes, "g", [x_info], [y_info], g.initializers())
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=IR_VERSIONS[opset],
    )
    onnx.checker.check_model(model, full_check=True)
    return Session(model, [y])({"x": x})[y]


@pytest.mark.parametrize("fmt", FORMATS)
def test_rounds_like_the_format_in_every_bit(fmt: FixedPoint) -> None:
    x = values(fmt)
    want = fmt.quantize(torch.from_numpy(x)).numpy()
    found = rounded(fmt, x)
    # onnxruntime 1.17 turns some -0 into 0; and of a range that is only zero, no sign is promised.
    if fmt.rounding == "floor" or fmt.max_code == 0:
        np.testing.assert_array_equal(found, want)
        return
    both_nan = np.isnan(want) & np.isnan(found)
    differs = (found.view(np.uint32) != want.view(np.uint32)) & ~both_nan
    assert not differs.any(), (x[differs][:5], found[differs][:5], want[differs][:5])


@pytest.mark.parametrize(
    "fmt",
    [FixedPoint(8, 4, is_signed=False), FixedPoint(16, 16, "half_even", is_signed=False)],
    ids=str,
)
def test_unsigned_formats_give_the_same_values(fmt: FixedPoint) -> None:
    """Equal as numbers: clamping -0 to 0 leaves the sign of zero to the machine."""
    x = values(fmt)
    want = fmt.quantize(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(rounded(fmt, x), want)


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_rounds_the_same(opset: int) -> None:
    x = values(FixedPoint(16, 8))
    np.testing.assert_array_equal(
        rounded(FixedPoint(16, 8), x, opset), rounded(FixedPoint(16, 8), x)
    )


def test_the_value_below_one_half_stays_below() -> None:
    """floor(x + 0.5) would give 1."""
    x = np.array([np.nextafter(np.float32(0.5), np.float32(0)), 0.5, -0.5, -0.0], np.float32)
    y = rounded(FixedPoint(8, 0), x)
    assert y.tolist() == [0.0, 1.0, -1.0, 0.0]
    assert np.signbit(y).tolist() == [False, False, True, True]


def test_stochastic_rounding_is_refused() -> None:
    with pytest.raises(LayerError, match="is rounded stochastic, which ONNX cannot compute") as e:
        FloatStyle().activation(OnnxGraph([]), "x", FixedPoint(8, 4, "stochastic"))
    assert "rounding_scheme: DETERMINISTIC" in e.value.fix


def test_edge_values_hold_ties_and_both_bounds() -> None:
    fmt = FixedPoint(8, 4)
    x = edge_values(fmt)
    assert x.dtype == np.float32
    for value in (0.5 * fmt.lsb, -0.5 * fmt.lsb, fmt.max_value, fmt.min_value, np.inf, -np.inf):
        assert value in x
    assert np.isnan(x).any()
    assert (x > fmt.max_value).any()
    assert (x < fmt.min_value).any()
