"""Change the scale of a net's inputs, and its biases with them, so that it computes the same.

ADaPTION's templates scale inputs by 1/255 while pretrained nets expect 0..255, with biases left as
they were (specification 3, "scale trap"). A layer y = W x + b on s x gives s y when b becomes s b;
ReLU, pooling and sums hand s on; batch norm whose mean becomes s mean, variance s^2 variance and
eps s^2 eps takes it out. Layers that are not positively homogeneous (LRN, Sigmoid, ...) cannot.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from adaption.errors import FieldError, LayerError, WeightsError
from adaption.graph import LayerSpec, NetSpec, NetState, build_spec
from adaption.io import prototxt
from adaption.io.caffemodel import LayerWeights, WeightBlob, Weights, read_weights
from adaption.io.netfile import NetFile, from_document, read_net
from adaption.io.prototxt import Block
from adaption.io.upgrade import has_scale_bias
from adaption.layers.batch_norm import LEAST_EPS
from adaption.net.plan import LP_TYPES
from adaption.precision.format_text import text_of
from adaption.precision.rewrite import fresh_document
from adaption.precision.sites import WEIGHT_TYPES

__all__ = ["Rescaling", "rescale"]

PathLike = str | os.PathLike[str]

# f(s x) = s f(x) for s > 0, of each bottom.
HOMOGENEOUS = frozenset(
    "ReLU PReLU Pooling Split Flatten Reshape Dropout Permute Transpose Squeeze Slice Crop Concat"
    " Eltwise AbsVal Tile ShuffleChannel Reorg Upsample Interp SPP Im2col Filter BatchReindex"
    " ROIPooling PSROIPooling Reverse".split()
)
# Results do not depend on the scale.
INVARIANT = frozenset("ArgMax Accuracy Silence PriorBox".split())
# At the end of a net: what is greatest stays greatest, but the values are others.
SCORES = frozenset("Softmax SoftmaxWithLoss".split())
SOURCES = frozenset("Data ImageData WindowData MemoryData Input DummyData HDF5Data".split())
TRANSFORMED = frozenset("Data ImageData WindowData MemoryData".split())  # obey transform_param


@dataclass
class Rescaling:
    """A net for inputs of another scale, and its weights."""

    net: NetFile
    weights: list[LayerWeights]
    factor: float
    changed: dict[str, str] = field(default_factory=dict)  # layer -> what was multiplied by what
    notes: list[str] = field(default_factory=list)


def rescale(
    net: NetFile | PathLike,
    weights: Weights | PathLike,
    factor: float,
    *,
    inputs: Sequence[str] = (),
    allow: bool = False,
) -> Rescaling:
    """The net and weights that give, on inputs times `factor`, the same results times `factor`.

    Behind batch norm, results are the very same. `transform_param.scale` of data layers is
    multiplied; a net with Input layers has to be fed accordingly.

    Args:
        factor: above 0, such as 1/255.
        inputs: blobs that are scaled; default: the first top of each data layer, and each input
            blob of three axes or more.
        allow: go on in spite of layers that cannot hand a scale on; a note names them.
    Raises: LayerError naming the layers that are not positively homogeneous; FieldError on a
        factor that is not above 0; WeightsError when a bias is missing.
    """
    if not isinstance(net, NetFile):
        net = read_net(net)
    if not isinstance(weights, Weights):
        weights = read_weights(weights)
    if not (np.isfinite(factor) and factor > 0):
        raise FieldError("factor", factor, "a number above 0", "1/255 is written 0.00392156862745")
    low = [m.name for m in net.message.layer if m.type in LP_TYPES]
    if low:
        raise LayerError(
            f"has low-precision layers ({', '.join(low[:4])}), whose formats fit one scale",
            "rescale the float net, then quantize it",
        ).at(file=net.file)
    scales: dict[str, _Change] = {}
    stuck: dict[str, str] = {}
    notes: list[str] = []
    for phase in ("TEST", "TRAIN"):
        spec = build_spec(net.message, NetState(phase), file=net.file, lines=net.lines)
        _walk(spec, factor, inputs, scales, stuck, notes)
    if stuck and not allow:
        named = "; ".join(f'"{name}" ({why})' for name, why in stuck.items())
        raise LayerError(
            f"cannot be rescaled, layers are not positively homogeneous: {named}",
            "scale the inputs by what the net was trained with, or go on with --allow, which"
            " changes its results",
        ).at(file=net.file)
    notes += [f'Layer "{name}" changes its results: {why}.' for name, why in stuck.items()]
    made = Rescaling(_edited(net, scales), [], factor, notes=list(dict.fromkeys(notes)))
    made.changed = {name: change.text for name, change in scales.items() if change.text}
    for layer in weights.layers:
        change = scales.get(layer.name)
        made.weights.append(layer if change is None else change.apply(layer, weights.file))
    return made


@dataclass(frozen=True)
class _Change:
    """What happens to one layer: factors by blob, and of a field of its prototxt."""

    blobs: Mapping[int, float]
    text: str
    message: str = ""  # parameter message whose field is multiplied
    field: str = ""
    factor: float = 1.0
    default: float = 1.0

    def apply(self, layer: LayerWeights, file: str | os.PathLike[str] | None) -> LayerWeights:
        blobs = list(layer.blobs)
        for index, factor in self.blobs.items():
            if index >= len(blobs):
                raise WeightsError(f"holds {len(blobs)} blobs, needed: {index + 1}").at(
                    file=file, layer=layer.name
                )
            values = blobs[index].array().astype(np.float64) * factor
            made = WeightBlob.of(values.astype(np.float32))
            blobs[index] = WeightBlob(blobs[index].shape, blobs[index].legacy, made.pieces)
        return LayerWeights(layer.name, layer.type, blobs)


def _walk(
    spec: NetSpec,
    factor: float,
    inputs: Sequence[str],
    scales: dict[str, _Change],
    stuck: dict[str, str],
    notes: list[str],
) -> None:
    """Follow the scale of every blob from the inputs on."""
    blobs: dict[str, float] = {}
    for item in spec.layers:
        if item.type in SOURCES and not item.bottoms:
            _start(item, factor, inputs, blobs, scales, notes)
            continue
        below = [blobs[b] for b in item.bottoms]
        scale = below[0] if below else 1.0
        if item.type in WEIGHT_TYPES:
            _note(scales, item, _bias(item, scale))
        elif item.type == "BatchNorm" and scale != 1 and _loses_eps(item, scale):
            stuck[item.name] = "BatchNorm with scale_bias, whose eps is 1e-5 at least"
            scale = 1.0
        elif item.type == "BatchNorm" and scale != 1:
            text = f"mean x {scale:.6g}, variance and eps x {scale**2:.6g}"
            change = _Change(
                {0: scale, 1: scale**2}, text, "batch_norm_param", "eps", scale**2, 1e-5
            )
            _note(scales, item, change)
            scale = 1.0
        elif item.type == "Scale" and len(below) == 1:
            if item.message.scale_param.bias_term and scale != 1:
                _note(scales, item, _Change({1: scale}, f"bias x {scale:.6g}"))
        elif item.type == "Bias" and len(below) == 1:
            if scale != 1:
                _note(scales, item, _Change({0: scale}, f"bias x {scale:.6g}"))
        elif item.type in SCORES:
            if scale != 1:
                notes.append(
                    f'Layer "{item.name}" ({item.type}) reads scores that are {scale:.6g} times'
                    " what they were: their order stays, its values change."
                )
            scale = 1.0
        elif item.type in INVARIANT:
            scale = 1.0
        elif why := _why_stuck(item, below):
            stuck[item.name] = why
            scale = 1.0
        blobs.update(dict.fromkeys(item.tops, scale))


def _start(
    item: LayerSpec,
    factor: float,
    inputs: Sequence[str],
    blobs: dict[str, float],
    scales: dict[str, _Change],
    notes: list[str],
) -> None:
    for i, top in enumerate(item.tops):
        if inputs:
            is_scaled = top in inputs
        elif item.type == "Input":
            shapes = item.message.input_param.shape
            is_scaled = len(shapes[min(i, len(shapes) - 1)].dim) >= 3 if shapes else False
        else:
            is_scaled = i == 0
        blobs[top] = factor if is_scaled else 1.0
        if not is_scaled:
            continue
        if item.type in TRANSFORMED:
            text = f"transform_param.scale x {factor:.6g}"
            _note(scales, item, _Change({}, text, "transform_param", "scale", factor))
        else:
            notes.append(f'Feed blob "{top}" with what it was fed with times {factor:.6g}.')


def _loses_eps(item: LayerSpec, scale: float) -> bool:
    """Whether NVCaffe's layer would take a greater eps than the scaled one."""
    eps = max(item.message.batch_norm_param.eps, LEAST_EPS)
    return has_scale_bias(item.message) and eps * scale**2 < LEAST_EPS


