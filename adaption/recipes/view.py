"""Views: what a recipe is shown of a net, of one that runs or of a definition alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from adaption.graph import LayerSpec, NetSpec
from adaption.later import Tensor
from adaption.layers.base import Layer, traits_of
from adaption.net.plan import KINDS, MASTERS, layer_formats, stated_kinds
from adaption.net.points_check import missing_point
from adaption.recipes.base import LayerView, NetView

if TYPE_CHECKING:
    from adaption.net import Net
    from adaption.net.node import Node

__all__ = ["view_of_net", "view_of_spec"]


def view_of_net(net: Net, *, seed: int = 0, passes: int = 1, regularization: str = "L2") -> NetView:
    """A living net: points are those that its layers have, masters are its own."""
    ends = _ends([(n.layer, n.spec.bottoms, n.spec.tops) for n in net.nodes])
    layers = []
    for node, (is_first, is_last) in zip(net.nodes, ends, strict=True):
        bottoms = [net.blobs[b].shape for b in node.spec.bottoms]
        tops = [net.blobs[t].shape for t in node.spec.tops]
        samples = bottoms[0][0] if bottoms and bottoms[0] else 1
        layers.append(
            LayerView(
                node.spec.name,
                node.layer,
                node.spec.bottoms,
                node.spec.tops,
                frozenset(kind for kind in KINDS if missing_point(node, kind) is None),
                stated_kinds(node.spec),
                node.formats,
                is_first,
                is_last,
                _masters(node),
                partial(_rounded, node),
                node.layer.macs(bottoms, tops) // max(1, samples),
            )
        )
    return NetView(tuple(layers), seed, _batch(net), passes, regularization)


def _masters(node: Node) -> dict[str, Tensor]:
    if missing_point(node, "weight") is not None:
        return {}
    return {kind: blob.tensor.detach() for kind, blob in zip(MASTERS, node.masters, strict=False)}


def _rounded(node: Node) -> dict[str, Tensor]:
    return dict(zip(MASTERS, (b.detach() for b in node.quantized_blobs()), strict=False))


def _batch(net: Net) -> int:
    """Samples of a pass: the first axis of the first blob that a layer brings."""
    for node in net.nodes:
        if node.layer.is_source:
            for top in node.spec.tops:
                if net.blobs[top].shape:
                    return net.blobs[top].shape[0]
    return 1


def view_of_spec(spec: NetSpec) -> NetView:
    """A definition: points are those that layers of these types and settings can have."""
    layers = [traits_of(item, spec) for item in spec.layers]  # of unknown types, too
    ends = _ends([(x, s.bottoms, s.tops) for x, s in zip(layers, spec.layers, strict=True)])
    return NetView(
        tuple(
            LayerView(
                item.name,
                layer,
                item.bottoms,
                item.tops,
                _kinds(item, layer),
                stated_kinds(item),
                layer_formats(item),
                *end,
            )
            for item, layer, end in zip(spec.layers, layers, ends, strict=True)
        )
    )


def _kinds(item: LayerSpec, layer: Layer) -> frozenset[str]:
    if layer.is_source:
        return frozenset()
    kinds = {"activation", "activation_grad", "bottom"}
    if layer.is_weight_layer():
        kinds |= {"weight", "weight_grad", "weight_accumulator"}
        if getattr(layer, "bias_term", False):
            kinds |= {"bias", "bias_grad"}
    return frozenset(kinds)


def _ends(
    layers: Sequence[tuple[Layer, Sequence[str], Sequence[str]]],
) -> list[tuple[bool, bool]]:
    """For each layer whether no weight layer stands before it, and none behind it."""
    before: dict[str, bool] = {}  # blob -> whether a weight layer has gone into it
    first = []
    for layer, bottoms, tops in layers:
        seen = any(before.get(b, False) for b in bottoms)
        first.append(not seen)
        before.update(dict.fromkeys(tops, seen or layer.is_weight_layer()))
    # Backwards a blob's name stands for what its last writer made, then for what that one read.
    behind: dict[str, bool] = {}
    last = []
    for layer, bottoms, tops in reversed(layers):
        seen = any(behind.pop(t, False) for t in dict.fromkeys(tops))
        last.append(not seen)
        for b in bottoms:
            behind[b] = behind.get(b, False) or seen or layer.is_weight_layer()
    last.reverse()
    return list(zip(first, last, strict=True))
