"""The rows of another package beside ours, in the table of fine-tuning at few bits."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import adaption
from adaption.numerics import FixedPoint

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "scripts/tables"
NET = """
name: "small"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2
    weight_filler { type: "msra" } } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1"
  scale_param { bias_term: true filler { value: 1.5 } bias_filler { value: 0.25 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "sum" type: "Eltwise" bottom: "conv1" bottom: "conv2" top: "sum" }
layer { name: "relu2" type: "ReLU" bottom: "sum" top: "sum" }
layer { name: "pool" type: "Pooling" bottom: "sum" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


def test_rows_of_brevitas_are_left_out_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main: Callable[[], int] = runpy.run_path(str(TABLES / "finetune_bits.py"))["main"]
    monkeypatch.setitem(main.__globals__, "find_spec", lambda name: None)
    arguments = ["finetune_bits.py", str(tmp_path), "-o", str(tmp_path), "--only", "brevitas:2:1"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert main() == 0
    assert "brevitas:2:1 left out: needs the package brevitas" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.filterwarnings("ignore:brevitas.fx:DeprecationWarning", "ignore:fast_hadamard")
def test_brevitas_begins_with_the_float_net(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("brevitas", reason="needs the package brevitas")
    monkeypatch.syspath_prepend(str(TABLES))
    from brevitas_net import BrevitasNet, accuracy_of, trained

    path = tmp_path / "net.prototxt"
    path.write_text(NET, "utf-8")
    net = adaption.Net(path, seed=1)
    blobs = next(node for node in net.nodes if node.spec.name == "bn1").masters
    with torch.no_grad():
        for blob, values in zip(blobs, ([30.0, 10, -20, 5], [100.0] * 4, [2.0]), strict=True):
            blob.tensor.copy_(torch.tensor(values))
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(2)) * 100
    scores = net.forward({"data": images})["prob"]
    results = {"relu1": FixedPoint(16, 8, is_signed=False), "conv2": FixedPoint(16, 8)}
    for is_power_of_two in (True, False):
        made = BrevitasNet(net, 16, results, is_power_of_two=is_power_of_two)
        classes = scores.argmax(1)
        trained(made, iter([]), [images], 0)
        made.eval()
        with torch.no_grad():
            found = made(images).softmax(1)
        torch.testing.assert_close(found, scores, rtol=0, atol=2e-3)
        assert accuracy_of(made, [(images, classes)]) == 100
        before = [x.detach().clone() for x in made.parameters()]
        trained(made, iter([(images, classes)]), [images], 1)
        assert any(not torch.equal(x, y) for x, y in zip(before, made.parameters(), strict=True))
