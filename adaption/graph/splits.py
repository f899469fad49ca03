"""Split layers where a blob has several readers, named as Caffe names them.

Caffe: insert_splits.cpp. With them every blob has one reader (in-place layers aside), so the
backward pass needs no bookkeeping, and pycaffe's blob and layer lists come out the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from adaption.graph.spec import SPLIT, LayerSpec, NetSpec

if TYPE_CHECKING:
    from adaption.proto import caffe_pb2

__all__ = ["insert_splits"]

Top = tuple[int, int]  # layer index, top index


def insert_splits(spec: NetSpec) -> NetSpec:
    """The same net with an explicit Split layer behind every top that is read more than once."""
    sources, readers = _readers(spec)
    next_copy: Counter[Top] = Counter()
    layers: list[LayerSpec] = []
    for i, item in enumerate(spec.layers):
        message = item.message
        bottoms = list(item.bottoms)
        for j, blob in enumerate(bottoms):
            top = sources[i, j]
            if readers[top] > 1:
                bottoms[j] = _copy_name(spec.layers[top[0]].name, blob, top[1], next_copy[top])
                next_copy[top] += 1
        shared = [j for j in range(len(item.tops)) if readers[i, j] > 1]
        given = dict(enumerate(message.loss_weight))
        weights = {j: given[j] for j in shared if given.get(j)}
        if weights:
            message = _without_loss_weights(message)
        layers.append(replace(item, bottoms=tuple(bottoms), message=message))
        for j in shared:
            weight = weights.get(j, 0.0)
            layers.append(_split_layer(item, j, readers[i, j], weight))
            if weight:
                next_copy[i, j] += 1
    return spec.with_layers(tuple(layers))


def _readers(spec: NetSpec) -> tuple[dict[tuple[int, int], Top], Counter[Top]]:
    """Which top each bottom reads, and how often each top is read; a loss counts as a reader."""
    latest: dict[str, Top] = {}
    sources: dict[tuple[int, int], Top] = {}
    readers: Counter[Top] = Counter()
    for i, item in enumerate(spec.layers):
        for j, blob in enumerate(item.bottoms):
            sources[i, j] = latest[blob]
            readers[latest[blob]] += 1
        for j, blob in enumerate(item.tops):
            latest[blob] = (i, j)
            if j < len(item.message.loss_weight) and item.message.loss_weight[j]:
                readers[i, j] += 1
    return sources, readers


def _split_layer(source: LayerSpec, top: int, count: int, loss_weight: float) -> LayerSpec:
    blob = source.tops[top]
    message = type(source.message)()
    message.name = f"{blob}_{source.name}_{top}_split"
    message.type = SPLIT
    message.phase = source.message.phase
    message.bottom.append(blob)
    copies = [_copy_name(source.name, blob, top, k) for k in range(count)]
    message.top.extend(copies)
    if loss_weight:
        message.loss_weight.extend([loss_weight] + [0.0] * (count - 1))
    return LayerSpec(message.name, SPLIT, (blob,), tuple(copies), message, source.line)


def _copy_name(layer: str, blob: str, top: int, copy: int) -> str:
    return f"{blob}_{layer}_{top}_split_{copy}"


def _without_loss_weights(message: caffe_pb2.LayerParameter) -> caffe_pb2.LayerParameter:
    own = type(message)()
    own.CopyFrom(message)
    own.ClearField("loss_weight")
    return own
