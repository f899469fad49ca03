"""Fold batch norm and scale into the weight layer before them: y = a (W x + b - mean) + c is
(a W) x + a (b - mean) + c. Computed in float64 and rounded once, to float32.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from adaption.errors import LayerError, WeightsError
from adaption.graph import LayerSpec, NetSpec
from adaption.io import prototxt
from adaption.io.caffemodel import LayerWeights, WeightBlob, Weights, read_weights
from adaption.io.netfile import NetFile, from_document, read_net
from adaption.io.prototxt import Block
from adaption.io.upgrade import has_scale_bias
from adaption.layers.batch_norm import in_order, statistics
from adaption.precision.format_text import text_of
from adaption.precision.rewrite import file_specs, fresh_document
from adaption.precision.sites import TWINS, WEIGHT_TYPES, following_alone
from adaption.precision.splice import splice_out

__all__ = ["Folding", "fold_batch_norm"]

PathLike = str | os.PathLike[str]
Array = npt.NDArray[np.float64]

FOLDED = ("BatchNorm", "Scale", "Bias")


@dataclass(frozen=True)
class Folding:
    """A net without the layers that were folded, and its weights.

    folded: names of the layers taken in, by the weight layer that took them.
    left: batch norm and scale layers that stay, each with the reason.
    """

    net: NetFile
    weights: Weights
    folded: Mapping[str, tuple[str, ...]]
    left: Mapping[str, str]

    @property
    def notes(self) -> list[str]:
        """What stays, one sentence each."""
        return [f'Layer "{name}" is not folded: it {why}.' for name, why in self.left.items()]


def fold_batch_norm(net: NetFile | PathLike, weights: Weights | PathLike) -> Folding:
    """Fold every BatchNorm, Scale and Bias that follows a weight layer alone.

    Layer kinds: Convolution, Deconvolution, depthwise convolutions and InnerProduct, with and
    without bias. The statistics are the stored ones, as in the TEST phase.
    Raises: WeightsError when a blob is missing or has another shape; LayerError when the net is
        low precision already.
    """
    if not isinstance(net, NetFile):
        net = read_net(net)
    if not isinstance(weights, Weights):
        weights = read_weights(weights)
    chains, left = _chains(file_specs(net))
    made = {}
    for name, chain in chains.items():
        _refuse_low_precision(chain[0], net.file)
        try:
            made[name] = _folded(chain, weights)
        except WeightsError as error:
            raise error.at(file=weights.file, layer=name, layer_type=chain[0].type) from None
    gone = {layer.name for chain in chains.values() for layer in chain[1:]}
    document = fresh_document(net)
    for item in document.root.all("layer"):
        name, kind = text_of(item.block, "name"), text_of(item.block, "type")
        if name in gone and kind in FOLDED:
            splice_out(document.root, item)
        elif name in chains and kind in WEIGHT_TYPES:
            _give_bias(item.block)
    folded = from_document(prototxt.parse(document.text(), net.file))
    layers = [made.get(x.name, x) for x in weights.layers if x.name not in gone]
    taken = {name: tuple(layer.name for layer in chain[1:]) for name, chain in chains.items()}
    return Folding(folded, Weights(layers, weights.name), taken, left)


def _chains(specs: list[NetSpec]) -> tuple[dict[str, list[LayerSpec]], dict[str, str]]:
    """Weight layers with what is folded into each, alike in all net states that have them."""
    found: dict[str, list[LayerSpec]] = {}
    left: dict[str, str] = {}
    for spec in specs:
        for i, item in enumerate(spec.layers):
            if item.type not in WEIGHT_TYPES:
                continue
            chain, why = _chain(spec, i)
            if why is not None:
                left[why[0]] = why[1]
            have = found.setdefault(item.name, chain)
            if len(have) > 1 and [x.name for x in have] != [x.name for x in chain]:
                found[item.name] = [item]
                left[item.name] = "is followed by other layers in TRAIN than in TEST"
    chains = {name: chain for name, chain in found.items() if len(chain) > 1}
    shared = _shared_parameters(specs)
    for name in list(chains):
        if name in shared:
            left[name] = "shares its parameters with another layer"
            del chains[name]
    taken = {x.name for chain in chains.values() for x in chain}
    for spec in specs:
        for item in spec.layers:
            if item.type in FOLDED and item.name not in taken:
                left.setdefault(item.name, "does not follow a weight layer alone")
    return chains, left


def _chain(spec: NetSpec, index: int) -> tuple[list[LayerSpec], tuple[str, str] | None]:
    """A weight layer and the layers that can be folded into it; what ends the chain, and why."""
    chain = [spec.layers[index]]
    for item in following_alone(spec, index, FOLDED):
        why = _why_not(chain[0], item, spec.phase)
        if why:
            return chain, (item.name, why)
        chain.append(item)
    return chain, None


def _why_not(weight: LayerSpec, item: LayerSpec, phase: str) -> str:
    message = item.message
    if item.type == "BatchNorm":
        param = message.batch_norm_param
        if phase == "TEST" and param.HasField("use_global_stats") and not param.use_global_stats:
            return "computes its statistics from each batch"
    else:
        axes = message.scale_param if item.type == "Scale" else message.bias_param
        if (axes.axis, axes.num_axes) != (1, 1):
            return "does not act per channel (axis 1, num_axes 1)"
    if weight.type.endswith("InnerProduct"):
        if weight.message.inner_product_param.axis != 1:
            return "stands behind an InnerProduct of another axis than 1"
    elif weight.message.convolution_param.axis != 1:
        return "stands behind a convolution of another axis than 1"
    return ""


def _shared_parameters(specs: list[NetSpec]) -> set[str]:
    """Layers with a `param { name }` that another layer has too."""
    users: dict[str, set[str]] = {}
    for spec in specs:
        for item in spec.layers:
            for param in item.message.param:
                if param.name:
                    users.setdefault(param.name, set()).add(item.name)
    return {name for names in users.values() if len(names) > 1 for name in names}


def _refuse_low_precision(item: LayerSpec, file: str | None) -> None:
    if item.type in TWINS.values():
        raise LayerError(
            "is low precision, allowed: a float net to fold batch norm in",
            "bring it back to float first: adaption rewrite NET --to float -o OUT",
        ).at(file=file, layer=item.name, layer_type=item.type)


def _folded(chain: list[LayerSpec], weights: Weights) -> LayerWeights:
    """The weights of the first layer of a chain with the others folded in."""
    own = _blobs(chain[0], weights)
    w = _by_output(chain[0], own[0])
    outputs = len(w)
    b = own[1] if len(own) > 1 else np.zeros(outputs)
    for item in chain[1:]:
        factor, offset = _affine(item, _blobs(item, weights), outputs)
        w = w * factor[:, None]
        b = b * factor + offset
    blobs = [WeightBlob.of(x) for x in (_as_stored(chain[0], w, own[0].shape), b)]
    return LayerWeights(chain[0].name, chain[0].type, blobs)


def _blobs(item: LayerSpec, weights: Weights) -> list[Array]:
    layer = weights.get(item.name)
    if layer is None or not layer.blobs:
        raise WeightsError(
            f'has no weights for layer "{item.name}" ({item.type})',
            "give the caffemodel that belongs to this prototxt",
        )
    blobs = layer.blobs[::2] if layer.is_paired else layer.blobs
    if item.type == "BatchNorm":
        blobs = in_order(blobs)
    return [blob.array().astype(np.float64) for blob in blobs]


def _affine(item: LayerSpec, blobs: list[Array], outputs: int) -> tuple[Array, Array]:
    """factor and offset per channel of y = factor x + offset."""
    if item.type == "BatchNorm":
        want = 5 if has_scale_bias(item.message) else 3
        if len(blobs) != want:
            raise WeightsError(f'"{item.name}" has {len(blobs)} blobs, allowed: {want}')
        mean, variance, eps = statistics(blobs, item.message.batch_norm_param.eps)
        factor = 1.0 / np.sqrt(variance + eps)
        values = factor, -mean * factor
        if want == 5:
            scale, bias = (b.ravel() for b in blobs[3:])
            values = factor.ravel() * scale, values[1].ravel() * scale + bias
    elif item.type == "Scale":
        values = blobs[0], (blobs[1] if len(blobs) > 1 else np.zeros(outputs))
    else:
        values = np.ones(outputs), blobs[0]
    factor, offset = (np.asarray(v, np.float64).ravel() for v in values)
    if factor.size != outputs or offset.size != outputs:
        found = max(factor.size, offset.size)
        raise WeightsError(f'"{item.name}" has {found} channels, the layer before it {outputs}')
    return factor, offset


def _by_output(item: LayerSpec, w: Array) -> Array:
    """The weights as one row per output channel."""
    if item.type.endswith("InnerProduct"):
        rows = w.reshape(w.shape[-2], w.shape[-1])
        return rows.T if item.message.inner_product_param.transpose else rows
    if item.type == "Deconvolution":  # (C, outputs / group, kernel): group by group
        group = item.message.convolution_param.group
        inputs, outputs = w.shape[0] // group, w.shape[1]
        parts = w.reshape(group, inputs, outputs, -1).swapaxes(1, 2)
        return parts.reshape(group * outputs, -1)
    return w.reshape(w.shape[0], -1)


def _as_stored(item: LayerSpec, rows: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `_by_output`."""
    if item.type.endswith("InnerProduct"):
        return (rows.T if item.message.inner_product_param.transpose else rows).reshape(shape)
    if item.type == "Deconvolution":
        group = item.message.convolution_param.group
        inputs, outputs, kernel = shape[0] // group, shape[1], prod(shape[2:])
        parts = rows.reshape(group, outputs, inputs, kernel).swapaxes(1, 2)
        return parts.reshape(shape)
    return rows.reshape(shape)


def _give_bias(block: Block) -> None:
    """Let a layer have a bias: `bias_term: false` goes, the default is true."""
    for name in ("convolution_param", "inner_product_param"):
        param = block.first(name)
        if param is not None:
            for field in param.block.all("bias_term"):
                field.remove()
