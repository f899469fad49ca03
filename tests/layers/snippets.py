"""Layers and nets from a few lines of prototxt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adaption.errors import AdaptionError
from adaption.graph import NetState, build_spec
from adaption.io import prototxt
from adaption.layers.base import Layer, build_layer
from adaption.net import Net
from adaption.proto import caffe_pb2

DEVICE = "cpu"  # of the layers that `forward` runs; see conftest.py


def layer_of(
    snippet: str, bottoms: int = 1, tops: int = 1, phase: str = "TEST", dialect: str = ""
) -> Layer:
    """The layer of `type: ...` and its parameters, with bottoms b0, b1, ... and tops t0, ...

    A snippet that names bottoms or tops itself keeps them.
    """
    if "bottom:" not in snippet:
        snippet += "".join(f' bottom: "b{i}"' for i in range(bottoms))
    if "top:" not in snippet:
        snippet += "".join(f' top: "t{i}"' for i in range(tops))
    blobs = _message(f'layer {{ name: "L" {snippet} }}').layer[0].bottom
    spec = _spec(snippet, {name: () for name in blobs}, phase).layers[-1]
    return build_layer(spec, dialect or None)


def net_of(
    snippet: str, inputs: Mapping[str, Any], phase: str = "TEST", header: str = "", **options: Any
) -> Net:
    """A net of Input layers that hold the arrays `inputs`, and the layer(s) of `snippet`."""
    arrays = {name: np.asarray(values, np.float32) for name, values in inputs.items()}
    spec = _spec(snippet, {name: a.shape for name, a in arrays.items()}, phase, header)
    net = Net(spec, **{"seed": 1, **options})
    for name, values in arrays.items():
        net.blobs[name].data[...] = values
    return net


def forward(snippet: str, *bottoms: Any, tops: int = 1) -> Any:
    """What the layer of `snippet`, one without blobs, makes of the arrays `bottoms`.

    Shapes are inferred first, as in a net, and must be those of the result.
    """
    arrays = [torch.as_tensor(np.asarray(b, np.float32)).to(DEVICE) for b in bottoms]
    layer = layer_of(snippet, len(arrays), tops)
    shapes = layer.top_shapes(*(tuple(a.shape) for a in arrays))
    made = layer.forward(*arrays)
    results = made if isinstance(made, tuple) else (made,)
    assert {t.device for t in results} == {a.device for a in arrays}
    found = [t.cpu().numpy() for t in results]
    assert [f.shape for f in found] == [tuple(s) for s in shapes]
    return found[0] if tops == 1 else found


def error_of(snippet: str, *shapes: tuple[int, ...], tops: int = 1) -> str:
    """The message of the error that building the layer for bottoms of these shapes gives."""
    try:
        layer_of(snippet, len(shapes), tops).top_shapes(*shapes)
    except AdaptionError as error:
        return str(error)
    raise AssertionError("no error")


def spread(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> Tensor:
    """Values from low to high in random order, float64: all distinct and, with an even count
    between opposite bounds, none of them 0."""
    count = int(np.prod(shape, dtype=np.int64))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    values = torch.linspace(low, high, count, dtype=torch.float64)
    return values[order].reshape(shape)


def _spec(snippet: str, inputs: Mapping[str, Sequence[int]], phase: str, header: str = "") -> Any:
    lines = [header]
    for name, shape in inputs.items():
        dims = " ".join(f"dim: {d}" for d in shape)
        lines.append(
            f'layer {{ name: "in_{name}" type: "Input" top: "{name}"'
            f" input_param {{ shape {{ {dims} }} }} }}"
        )
    own = snippet if "layer {" in snippet else f'layer {{ name: "L" {snippet} }}'
    return build_spec(_message("\n".join([*lines, own])), NetState(phase))


def _message(text: str) -> Any:
    message, notices = prototxt.parse(text).message(caffe_pb2.NetParameter)
    assert not notices, notices
    return message
