"""Style qonnx: Quant operators that any word length fits, run here by QONNX's definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from adaption.errors import LayerError
from adaption.export.onnx import export_onnx
from adaption.export.onnx.qonnx import DOMAIN
from tests.export.nets import input_layer, layer, net_of, samples

ROUND = {
    "ROUND": np.round,
    "FLOOR": np.floor,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
}


class Quant(OpRun):
    """qonnx/custom_op/general/quant.py, functions quant, min_int and max_int."""

    op_domain = DOMAIN

    def _run(
        self, x: Any, scale: Any, zeropt: Any, bitwidth: Any, *,
        signed: int, narrow: int, rounding_mode: str,
    ) -> tuple[Any]:  # fmt: skip
        low = -(2 ** (bitwidth - 1)) + narrow if signed else 0
        high = 2 ** (bitwidth - 1) - 1 if signed else 2**bitwidth - 1 - narrow
        y = ROUND[rounding_mode](np.clip(x / scale + zeropt, low, high))
        return (((y - zeropt) * scale).astype(np.float32),)


def net_text(weight: str, activation: str) -> str:
    conv = 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 }'
    point = f"precision_param {{ activation {{ kind: FIXED {activation} }} }}"
    return (
        input_layer("data", 2, 3, 6, 6)
        + layer("a0", "data", "data", f'type: "LPAct" {point}')
        + layer("c", "data", "c", f"{conv} precision_param {{ weight {{ kind: FIXED {weight} }} }}")
        + layer("a1", "c", "c", f'type: "LPAct" {point}')
        + layer("r", "c", "c", 'type: "ReLU"')
        + layer(
            "ip", "c", "ip",
            'type: "InnerProduct" inner_product_param { num_output: 3 } precision_param {'
            f" weight {{ kind: FIXED {weight} }} bias {{ kind: FIXED {weight} }} }}",
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("weight", "activation"),
    [
        pytest.param("word_length: 4 frac_length: 3", "word_length: 3 frac_length: 1", id="short"),
        pytest.param("word_length: 8 frac_length: 7", "word_length: 8 frac_length: 4", id="8 bits"),
        pytest.param(
            "word_length: 11 frac_length: 12", "word_length: 13 frac_length: -1", id="odd lengths"
        ),
        pytest.param(
            "word_length: 6 frac_length: 5 range: FULL",
            "word_length: 5 frac_length: 2 is_signed: false rounding: HALF_EVEN",
            id="unsigned, full range",
        ),
        pytest.param(
            "word_length: 2 frac_length: 1 rounding: STOCHASTIC",
            "word_length: 7 frac_length: 3 rounding: FLOOR",
            id="weights rounded at random",
        ),
    ],
)
def test_quant_equals_the_net(weight: str, activation: str, tmp_path: Path) -> None:
    net = net_of(net_text(weight, activation))
    report = export_onnx(net, tmp_path / "net.onnx", style="qonnx")
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model)
    assert {o.domain: o.version for o in model.opset_import} == {"": 18, DOMAIN: 1}
    assert sum(n.op_type == "Quant" for n in model.graph.node) == 5
    inputs = samples(net)
    (found,) = ReferenceEvaluator(model, new_ops=[Quant]).run(None, inputs)
    if "STOCHASTIC" in weight:  # drawn anew by every pass of the net
        assert any("rounded once" in note for note in report.notes)
        assert np.isfinite(found).all()
        return
    want = net.forward({n: torch.from_numpy(x) for n, x in inputs.items()})["ip"]
    # short sums in another order, and no tie near by
    np.testing.assert_allclose(found, want.numpy(), atol=1e-5)


def test_random_activations_are_refused(tmp_path: Path) -> None:
    text = net_text(
        "word_length: 8 frac_length: 7", "word_length: 8 frac_length: 4 rounding: STOCHASTIC"
    )
    with pytest.raises(LayerError, match=r'layer "a0" .*is rounded stochastic, which QONNX cannot'):
        export_onnx(net_of(text), tmp_path / "net.onnx", style="qonnx")
    assert not (tmp_path / "net.onnx").exists()
