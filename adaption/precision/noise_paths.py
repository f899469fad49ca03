"""How noise on an activation's gradient grows on its way to a weight layer: by batch norm, scales,
pooling and sums that stand between them.

The bound on the step of an activation gradient takes the gradient to reach the weight layer as it
is (per_tensor_statistics.patch_energy). Where layers between change its size, the squared Jacobian
is that much greater or less. It is measured by what it does to noise: for v of random signs,
the mean of |J v|^2 is the sum of the squares of J.
"""

from __future__ import annotations

import torch
from torch import Tensor

from adaption.net import Net, Point
from adaption.net.node import Node
from adaption.recipes.per_tensor_sites import Tensors
from adaption.recipes.per_tensor_statistics import patch_energy

__all__ = ["noise_paths"]


def noise_paths(
    net: Net, tensors: Tensors, *, batches: int, seed: int
) -> dict[tuple[str, Point], float]:
    """By weight layer and point of a gradient behind it, the factor on the squared Jacobian.

    It is 1, and nothing is measured, where nothing but moves stands between. The mask of the
    activation function itself is left out, as in the rule.

    Args:
        net: the float net in phase TRAIN, with its data layers and its trained weights.
        batches: mini-batches to measure over.
        seed: of the random signs.
    """
    paths = _Paths(net, tensors)
    if not paths.wanted:
        return paths.plain
    generator = torch.Generator(net.device).manual_seed(seed)
    for _ in range(batches):
        with torch.enable_grad():
            net.forward()
        paths.take(generator)
    return {**paths.plain, **{k: float(a / b) for k, (a, b) in paths.sums.items()}}


class _Paths:
    def __init__(self, net: Net, tensors: Tensors) -> None:
        self.net = net
        self.index = {node.spec.name: i for i, node in enumerate(net.nodes)}
        self.plain: dict[tuple[str, Point], float] = {}
        self.wanted: list[tuple[str, Point]] = []
        for name, points in tensors.results.items():
            node = net.nodes[self.index[name]]
            for point in points:
                learns = any(node.gradient_flags()[:1])
                if self._is_direct(name, point.layer):
                    self.plain[name, point] = 1.0
                elif learns and self._reaches(point.layer):
                    self.wanted.append((name, point))
        self.sums = {key: (torch.zeros(()), torch.zeros(())) for key in self.wanted}

    def _reaches(self, layer: str) -> bool:
        return self.net.nodes[self.index[layer]].needs_backward

    def _is_direct(self, name: str, place: str) -> bool:
        """Whether a gradient passes from a layer to the weight layer before it unchanged."""
        if name == place:
            return True
        first, last = self.index[name], self.index[place]
        between = self.net.nodes[first + 1 : last]
        reached = set(self.net.nodes[first].spec.tops)
        for node in between:
            if not reached & set(node.spec.bottoms):
                continue
            if not node.layer.hands_on():
                return False
            reached |= set(node.spec.tops)
        return True

    def take(self, generator: torch.Generator) -> None:
        """Measure with the batch that the net has just seen."""
        for key in self.wanted:
            name, point = key
            node = self.net.nodes[self.index[name]]
            self._backward(node, self.net.nodes[self.index[point.layer]], generator)
            grad = node.masters[0].grad
            squares = grad.square().sum(dtype=torch.float64) / grad.numel()
            assert node.tape is not None, "the pass is recorded"
            energy = sum(
                (patch_energy(node.layer, x.detach()) for x in node.tape.bottoms),
                torch.zeros((), dtype=torch.float64, device=self.net.device),
            )
            before = self.sums[key]
            self.sums[key] = before[0] + squares.cpu(), before[1] + energy.cpu()

    def _backward(self, node: Node, place: Node, generator: torch.Generator) -> None:
        """Random signs as the gradient that comes out of the activation function at `place`."""
        net = self.net
        for blob in net.blobs.values():
            blob.set_grad(None)
        net.clear_param_diffs()
        start = self.index[place.spec.name]
        below = place.layer.kind in ("activation", "function", "rounding")
        for name in place.spec.bottoms[:1] if below else place.spec.tops:
            blob = net.blobs[name]
            blob.set_grad(_signs(blob.tensor, generator))
        first = net.nodes[start - 1 if below else start].spec.name
        net.backward(start=first, end=node.spec.name)


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.randint(0, 2, like.shape, generator=generator, device=like.device)
    return drawn.to(like.dtype).mul_(2).sub_(1)
