"""Change the scale of a net's inputs, and its biases with them, so that it computes the same.

ADaPTION's templates scale inputs by 1/255 while pretrained nets expect 0..255, with biases left as
they were (specification 3, "scale trap"). A layer y = W x + b on s x gives s y when b becomes s b;
ReLU, pooling and sums hand s on; batch norm whose mean becomes s mean, variance s^2 variance and
eps s^2 eps takes it out. Layers that are not positively homogeneous (LRN, Sigmoid, ...) cannot.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from adaption.errors import FieldError, LayerError, WeightsError
from adaption.graph import LayerSpec, NetSpec, NetState, build_spec
from adaption.io import prototxt
from adaption.io.caffemodel import LayerWeights, WeightBlob, Weights, read_weights
from adaption.io.lp_types import LP_TYPES
from adaption.io.netfile import NetFile, from_document, read_net
from adaption.io.prototxt import Block
from adaption.layers.base import Layer, traits_of
from adaption.layers.traits import ScaleChange
from adaption.precision.format_text import text_of
from adaption.precision.rewrite import fresh_document

__all__ = ["Rescaling", "rescale"]

PathLike = str | os.PathLike[str]


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
    scales: dict[str, ScaleChange] = {}
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
    made.changed = {name: change.text for name, change in scales.items()}
    for layer in weights.layers:
        change = scales.get(layer.name)
        made.weights.append(layer if change is None else _applied(change, layer, weights.file))
    return made


def _applied(
    change: ScaleChange, layer: LayerWeights, file: str | os.PathLike[str] | None
) -> LayerWeights:
    blobs = list(layer.blobs)
    for index, factor in change.blobs.items():
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
    scales: dict[str, ScaleChange],
    stuck: dict[str, str],
    notes: list[str],
) -> None:
    """Follow the scale of every blob from the inputs on."""
    blobs: dict[str, float] = {}
    for item in spec.layers:
        layer = traits_of(item, spec)
        if layer.is_source and not item.bottoms:
            _start(item, layer, factor, inputs, blobs, scales, notes)
            continue
        below = [blobs[b] for b in item.bottoms]
        scale = below[0] if below else 1.0
        change = layer.rescaled(scale)
        if layer.keeps_order and scale != 1:
            notes.append(
                f'Layer "{item.name}" ({item.type}) reads scores that are {scale:.6g} times'
                " what they were: their order stays, its values change."
            )
        if change is not None and not change.scales_top:
            scale = 1.0
        elif why := _why_stuck(item, layer, below, change):
            stuck[item.name] = why
            change, scale = None, 1.0
        if change is not None and change.text:
            scales.setdefault(item.name, change)
        blobs.update(dict.fromkeys(item.tops, scale))


def _start(
    item: LayerSpec,
    layer: Layer,
    factor: float,
    inputs: Sequence[str],
    blobs: dict[str, float],
    scales: dict[str, ScaleChange],
    notes: list[str],
) -> None:
    for i, top in enumerate(item.tops):
        if inputs:
            is_scaled = top in inputs
        elif item.is_input:
            shapes = item.message.input_param.shape
            is_scaled = len(shapes[min(i, len(shapes) - 1)].dim) >= 3 if shapes else False
        else:
            is_scaled = i == 0
        blobs[top] = factor if is_scaled else 1.0
        if not is_scaled:
            continue
        if layer.obeys_transform:
            text = f"transform_param.scale x {factor:.6g}"
            change = ScaleChange(True, {}, text, "transform_param", "scale", factor)
            scales.setdefault(item.name, change)
        else:
            notes.append(f'Feed blob "{top}" with what it was fed with times {factor:.6g}.')


def _why_stuck(
    item: LayerSpec, layer: Layer, below: Sequence[float], change: ScaleChange | None
) -> str:
    """Why a layer cannot hand the scale of its bottoms on; "" when it can."""
    if all(scale == 1 for scale in below):
        return ""
    if change is None:
        return f"{item.type} of scaled values"
    # Bottoms without a gradient hold sizes, places, labels: not what comes to the tops.
    values = {scale for i, scale in enumerate(below) if i not in layer.no_gradient}
    return f"{item.type} of bottoms at different scales" if len(values) > 1 else ""


def _edited(net: NetFile, scales: Mapping[str, ScaleChange]) -> NetFile:
    document = fresh_document(net)
    for item in document.root.all("layer"):
        change = scales.get(text_of(item.block, "name"))
        if change is not None and change.message:
            _multiply(item.block, change)
    return from_document(prototxt.parse(document.text(), net.file))


def _multiply(layer: Block, change: ScaleChange) -> None:
    """Multiply a field of a layer's parameter message, writing it where it had its default."""
    param = layer.first(change.message)
    if param is None:
        layer.append(
            f"{change.message} {{ {change.setting}: {change.default * change.factor:.9g} }}"
        )
        return
    have = param.block.first(change.setting)
    if have is None:
        param.block.append(f"{change.setting}: {change.default * change.factor:.9g}")
    else:
        have.set(f"{float(have.string) * change.factor:.9g}")
