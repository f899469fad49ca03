"""The parameters that a solver updates, with their multipliers. Caffe: Net::AppendParam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from adaption.errors import FieldError
from adaption.net import Blob, Point
from adaption.net.blob import SharedBlob
from adaption.net.node import Node
from adaption.net.plan import GRADIENT_OF, MASTERS
from adaption.numerics import Format

__all__ = ["Param", "learnable"]


@dataclass
class Param:
    """One parameter blob that a solver keeps history for.

    is_copy: the rounded copy of a low-precision layer's weight or bias. As it was meant, it only
        follows its master; the history that Caffe's files keep for it stays as it is.
    name: of the master, `layer[index]` with the index among the masters.
    kind: "weight" or "bias"; empty of blobs that are neither.
    nodes: the layers whose weight or bias it is, the owner first.
    """

    blob: Blob
    layer: str
    index: int  # among the layer's blobs
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    is_copy: bool = False
    name: str = ""
    kind: str = ""
    nodes: list[Node] = field(default_factory=list)

    @property
    def point(self) -> Point | None:
        """Its point, under the owner's name."""
        return Point(self.layer, self.kind) if self.kind else None

    @property
    def gradient_point(self) -> Point | None:
        """The point of its gradient."""
        return Point(self.layer, GRADIENT_OF[self.kind]) if self.kind else None

    def format(self, kind: str) -> Format | None:
        """The format at one of its points, alike in all layers that share it.

        Raises: FieldError where they disagree.
        """
        found = [node.formats.of(kind) for node in self.nodes]
        for node, fmt in zip(self.nodes, found, strict=True):
            if fmt != found[0]:
                raise FieldError(
                    f"precision_param.{kind} of the shared {self.kind}",
                    "float" if fmt is None else str(fmt),
                    f'{"float" if found[0] is None else found[0]}, which layer "{self.layer}" has',
                    "give it in all layers that share the parameter",
                ).at(layer=node.spec.name, layer_type=node.spec.type, line=node.spec.line)
        return found[0] if found else None


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
            if not param.is_copy:
                _note_master(param, node, i)
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


def _note_master(param: Param, node: Node, index: int) -> None:
    """Say of a parameter that it is this layer's weight or bias, if it is one."""
    if node.is_paired and node.runtime.original_semantics and index % 2:
        return  # the original's rounded copies learn, but are no masters
    master = index // 2 if node.is_paired else index
    param.name = param.name or node.master_names[master]
    if node.layer.writes_blobs or len(node.masters) > len(MASTERS):
        return
    if not param.kind:
        param.kind = MASTERS[master]
    if param.kind == MASTERS[master]:
        param.nodes.append(node)
