"""The channels of a layer's tops, whatever its type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adaption.graph.spec import LayerSpec
from adaption.graph.widening import moves, passing, weights
from adaption.graph.widening.channels import Channels
from adaption.graph.widening.flow import Flow
from adaption.graph.widening.table import RULES

__all__ = ["follow"]

assert moves and passing and weights  # they fill RULES


def follow(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    """The channels of a layer's tops."""
    if not bottoms:
        return [_source(item, i) for i in range(len(item.tops))]
    default = passing.same if flow.keeps_channels(item) else _unknown
    return RULES.get(item.type, default)(flow, item, bottoms)


def _source(item: LayerSpec, top: int) -> Channels:
    """Data that comes from outside the net."""
    shapes: Sequence[Any] = {
        "Input": item.message.input_param.shape,
        "DummyData": item.message.dummy_data_param.shape,
    }.get(item.type, ())
    if not shapes:
        return Channels.fixed()
    dims = shapes[top if len(shapes) > 1 else 0].dim
    return Channels.fixed(int(dims[1]) if len(dims) > 1 else None, len(dims))


def _unknown(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    x = Channels.fixed().carrying(*bottoms)
    if not item.tops:
        flow.is_result(x, f'layer "{item.name}" ({item.type})')
    error = flow.error(
        "reads channels that get wider, and what this layer type does to them is unknown",
        "leave the net as it is, or end it before this layer",
    )
    return [x.troubled(error) if any(b.follows for b in bottoms) else x for _ in item.tops]
