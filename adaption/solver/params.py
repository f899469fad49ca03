"""The parameters that a solver updates, with their multipliers. Caffe: Net::AppendParam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adaption.net import Blob
from adaption.net.blob import SharedBlob
from adaption.net.node import Node

__all__ = ["Param", "learnable"]


@dataclass
class Param:
    """One parameter blob that a solver keeps history for.

    is_copy: the rounded copy of a low-precision layer's weight or bias. As it was meant, it only
        follows its master; the history that Caffe's files keep for it stays as it is.
    """

    blob: Blob
    layer: str
    index: int  # among the layer's blobs
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    is_copy: bool = False


def learnable(nodes: Sequence[Node]) -> list[Param]:
    """Every blob once, in Caffe's order: layer by layer, shared ones where they come first.

    Statistics (BatchNorm) are among them with lr_mult 0, as in Caffe's files.
    """
    found: dict[int, Param] = {}
    for node in nodes:
        for i, blob in enumerate(node.blobs):
            own = blob.owner if isinstance(blob, SharedBlob) else blob
            param = found.get(id(own))
            if param is None:
                is_copy = node.is_paired and not node.runtime.original_semantics and i % 2 == 1
                param = found[id(own)] = Param(own, node.spec.name, i, is_copy=is_copy)
            spec = node.param_spec(i)
            if spec is not None:
                # Of a shared parameter any layer may give the multiplier; they do not disagree.
                param.lr_mult = spec.lr_mult if spec.HasField("lr_mult") else param.lr_mult
                param.decay_mult = (
                    spec.decay_mult if spec.HasField("decay_mult") else param.decay_mult
                )
            if not node.layer.is_learned(i):
                param.lr_mult = 0.0
    return list(found.values())
