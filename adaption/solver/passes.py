"""The passes of a training iteration: forward, loss, backward; and what a display shows of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from adaption.net import Net
from adaption.solver.listener import Output

__all__ = ["Passes", "outputs_of"]


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

    def outputs(self, net: Net) -> list[Output]:
        """What a display shows of the latest pass."""
        return list(outputs_of(net))


def outputs_of(net: Net) -> Iterator[Output]:
    """Every value of every output blob, in Caffe's order."""
    weights = {
        top: weight
        for node in net.nodes
        for top, weight in zip(node.spec.tops, node.loss_weights, strict=True)
    }
    for name in net.outputs:
        for value in net.blobs[name].tensor.detach().flatten().tolist():
            yield Output(name, value, weights.get(name, 0.0))
