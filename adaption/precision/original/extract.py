"""From a net to its descriptor. ADaPTION: net_descriptor.py, extract."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from adaption.errors import AdaptionError, LayerError, bad_choice
from adaption.graph import LayerSpec, NetSpec
from adaption.io.lp_types import PLAIN, TWINS
from adaption.io.netfile import NetFile, read_net
from adaption.precision.original.descriptor import (
    DEFAULTS,
    Conv,
    Dropout,
    Fc,
    Pool,
    Size,
    Token,
    Word,
)
from adaption.precision.rewrite import file_specs
from adaption.precision.sites import quantization_sites
from adaption.proto import caffe_pb2

__all__ = ["extract"]

MODES = ("deploy", "train")
WORDS = {
    "LPAct": "A",
    "Scale": "scale",
    "TanH": "TanH",
    "Sigmoid": "Sigmoid",
    "ELU": "ELU",
}
ENDS = ("Softmax", "Accuracy", "SoftmaxWithLoss", "Silence")


def extract(
    net: NetFile | str | os.PathLike[str],
    mode: str = "deploy",
    *,
    original_semantics: bool = False,
) -> list[str]:
    """The descriptor of a net that is a chain of layers.

    Args:
        mode: "deploy" or "train"; train ends in Accuracy and loss instead of Softmax.
        original_semantics: as the original's extract: layers in the order of the file whatever
            they read, only what its grammar says, A behind every convolution and behind inner
            products of more than 1001 outputs.
    Raises: LayerError for a layer that the grammar cannot say, or that is not in a chain.
    """
    if mode not in MODES:
        raise bad_choice("mode", mode, MODES)
    if not isinstance(net, NetFile):
        net = read_net(net)
    if original_semantics:
        return list(_original(net.message, mode))
    specs = file_specs(net)
    weighty = [s for s in specs if any(item.type in (*TWINS, *PLAIN) for item in s.layers)]
    spec = (weighty or specs)[0]
    return [str(token) for token in _chain(spec, mode)]


def _chain(spec: NetSpec, mode: str) -> Iterator[Token]:
    is_low = any(item.type == "LPAct" for item in spec.layers)
    sites = () if is_low else quantization_sites(spec)
    rounded = {site.result.name for site in sites if site.result is not None}
    current: str | None = None
    ends = []
    for item in spec.layers:
        if not item.bottoms:
            current = item.tops[0] if current is None and item.tops else current
            continue
        try:
            if item.bottoms[0] != current:
                raise LayerError(
                    f'reads "{item.bottoms[0]}", allowed: a chain, where it reads "{current}"',
                    "a descriptor says no branches; rewrite the prototxt itself",
                )
            if item.type in ENDS:
                ends.append(item)
                continue
            token = _token(item)
        except AdaptionError as error:
            raise error.at(
                file=spec.file, line=item.line, layer=item.name, layer_type=item.type
            ) from None
        yield token
        current = item.tops[0]
        if item.name in rounded:
            yield Word("A")
    yield from _ends(ends, mode)


def _ends(ends: list[LayerSpec], mode: str) -> Iterator[Token]:
    types = {item.type for item in ends}
    if mode == "train":
        if types & {"Softmax", "Accuracy", "SoftmaxWithLoss"}:
            yield from (Word("Accuracy"), Word("loss"))
    elif "Accuracy" in types:
        yield Word("Accuracy")
    elif types & {"Softmax", "SoftmaxWithLoss"}:
        yield Word("Softmax")


def _token(item: LayerSpec) -> Token:
    message = item.message
    kind = PLAIN.get(item.type, item.type)
    if kind == "Convolution":
        return _conv(message.convolution_param)
    if kind == "InnerProduct":
        fc = message.inner_product_param
        if fc.axis != 1 or fc.transpose:
            raise LayerError("has axis or transpose, which a descriptor cannot say")
        return Fc(fc.num_output, fc.bias_term)
    if kind == "Pooling":
        return _pool(message.pooling_param)
    if kind == "Dropout":
        return Dropout.of(message.dropout_param.dropout_ratio)
    if kind == "ReLU":
        return _word("ReLU", message.relu_param)
    if kind == "LRN":
        return _word("norm", message.lrn_param)
    if kind == "BatchNorm":
        return _word("bnorm", message.batch_norm_param)
    if kind == "ROIPooling":
        return _word("RoI", message.roi_pooling_param)
    if kind in WORDS:
        return Word(WORDS[kind])
    raise LayerError(
        "is of a type that a descriptor cannot say", "rewrite the prototxt itself instead"
    )


def _conv(param: caffe_pb2.ConvolutionParameter) -> Conv:
    if param.axis != 1:
        raise LayerError("has an axis, which a descriptor cannot say")
    return Conv(
        param.num_output,
        _size(param, "kernel", param.kernel_size, 0),
        _size(param, "stride", param.stride, 1),
        _size(param, "pad", param.pad, 0),
        param.group,
        _size(param, "", param.dilation, 1),
        param.bias_term,
    )


def _size(param: Any, name: str, values: Any, default: int) -> Size:
    """Height and width, from `x_h` and `x_w` or a repeated field."""
    if name and param.HasField(f"{name}_h"):
        return getattr(param, f"{name}_h"), getattr(param, f"{name}_w")
    if len(values) > 2:
        raise LayerError(f"has {len(values)} spatial axes, a descriptor says two")
    found = list(values) or [default]
    return found[0], found[-1]


def _pool(param: caffe_pb2.PoolingParameter) -> Pool:
    method = caffe_pb2.PoolingParameter.PoolMethod.Name(param.pool)
    if param.global_pooling:
        return Pool(None, method=method)
    sizes = [
        (getattr(param, f"{name}_h"), getattr(param, f"{name}_w"))
        if param.HasField(f"{name}_h")
        else (value, value)
        for name, value in (
            ("kernel", param.kernel_size),
            ("stride", param.stride),
            ("pad", param.pad),
        )
    ]
    return Pool(sizes[0], sizes[1], sizes[2], method)


def _word(name: str, param: Any) -> Word:
    """A word with the settings of the message that differ from the word's."""
    settings = {}
    for key, default in DEFAULTS[name].items():
        value = getattr(param, key)
        if key == "norm_region":
            text = type(param).NormRegion.Name(value)
            same = text == default
        else:
            text = f"{value:.7g}"
            same = float(text) == float(default)
        if not same:
            settings[key] = text
    return Word(name, settings)


def _original(message: caffe_pb2.NetParameter, mode: str) -> Iterator[str]:
    """The original's walk over the file, its gaps included."""
    for layer in message.layer:
        if "Conv" in layer.type:
            conv = layer.convolution_param
            sizes = [list(values) or [default] for values, default in
                     ((conv.kernel_size, 0), (conv.stride, 1), (conv.pad, 0))]  # fmt: skip
            yield f"{conv.num_output}C{sizes[0][0]}S{sizes[1][0]}p{sizes[2][0]}"
            yield "A"
        elif layer.type == "Pooling":
            yield f"{layer.pooling_param.kernel_size}P{layer.pooling_param.stride}"
        elif "Drop" in layer.type:
            yield f"D{int(layer.dropout_param.dropout_ratio * 10)}"
        elif "Inner" in layer.type:
            outputs = layer.inner_product_param.num_output
            yield f"{outputs}F"
            if outputs > 1001:
                yield "A"
        elif layer.type == "ReLU":
            yield "ReLU"
        elif layer.type == "Accuracy" and layer.accuracy_param.top_k != 5:
            yield "Accuracy"
            if mode == "train":
                yield "loss"
