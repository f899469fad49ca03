"""Weights of plain layers into the blob layout of low-precision layers, without building a net."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import torch

from adaption.errors import AdaptionError, WeightsError
from adaption.graph import LayerSpec, NetSpec
from adaption.io.caffemodel import LayerWeights, WeightBlob, Weights, read_weights
from adaption.io.netfile import NetFile, read_net
from adaption.net.plan import is_low_precision, layer_formats
from adaption.numerics import Format

__all__ = ["convert"]


PathLike = str | os.PathLike[str]


def convert(
    weights: Weights | PathLike, net: NetSpec | NetFile | PathLike, *, seed: int = 0
) -> Iterator[LayerWeights]:
    """The layers of `weights` as `net` holds them, one at a time, so that they can be streamed.

    Layers of two blobs (W, b) become four (W, rounded W, b, rounded b) where the net's layer is a
    low-precision one, and four become two where it is plain. Layers that the net lacks are left
    out, as Caffe does when it loads them.

    Args:
        weights: a caffemodel, its path or what `read_weights` gives.
        net: the net the weights are for; its layer types and formats decide. It is not run, so
            its layers may be of unknown types. A file counts with the layers of all net states.
        seed: of the generator for formats with stochastic rounding.
    Raises: WeightsError when a layer has a number of blobs that fits neither form.
    """
    if not isinstance(weights, Weights):
        weights = read_weights(weights)
    if not isinstance(net, NetSpec):
        net = NetSpec("", tuple(_all_layers(net)))
    specs = {s.name: s for s in net.layers}
    generator = torch.Generator().manual_seed(seed)
    for layer in weights.layers:
        spec = specs.get(layer.name)
        if spec is None:
            continue
        try:
            blobs = _convert(layer, spec, generator)
        except AdaptionError as error:
            raise error.at(file=weights.file, layer=layer.name, layer_type=spec.type) from None
        yield LayerWeights(layer.name, spec.type, blobs)


def _all_layers(net: NetFile | PathLike) -> Sequence[LayerSpec]:
    file = net if isinstance(net, NetFile) else read_net(net)
    return [LayerSpec(m.name, m.type, tuple(m.bottom), tuple(m.top), m) for m in file.message.layer]


def _convert(layer: LayerWeights, spec: LayerSpec, generator: torch.Generator) -> list[WeightBlob]:
    if not layer.blobs or is_low_precision(spec.type) == layer.is_paired:
        return list(layer.blobs)
    if layer.is_paired:
        return list(layer.blobs[::2])
    if len(layer.blobs) > 2:
        raise WeightsError(f"has {len(layer.blobs)} blobs, allowed: 1 or 2 (weight, bias)")
    formats = layer_formats(spec)
    made = []
    for blob, fmt in zip(layer.blobs, (formats.weight, formats.bias), strict=False):
        made += [blob, _rounded(blob, fmt, generator)]
    return made


def _rounded(blob: WeightBlob, fmt: Format | None, generator: torch.Generator) -> WeightBlob:
    if fmt is None:
        return blob
    values = torch.from_numpy(blob.copy())
    return WeightBlob.of(fmt.quantize(values, generator).numpy())
