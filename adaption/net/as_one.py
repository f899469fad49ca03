"""What layers that run as one are to a net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adaption.net.node import Node

__all__ = ["AsOne"]


@dataclass
class AsOne:
    """Neighbouring layers: the first, then those in place on its top."""

    nodes: list[Node]

    @property
    def bottoms(self) -> Sequence[str]:
        return self.nodes[0].spec.bottoms

    @property
    def top(self) -> str:
        return self.nodes[0].spec.tops[0]

    def forget_tapes(self) -> None:
        """Drop what passes before have recorded, as a layer does in a pass that records nothing."""
        for node in self.nodes:
            node.tape = None
