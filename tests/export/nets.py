"""Nets from prototxt text with seeded weights, and models run as a user would run them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch

from adaption.graph import NetState, build_spec
from adaption.io import prototxt
from adaption.io.netfile import from_document
from adaption.net import Net

Array = npt.NDArray[Any]


def net_of(text: str, *, seed: int = 0, phase: str = "TEST", **options: Any) -> Net:
    """The net that `text` describes; blobs that no filler has filled get normal values."""
    file = from_document(prototxt.parse(text))
    net = Net(build_spec(file.message, NetState(phase)), seed=seed, **options)
    generator = torch.Generator().manual_seed(seed)
    for node in net.nodes:
        for blob in node.masters:
            values = torch.randn(blob.shape, generator=generator) * 0.3
            if node.spec.type == "BatchNorm":
                values = values.abs() + 0.5
            blob.write(values.numpy())
    return net


def input_layer(name: str, *shape: int) -> str:
    dims = " ".join(f"dim: {d}" for d in shape)
    shape = f"input_param {{ shape {{ {dims} }} }}"
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" {shape} }}\n'


def layer(name: str, bottoms: str, tops: str, text: str) -> str:
    wires = [f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()]
    return f'layer {{ name: "{name}" {" ".join(wires)} {text} }}\n'


IP = 'type: "InnerProduct" inner_product_param { num_output: 5 }'
TRAIN_VAL = (
    'layer { name: "mnist" type: "DummyData" top: "data" top: "label" dummy_data_param {'
    " shape { dim: 2 dim: 3 dim: 8 dim: 8 } shape { dim: 2 } } }\n"
    + layer("ip", "data", "ip", IP)
    + layer("twice", "label", "l2", 'type: "Power" power_param { scale: 1 }')
    + layer("loss", "ip l2", "loss", 'type: "SoftmaxWithLoss"')
    + layer("accuracy", "ip label", "accuracy", 'type: "Accuracy"')
)


def samples(net: Net, count: int | None = None, seed: int = 1) -> dict[str, Array]:
    """Normal values for every input; `count` samples for those that hold a batch."""
    rng = np.random.default_rng(seed)
    shapes = {name: net.blobs[name].shape for name in net.inputs}
    batch = next(iter(shapes.values()))[:1]
    values = {}
    for name, shape in shapes.items():
        if count is not None and shape and shape[:1] == batch:
            shape = (count, *shape[1:])
        values[name] = np.asarray(rng.standard_normal(shape), np.float32)
    return values


def run_model(path: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wanted = {i.name for i in session.get_inputs()}
    names = [o.name for o in session.get_outputs()]
    given = {name: array for name, array in inputs.items() if name in wanted}
    return dict(zip(names, session.run(names, given), strict=True))


def node_of(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(n for n in model.graph.node if n.name == name)


def constant_of(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(t for t in model.graph.initializer if t.name == name)
