"""Where a net is quantized: its weight layers, and the place behind each where its result rounds.

As in the original, rounding comes before the activation function: ADaPTION's generator puts LPAct
between a layer and its ReLU, and leaves the last classifier's result in float. Batch norm, scale
and bias layers that follow belong to the sum, so the place is behind them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from adaption.graph import LayerSpec, NetSpec

__all__ = ["Site", "quantization_sites", "reaches_weights"]

# Types with a low-precision twin of the original; other weight layers say it by precision_param.
TWINS = {"Convolution": "LPConvolution", "InnerProduct": "LPInnerProduct"}
WEIGHT_TYPES = (*TWINS, *TWINS.values(), "Deconvolution", "ConvolutionDepthwise",
                "DepthwiseConvolution")  # fmt: skip
AFFINE_TYPES = ("BatchNorm", "Scale", "Bias", "BN")


@dataclass(frozen=True)
class Site:
    """One weight layer, and the layer whose top is the result to be rounded; None: left float."""

    weight: LayerSpec
    result: LayerSpec | None
    why: str  # in words, for the report


def quantization_sites(spec: NetSpec) -> list[Site]:
    """The sites of a float net, in order of its layers."""
    readers = _readers(spec)
    sites = []
    for i, item in enumerate(spec.layers):
        if item.type not in WEIGHT_TYPES:
            continue
        last = _end_of_affine(spec, readers, i)
        result = spec.layers[last]
        if item.type.endswith("InnerProduct") and not reaches_weights(spec, readers, last):
            sites.append(Site(item, None, "last classifier, its result stays float"))
        else:
            behind = "" if last == i else f" behind {result.name}"
            sites.append(Site(item, result, f"rounded{behind}, before the activation function"))
    return sites


Readers = dict[int, list[int]]


def _readers(spec: NetSpec) -> Readers:
    """For each layer, the layers that read its tops."""
    latest: dict[str, int] = {}
    readers: Readers = defaultdict(list)
    for i, item in enumerate(spec.layers):
        for bottom in item.bottoms:
            readers[latest[bottom]].append(i)
        for top in item.tops:
            latest[top] = i
    return readers


def _end_of_affine(spec: NetSpec, readers: Readers, index: int) -> int:
    """The last of the batch norm, scale and bias layers that follow alone behind a layer."""
    while len(readers[index]) == 1:
        follower = spec.layers[readers[index][0]]
        if follower.type not in AFFINE_TYPES or len(follower.bottoms) != 1:
            break
        index = readers[index][0]
    return index


def reaches_weights(spec: NetSpec, readers: Readers, index: int) -> bool:
    """True when a weight layer reads, directly or through others, what layer `index` writes."""
    queue, seen = [index], {index}
    while queue:
        for reader in readers[queue.pop()]:
            if reader in seen:
                continue
            if spec.layers[reader].type in WEIGHT_TYPES:
                return True
            seen.add(reader)
            queue.append(reader)
    return False
