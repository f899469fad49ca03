"""Layers and views of nets for the tests of recipes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf import text_format

from adaption.graph import NetState, build_spec
from adaption.net import Net
from adaption.proto import caffe_pb2


def layer_of(text: str, shape: Sequence[int]) -> Any:
    """One layer that reads a bottom of this shape."""
    dims = " ".join(f"dim: {n}" for n in shape)
    return (
        net_of(
            f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}'
            f' layer {{ name: "y" bottom: "x" top: "y" {text} }}'
        )
        .nodes[-1]
        .layer
    )


def net_of(text: str, phase: str = "TEST", seed: int = 0) -> Net:
    """A net of a prototxt's text."""
    message = text_format.Parse(text, caffe_pb2.NetParameter())
    return Net(build_spec(message, NetState(phase)), phase=phase, seed=seed)
