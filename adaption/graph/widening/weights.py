"""Layers with weights: most mix all the channels that they read and make new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from adaption.graph.spec import LayerSpec
from adaption.graph.widening.channels import Channels
from adaption.graph.widening.flow import OTHER_FACTOR, Flow
from adaption.graph.widening.table import axis_of, rule


@rule("Convolution", "LPConvolution", "DepthwiseConvolution", "Deconvolution")
def _convolution(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    param = item.message.convolution_param
    x = flow.are_equal(bottoms, "has one weight for")
    if x.follows and x.trouble is None and x.axis != axis_of(param.axis, x):
        x = x.troubled(flow.error("reads channels that get wider along a spatial axis"))
    group = int(param.group)
    if group > 1 and x.follows and x.count is None and x.trouble is None:
        x = x.troubled(flow.error("reads in groups some channels whose number is unknown"))
    if group > 1 and group == x.count:
        return _depthwise(flow, item, x, int(param.num_output))
    flow.is_read([x])
    top = flow.makes(int(param.num_output), 1 if x.axis is None else x.axis, x.rank)
    if group > 1:
        fact = f"its {group} groups cannot divide the channels"
        error = flow.error(fact, OTHER_FACTOR)
        for one in (x, top):
            if flow.is_strict and one.follows:
                flow.widths.is_multiple(one.whole, group, error)
    _edit_output(flow, "convolution_param", param, top)
    axes = [x, top] if item.type == "Deconvolution" else [top, x]
    flow.shares([axes, [top]])
    return [top] * len(item.tops)


@rule("ConvolutionDepthwise")
def _depthwise_type(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    (x,) = bottoms
    return _depthwise(flow, item, x, x.count)


def _depthwise(flow: Flow, item: LayerSpec, x: Channels, outputs: int | None) -> list[Channels]:
    """Filters of single channels: they pass channels on, and are as many as there are."""
    count = x.count
    if x.follows and x.trouble is None and x.axis != 1:
        x = x.troubled(flow.error("reads channels that get wider along a spatial axis"))
    if count is None or outputs is None:
        return [x]
    times = outputs // count
    top = replace(x, pieces=tuple(p.times(times) for p in x.pieces))
    param = item.message.convolution_param
    flow.followers[item.name] = flow.edit(
        ("convolution_param", "num_output"), outputs, x.whole, factor=times
    )
    if param.HasField("group") and int(param.group) == count:
        flow.edit(("convolution_param", "group"), count, x.whole)
    _check_calibration(flow, top)
    if not x.carried:
        flow.first.add(item.name)
    flow.shares([[top], [top]])
    return [top] * len(item.tops)


@rule("InnerProduct", "LPInnerProduct", "MarginInnerProduct")
def _inner_product(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    is_margin = item.type == "MarginInnerProduct"
    name = "margin_inner_product_param" if is_margin else "inner_product_param"
    param = getattr(item.message, name)
    x = bottoms[0]
    axis = axis_of(param.axis, x)
    if x.follows and x.trouble is None and (axis is None or x.axis is None or x.axis < axis):
        x = x.troubled(flow.error("reads channels that get wider as rows, not as columns"))
    flow.is_read([x])
    top = flow.makes(int(param.num_output), axis, None if axis is None else axis + 1)
    _edit_output(flow, name, param, top)
    transposed = not is_margin and param.transpose
    flow.shares([[x, top] if transposed else [top, x], [top]])
    return [top, *[Channels.fixed()] * (len(item.tops) - 1)]


@rule("Embed")
def _embed(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    rank = bottoms[0].rank
    param = item.message.embed_param
    flow.is_read([])
    top = flow.makes(int(param.num_output), rank, None if rank is None else rank + 1)
    _edit_output(flow, "embed_param", param, top)
    return [top]


@rule("LSTM", "RNN", "Lstm")
def _recurrent(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    own = item.message.lstm_param if item.type == "Lstm" else item.message.recurrent_param
    flow.is_read(bottoms)
    top = flow.makes(int(own.num_output), 2, 3)
    if flow.is_strict and top.follows:
        raise flow.error(
            "is recurrent and no last layer: its state would get wider with its result",
            "leave the net as it is; nets of convolutions and inner products can be widened",
        )
    return [top] * len(item.tops)


def _edit_output(flow: Flow, field: str, param: Any, top: Channels) -> None:
    flow.edit((field, "num_output"), int(param.num_output), top.whole)
    _check_calibration(flow, top)


def _check_calibration(flow: Flow, top: Channels) -> None:
    """Refuse numbers of Intel's and Ristretto's forks that are given one per channel."""
    param = flow.spec.layers[flow.at].message.quantization_param
    if not flow.is_strict or not top.follows:
        return
    for field, value in param.ListFields():
        if hasattr(value, "__len__") and len(value) > 1:
            raise flow.error(
                f"has {len(value)} values of quantization_param.{field.name}, one per channel of"
                " weights that a wider net does not have",
                "take quantization_param out",
            )
