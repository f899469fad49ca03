"""Running statistics of batch norm at the end of a run: new ones, or a word where they lag.

A layer with moving_average_fraction m keeps m^n of what it held n passes ago. A short run at
m = 0.999, fine-tuning for example, ends with statistics of the weights that it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from adaption.net import Net
from adaption.net.node import Node

__all__ = ["BatchStatistics"]

OLD = 0.05  # share of the statistics from before the run that is worth a word


class BatchStatistics:
    """The statistics of a train net, from the start of a run to its end.

    Args:
        net: the train net, before the run's first pass.
        passes: those that were done before.
    """

    def __init__(self, net: Net, passes: int = 0) -> None:
        self.net, self.done = net, passes
        self.before = {node.spec.name: _factor(node) for node, _ in _averaging(net)}

    def finish(self, passes: int, reestimate: int, tell: Callable[[str], None]) -> bool:
        """The run's passes are done. Returns: whether the statistics are new ones.

        Args:
            passes: how many there were, those from before it included.
            reestimate: batches of the train net to compute all statistics anew from; 0: none.
            tell: takes what is to be said.
        """
        passes -= self.done
        if reestimate:
            count = self._reestimate(reestimate)
            where = f"{count} layers" if count else "no layer has any"
            tell(f"statistics of batch norm are computed anew from {reestimate} batches: {where}")
            return count > 0
        old = {node.spec.name: share for node, share in self._old(passes) if share > OLD}
        if old and passes:
            name, share = max(old.items(), key=lambda item: item[1])
            tell(
                f"statistics of batch norm lag: {share:.0%} of those of {name} are from before"
                f" these {passes} passes ({len(old)} layers); --reestimate-batch-norm 50 computes"
                " them anew, or moving_average_fraction: 0.9 forgets sooner"
            )
        return False

    def _old(self, passes: int) -> Iterator[tuple[Node, float]]:
        """How much of each layer's statistics is from before the run."""
        for node, fraction in _averaging(self.net):
            now = _factor(node)
            yield node, fraction**passes * self.before[node.spec.name] / now if now else 0.0

    def _reestimate(self, batches: int) -> int:
        """Forward passes, over which statistics are plain means. Returns: how many layers."""
        found = [node for node, _ in _averaging(self.net)]
        layers = [node.layer for node in found]
        with torch.no_grad():
            for node in found:
                node.layer = node.layer.averaging_all()
                for blob in node.masters:
                    blob.tensor.zero_()
            try:
                for _ in range(batches if found else 0):
                    self.net.forward()
            finally:
                for node, layer in zip(found, layers, strict=True):
                    node.layer = layer
        return len(found)


def _averaging(net: Net) -> Iterator[tuple[Node, float]]:
    """Layers that keep running statistics while they train, with the share kept at each pass."""
    for node in net.nodes:
        fraction = node.layer.statistics_kept()
        if fraction is not None:
            yield node, fraction


def _factor(node: Node) -> float:
    return float(node.masters[2].tensor)
