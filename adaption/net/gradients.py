"""Which layers, bottoms and blobs take part in the backward pass. Caffe: Net::Init in net.cpp."""

from __future__ import annotations

from collections.abc import Sequence

from adaption.errors import LayerError
from adaption.net.node import Node

__all__ = ["mark_gradients"]


def mark_gradients(nodes: Sequence[Node], *, force_backward: bool) -> None:
    """Set `needs_backward`, `propagate_down` and `learns` of every node."""
    _mark_from_parameters(nodes)
    _keep_what_reaches_a_loss(nodes)
    if force_backward:
        _force(nodes)


def _mark_from_parameters(nodes: Sequence[Node]) -> None:
    """Forwards: a blob needs a gradient when something that learns lies before it."""
    needed: dict[str, bool] = {}
    for node in nodes:
        message = node.spec.message
        down = list(message.propagate_down)
        if down and len(down) != len(node.spec.bottoms):
            raise LayerError(
                f"propagate_down is given {len(down)} times, allowed: once per bottom"
                f" ({len(node.spec.bottoms)})"
            ).at(layer=node.spec.name, layer_type=node.spec.type, line=node.spec.line)
        below = [needed[b] for b in node.spec.bottoms]
        node.propagate_down = down or list(below)
        node.learns = [_lr_mult(node, i) != 0.0 for i in range(len(node.blobs))]
        node.needs_backward = any(below) or any(node.learns)
        for top in node.spec.tops:
            needed[top] = node.needs_backward


def _lr_mult(node: Node, index: int) -> float:
    if not node.layer.is_learned(index):
        return 0.0  # statistics (batch_norm_layer.cpp sets lr_mult 0 itself)
    spec = node.param_spec(index)
    return 1.0 if spec is None else spec.lr_mult


def _keep_what_reaches_a_loss(nodes: Sequence[Node]) -> None:
    """Backwards: without a loss above it, or a gradient coming down, a layer is left out."""
    under_loss: set[str] = set()
    skipped: set[str] = set()
    for node in reversed(nodes):
        contributes = any(node.loss_weights) or any(t in under_loss for t in node.spec.tops)
        all_skipped = all(
            not weight and top in skipped
            for top, weight in zip(node.spec.tops, node.loss_weights, strict=True)
        )
        if node.needs_backward and all_skipped:
            node.needs_backward = False
            node.propagate_down = [False] * len(node.propagate_down)
        if not contributes:
            node.needs_backward = False
        for i, bottom in enumerate(node.spec.bottoms):
            if contributes:
                under_loss.add(bottom)
            else:
                node.propagate_down[i] = False
            if not node.propagate_down[i]:
                skipped.add(bottom)


def _force(nodes: Sequence[Node]) -> None:
    for node in nodes:
        node.needs_backward = True
        node.propagate_down = [
            down or i not in node.layer.no_gradient for i, down in enumerate(node.propagate_down)
        ]
        node.learns = [True] * len(node.blobs)
