"""Layers that remember go on from a saved state, bit for bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from adaption.errors import AdaptionError
from adaption.graph import NetState, build_spec
from adaption.layers.state import tensors_from_state, tensors_to_state
from adaption.net.net import Net
from adaption.proto import caffe_pb2

SEQUENCE = """layer { name: "x" type: "Input" top: "x" top: "cont"
  input_param { shape { dim: 3 dim: 2 dim: 4 } shape { dim: 3 dim: 2 } } }
layer { name: "it" type: "%s" bottom: "x" bottom: "cont" top: "y" %s }"""
FILL = 'weight_filler { type: "uniform" min: -1 max: 1 }'
NETS = {
    "LSTM": SEQUENCE % ("LSTM", f"recurrent_param {{ num_output: 5 {FILL} }}"),
    "RNN": SEQUENCE % ("RNN", f"recurrent_param {{ num_output: 5 {FILL} }}"),
    "SegAccuracy": """layer { name: "x" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 1 dim: 3 dim: 4 dim: 5 } shape { dim: 1 dim: 1 dim: 4 dim: 5 } } }
layer { name: "it" type: "SegAccuracy" bottom: "x" bottom: "label" top: "y"
  seg_accuracy_param { reset: false } }""",
    "MarginInnerProduct": f"""layer {{ name: "x" type: "Input" top: "x" top: "label"
  input_param {{ shape {{ dim: 2 dim: 4 }} shape {{ dim: 2 }} }} }}
layer {{ name: "it" type: "MarginInnerProduct" bottom: "x" bottom: "label" top: "y"
  margin_inner_product_param {{ num_output: 3 base: 1000 gamma: 0.1 power: 1 {FILL} }} }}""",
}


def net(text: str) -> Net:
    message = text_format.Parse(text, caffe_pb2.NetParameter())
    return Net(build_spec(message, NetState("TRAIN")), phase="TRAIN", seed=3)


def passes(made: Net, numbers: range) -> list[bytes]:
    found = []
    for number in numbers:
        rng = np.random.default_rng(number)
        x = rng.normal(size=made.blobs["x"].shape).astype(np.float32)
        other = made.inputs[0] if made.inputs[0] != "x" else made.inputs[1]
        y = made.forward({"x": x, other: rng.integers(0, 2, made.blobs[other].shape)})
        found.append(y["y"].cpu().numpy().tobytes())
    return found


@pytest.mark.parametrize("name", NETS)
def test_goes_on(name: str) -> None:
    text = NETS[name]
    whole = net(text)
    want = passes(whole, range(2))
    node = whole.nodes[whole.index("it")]
    state: dict[str, Any] = json.loads(json.dumps(node.layer.save_state(node.runtime)))
    want += passes(whole, range(2, 4))
    fresh = net(text)
    assert passes(fresh, range(2, 4)) != want[2:]
    node = fresh.nodes[fresh.index("it")]
    node.layer.load_state(node.runtime, state)
    assert passes(fresh, range(2, 4)) == want[2:]
    node.layer.load_state(node.runtime, {})
    assert node.layer.save_state(node.runtime) == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_come_back_as_they_were(dtype: torch.dtype) -> None:
    given = [torch.tensor([[0.1, -0.0, float("nan")]], dtype=dtype), torch.zeros(2, 0, dtype=dtype)]
    found = tensors_from_state("a", json.loads(json.dumps(tensors_to_state("a", given))))
    assert found is not None
    for want, tensor in zip(given, found, strict=True):
        assert (tensor.dtype, tensor.shape) == (want.dtype, want.shape)
        assert tensor.numpy().tobytes() == want.numpy().tobytes()


@pytest.mark.parametrize(
    "item",
    [
        {"type": "<f4", "shape": [2], "values": "AAAA"},
        {"type": "|O", "shape": [0], "values": ""},
        {"type": "<f4", "shape": [0], "values": "?"},
        {"shape": [0]},
        3,
    ],
)
def test_damaged_state(item: Any) -> None:
    with pytest.raises(AdaptionError) as caught:
        tensors_from_state("hidden", {"hidden": [item]})
    assert str(caught.value) == (
        f"hidden of the saved state is {[item]!r}, allowed: type, shape and values of each tensor"
    )
