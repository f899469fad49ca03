"""How many zeros each blob of a pass holds, counted only where it is not known otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from adaption.later import Tensor
from adaption.precision.counting import RoundingCounts, count_zeros

if TYPE_CHECKING:
    from adaption.net.node import Node

__all__ = ["ZerosOfBlobs"]


class ZerosOfBlobs:
    """Zeros by blob, as the blob is now. Call `follow` for each layer, in the order of the pass.

    Args:
        measured: returns the zeros of a blob that was measured in this pass, else None.
    """

    def __init__(self, measured: Callable[[str], int | None] | None = None) -> None:
        self._measured = measured
        self._known: dict[str, int] = {}
        self._positive: dict[str, int] = {}  # values above zero, where all others are below or zero

    def of(self, blob: str, x: Tensor) -> int:
        """The zeros among the values `x` of a blob."""
        found = None if self._measured is None else self._measured(blob)
        if found is None:
            found = self._known.get(blob)
        if found is None:
            found = self._known[blob] = count_zeros(x)
        return found

    def follow(self, node: Node, tops: Sequence[Tensor], seen: RoundingCounts | None) -> None:
        """Note what is known of a layer's tops.

        Args:
            seen: the counts of its rounding; None where nothing was counted.
        """
        spec, layer = node.spec, node.layer
        zeros = [self._known[blob] for blob in spec.bottoms if blob in self._known]
        positive = self._positive.get(spec.bottoms[0]) if len(spec.bottoms) == 1 else None
        for top in spec.tops:
            self._known.pop(top, None)
            self._positive.pop(top, None)
        if seen is not None:
            self._known[spec.tops[0]] = seen.zeros_after
            if seen.signal == seen.signal:  # no NaN, which is neither
                self._positive[spec.tops[0]] = seen.positive_after
        elif node.formats.activation is not None:  # rounded, and nobody counted
            return
        elif layer.rectifies() and positive is not None and len(tops) == 1:
            self._known[spec.tops[0]] = tops[0].numel() - positive
        elif layer.rearranges and len(zeros) == len(spec.bottoms):
            self._known |= dict.fromkeys(spec.tops, sum(zeros))
