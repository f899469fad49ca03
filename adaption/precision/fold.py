"""Fold batch norm and scale into the weight layer before them: y = a (W x + b - mean) + c is
(a W) x + a (b - mean) + c. Computed in float64 and rounded once, to float32.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from adaption.errors import LayerError, WeightsError
from adaption.graph import LayerSpec, NetSpec
from adaption.io import prototxt
from adaption.io.caffemodel import LayerWeights, WeightBlob, Weights, read_weights
from adaption.io.lp_types import PLAIN
from adaption.io.netfile import NetFile, from_document, read_net
from adaption.io.prototxt import Block
from adaption.later import np, npt
from adaption.layers.base import Layer, traits_of, traits_of_type
from adaption.precision.format_text import text_of
from adaption.precision.rewrite import file_specs, fresh_document
from adaption.precision.sites import Wiring
from adaption.precision.splice import splice_out

__all__ = ["Folding", "fold_batch_norm"]

PathLike = str | os.PathLike[str]
Array: TypeAlias = "npt.NDArray[np.float64]"


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
        if name in gone and traits_of_type(kind).is_foldable:
            splice_out(document.root, item)
        elif name in chains and traits_of_type(kind).is_weight_layer():
            _give_bias(item.block)
    folded = from_document(prototxt.parse(document.text(), net.file))
    layers = [made.get(x.name, x) for x in weights.layers if x.name not in gone]
    taken = {name: tuple(layer.name for layer in chain[1:]) for name, chain in chains.items()}
    return Folding(folded, Weights(layers, weights.name, file=weights.file), taken, left)


def _chains(specs: list[NetSpec]) -> tuple[dict[str, list[LayerSpec]], dict[str, str]]:
    """Weight layers with what is folded into each, alike in all net states that have them."""
    found: dict[str, list[LayerSpec]] = {}
    left: dict[str, str] = {}
    for spec in specs:
        wiring = Wiring(spec)
        for i, item in enumerate(spec.layers):
            if not wiring[i].is_weight_layer():
                continue
            chain, why = _chain(wiring, i)
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
            if traits_of_type(item.type).is_foldable and item.name not in taken:
                left.setdefault(item.name, "does not follow a weight layer alone")
    return chains, left


def _chain(wiring: Wiring, index: int) -> tuple[list[LayerSpec], tuple[str, str] | None]:
    """A weight layer and the layers that can be folded into it; what ends the chain, and why."""
    spec = wiring.spec
    chain = [spec.layers[index]]
    for i in wiring.following(index, lambda x: x.is_foldable):
        why = wiring[i].why_not_folded(spec.phase) or _why_no_place(wiring[index])
        if why:
            return chain, (spec.layers[i].name, why)
        chain.append(spec.layers[i])
    return chain, None


def _why_no_place(weight: Layer) -> str:
    """Why a weight layer cannot take in what acts per channel behind it; "" when it can."""
    if weight.sums_to_channels():
        return ""
    kind = "an InnerProduct" if weight.kind == "inner product" else f"a {weight.kind}"
    return f"stands behind {kind} of another axis than 1"


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
    if item.type in PLAIN:
        raise LayerError(
            "is low precision, allowed: a float net to fold batch norm in",
            "bring it back to float first: adaption rewrite NET --to float -o OUT",
        ).at(file=file, layer=item.name, layer_type=item.type)


def _folded(chain: list[LayerSpec], weights: Weights) -> LayerWeights:
    """The weights of the first layer of a chain with the others folded in."""
    own = _blobs(chain[0], weights)
    layer = traits_of(chain[0])
    w = layer.by_output(own[0])
    outputs = len(w)
    b = own[1] if len(own) > 1 else np.zeros(outputs)
    for item in chain[1:]:
        slope, shift = traits_of(item).slope_and_shift(_blobs(item, weights), outputs)
        if slope.size != outputs or shift.size != outputs:
            found = max(slope.size, shift.size)
            raise WeightsError(f'"{item.name}" has {found} channels, the layer before it {outputs}')
        w = w * slope[:, None]
        b = b * slope + shift
    blobs = [WeightBlob.of(x) for x in (layer.from_output(w, own[0].shape), b)]
    return LayerWeights(chain[0].name, chain[0].type, blobs)


def _blobs(item: LayerSpec, weights: Weights) -> list[Array]:
    layer = weights.get(item.name)
    if layer is None or not layer.blobs:
        raise WeightsError(
            f'has no weights for layer "{item.name}" ({item.type})',
            "give the caffemodel that belongs to this prototxt",
        )
    blobs = layer.blobs[::2] if layer.is_paired else layer.blobs
    return [blob.array().astype(np.float64) for blob in traits_of(item).arranged(blobs)]


def _give_bias(block: Block) -> None:
    """Let a layer have a bias: `bias_term: false` goes, the default is true."""
    for name in ("convolution_param", "inner_product_param"):
        param = block.first(name)
        if param is not None:
            for field in param.block.all("bias_term"):
                field.remove()