def _bias(item: LayerSpec, scale: float) -> _Change | None:
    is_product = item.type == "InnerProduct"
    message = item.message.inner_product_param if is_product else item.message.convolution_param
    if scale == 1 or not message.bias_term:
        return None
    return _Change({1: scale}, f"bias x {scale:.6g}")


def _note(scales: dict[str, _Change], item: LayerSpec, change: _Change | None) -> None:
    if change is not None:
        scales.setdefault(item.name, change)


_LIMITS: Mapping[str, Callable[[LayerSpec], bool]] = {
    "ReLU": lambda item: item.message.relu_param.relu6,
    "Eltwise": lambda item: item.message.eltwise_param.operation == 0,  # PROD
}


def _why_stuck(item: LayerSpec, below: Sequence[float]) -> str:
    """Why a layer cannot hand the scale of its bottoms on; "" when it can."""
    if all(scale == 1 for scale in below):
        return ""
    limited = item.type in _LIMITS and _LIMITS[item.type](item)
    if item.type not in HOMOGENEOUS or limited:
        return f"{item.type} of scaled values"
    if len(set(below)) > 1 and item.type not in ("Crop", "ROIPooling", "PSROIPooling"):
        return f"{item.type} of bottoms at different scales"
    return ""


def _edited(net: NetFile, scales: Mapping[str, _Change]) -> NetFile:
    document = fresh_document(net)
    for item in document.root.all("layer"):
        change = scales.get(text_of(item.block, "name"))
        if change is not None and change.message:
            _multiply(item.block, change)
    return from_document(prototxt.parse(document.text(), net.file))


def _multiply(layer: Block, change: _Change) -> None:
    """Multiply a field of a layer's parameter message, writing it where it had its default."""
    param = layer.first(change.message)
    if param is None:
        layer.append(f"{change.message} {{ {change.field}: {change.default * change.factor:.9g} }}")
        return
    have = param.block.first(change.field)
    if have is None:
        param.block.append(f"{change.field}: {change.default * change.factor:.9g}")
    else:
        have.set(f"{float(have.string) * change.factor:.9g}")
