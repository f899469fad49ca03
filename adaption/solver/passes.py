"""The passes of a training iteration: forward, loss, backward; and the same with a teacher."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from adaption.net import Net
from adaption.solver.listener import Output

__all__ = ["Passes"]


class Passes:
    """Runs a train net forward and backward by its own losses."""

    def forward(self, net: Net) -> float:
        """One forward pass; with gradients enabled it records for `backward`. Returns: the loss."""
        net.forward()
        return net.loss()

    def backward(self, net: Net) -> None:
        """The backward pass of the forward pass before; adds to the parameters' diffs."""
        net.backward()

    def run(self, net: Net) -> float:
        """Both passes. Returns: the loss."""
        with torch.enable_grad():
            loss = self.forward(net)
        self.backward(net)
        return loss

    def outputs(self, outputs: Iterable[Output]) -> list[Output]:
        """What a display shows, from the values of the net's output blobs."""
        return list(outputs)
