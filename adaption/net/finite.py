"""NaN in a net: which layer holds it, or makes it first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from adaption.errors import DataError, WeightsError
from adaption.net.net import Net
from adaption.net.node import Node

__all__ = ["first_nan", "nan_error", "refuse_not_finite"]

PIECE = 1 << 22  # values tested at a time: torch.isfinite takes several times their memory


def refuse_not_finite(net: Net) -> None:
    """Raise WeightsError naming the first layer with a blob that holds NaN or infinities."""
    for node in net.nodes:
        for index, blob in enumerate(node.masters):
            bad = _not_finite(blob.tensor.detach())
            if bad:
                raise WeightsError(
                    f"blob {index} holds {bad} of {blob.count} values that are NaN or infinite",
                    "give weights from before the training diverged",
                ).at(
                    file=net.spec.file,
                    line=node.spec.line,
                    layer=node.spec.name,
                    layer_type=node.spec.type,
                )


def first_nan(net: Net) -> Node | None:
    """The first layer whose top holds NaN after the last forward pass; None without any.

    Nothing is run again but layers in place on one blob, to tell them apart; data layers are not.
    """
    for index, node in enumerate(net.nodes):
        for top in node.spec.tops:
            if _has_nan(net.blobs[top].tensor):
                return _among(net, index, top) or node
    return None


def nan_error(net: Net, sample: str = "") -> DataError:
    """The error that names the layer which made the NaN that an output holds.

    Args:
        sample: for which input, in words.
    """
    node = first_nan(net)
    of = f" for {sample}" if sample else ""
    if node is None:
        return DataError(f"outputs are NaN{of}", "look at the inputs").at(file=net.spec.file)
    is_data = not node.spec.bottoms
    fix = "look for NaN in the data" if is_data else "look at the layer's weights and its inputs"
    return DataError(f"is the first layer that gives NaN{of}", fix).at(
        file=net.spec.file,
        line=node.spec.line,
        layer=node.spec.name,
        layer_type=node.spec.type,
    )


def _among(net: Net, index: int, blob: str) -> Node | None:
    """Of the layer that makes `blob` and those in place on it, the first that gives NaN."""
    last = index
    for i in range(index + 1, len(net.nodes)):
        spec = net.nodes[i].spec
        if blob in spec.tops and blob in spec.bottoms:
            last = i
        elif blob in spec.bottoms:
            break
    first = net.nodes[index]
    if last == index or not first.spec.bottoms or blob in first.spec.bottoms:
        return None
    found: list[Node] = []

    def look(node: Node, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        if not found and any(map(_has_nan, tops)):
            found.append(node)

    with torch.no_grad():
        names = first.spec.name, net.nodes[last].spec.name
        net.forward(start=names[0], end=names[1], observer=look)
    return found[0] if found else None


def _not_finite(x: Tensor) -> int:
    parts = torch.split(x.flatten(), PIECE) if x.numel() else ()
    return sum(part.numel() - int(torch.isfinite(part).sum()) for part in parts)


def _has_nan(x: Tensor) -> bool:
    return bool(torch.isnan(x).any())
