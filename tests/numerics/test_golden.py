"""FixedPoint against golden/round_fp, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from adaption.numerics import FixedPoint, quantize_ste
from adaption.proto import caffe_pb2
from tests.golden_cases import Case, cases


@pytest.mark.parametrize("case", cases("round_fp"))
def test_round_fp(case: Case) -> None:
    net = text_format.Parse(case.prototxt.read_text(), caffe_pb2.NetParameter())
    param = next(item.lpfp_param for item in net.layer if item.type == "LPAct")
    rounding = "floor" if param.rounding_scheme == param.STOCHASTIC else "half_away"
    fmt = FixedPoint(param.bd + param.ad, param.ad, rounding)
    (x,), (want,) = case.group("in").values(), case.group("out").values()
    leaf = torch.from_numpy(x).requires_grad_()
    y = quantize_ste(leaf, fmt)
    np.testing.assert_array_equal(y.detach().numpy(), want)
    if case.meta["backward"]:
        (top,), (bottom,) = case.group("topdiff").values(), case.group("bottomdiff").values()
        y.backward(torch.from_numpy(top))
        assert leaf.grad is not None
        np.testing.assert_array_equal(leaf.grad.numpy(), bottom)
