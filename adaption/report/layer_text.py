"""What a drawing says about a layer: its kind, and the settings one looks for."""

from __future__ import annotations

from typing import Any

from adaption.graph import LayerSpec
from adaption.layers.base import is_known

__all__ = ["details", "kind_of_layer"]

_KINDS = {
    "convolution": (
        *("Convolution", "LPConvolution", "Deconvolution", "Im2col", "ConvolutionDepthwise"),
        "DepthwiseConvolution",
    ),
    "inner product": ("InnerProduct", "LPInnerProduct", "MarginInnerProduct", "Embed"),
    "recurrent": ("LSTM", "LSTMUnit", "Lstm", "RNN"),
    "pooling": ("Pooling", "SPP", "ROIPooling", "PSROIPooling", "Upsample"),
    "normalization": ("BatchNorm", "BN", "Scale", "Bias", "LRN", "MVN", "Normalize"),
    "neuron": (
        *("AbsVal", "BNLL", "Clip", "Dropout", "ELU", "Exp", "Log", "PReLU", "Power", "ReLU"),
        *("ReLU6", "Sigmoid", "Softmax", "Swish", "TanH", "Threshold"),
    ),
    "rounding": ("LPAct",),
    "data": (
        *("Input", "Data", "ImageData", "HDF5Data", "MemoryData", "DummyData", "WindowData"),
        *("Parameter", "Python"),
    ),
    "arrangement": (
        *("Concat", "Crop", "Eltwise", "Filter", "Flatten", "Permute", "Reduction", "Reorg"),
        *("Reshape", "Reverse", "ShuffleChannel", "Silence", "Slice", "Split", "Squeeze", "Tile"),
        *("Transpose", "BatchReindex"),
    ),
}
_KIND_OF = {layer_type: kind for kind, types in _KINDS.items() for layer_type in types}


def kind_of_layer(layer_type: str) -> str:
    """Which of `drawing.COLOURS` a layer type gets; "unknown" when it cannot run."""
    if layer_type in _KIND_OF:
        return _KIND_OF[layer_type]
    if "Loss" in layer_type or "Accuracy" in layer_type:
        return "loss"
    return "other" if is_known(layer_type) else "unknown"


def details(spec: LayerSpec) -> list[str]:
    """The settings of a layer that a drawing shows, as one line or none."""
    message = spec.message
    kind = kind_of_layer(spec.type)
    if kind == "convolution":
        conv = message.convolution_param
        outputs = [f"{conv.num_output} outputs"] if conv.num_output else []
        group = [f"group {conv.group}"] if conv.group > 1 else []
        return [", ".join([*outputs, *_window(conv), *group])]
    if kind == "inner product" and message.inner_product_param.num_output:
        return [f"{message.inner_product_param.num_output} outputs"]
    if spec.type == "Pooling":
        pool = message.pooling_param
        method = type(pool).DESCRIPTOR.enum_types_by_name["PoolMethod"]
        name = method.values_by_number[pool.pool].name
        return [", ".join([name, *(["global"] if pool.global_pooling else _window(pool))])]
    if spec.type == "Dropout":
        return [f"ratio {message.dropout_param.dropout_ratio:g}"]
    if spec.type == "Eltwise":
        operation = message.eltwise_param
        names = type(operation).DESCRIPTOR.enum_types_by_name["EltwiseOp"].values_by_number
        return [names[operation.operation].name]
    return []


def _window(param: Any) -> list[str]:
    """Kernel, stride and pad as far as they are set: ["5x5", "stride 2", "pad 1"]."""
    kernel = _sides(param, "kernel", "kernel_size")
    if len(kernel) == 1:
        kernel *= 2  # one number stands for both sides
    shown = ["x".join(str(side) for side in kernel)] if kernel else []
    for name, neutral in (("stride", 1), ("pad", 0), ("dilation", 1)):
        sides = _sides(param, name, name)
        if any(side != neutral for side in sides):
            shown.append(f"{name} {'x'.join(str(side) for side in sides)}")
    return shown


def _sides(param: Any, name: str, field: str) -> list[int]:
    known = param.DESCRIPTOR.fields_by_name
    if f"{name}_h" in known and (param.HasField(f"{name}_h") or param.HasField(f"{name}_w")):
        return [getattr(param, f"{name}_h"), getattr(param, f"{name}_w")]
    if field not in known:
        return []
    value = getattr(param, field)
    sides = [value] if isinstance(value, int) else list(value)
    return sides[:1] if len(set(sides)) == 1 else sides
