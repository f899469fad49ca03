"""DiceCoefLoss: 1 - 2 <a, b> / (|a|^2 + |b|^2), how little two masks overlap.

Two forks have it: over the whole batch, as nets that find text train with it (EAST;
github.com/HolmesShuan/A-Variation-of-Dice-coefficient-Loss-Caffe-Layer), and as the mean over
samples with 1 added to both parts, as nets of V-Net's kind do. No field tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import ShapeError
from adaption.later import Tensor
from adaption.layers.base import Layer, Shape, layer


@layer("DiceCoefLoss", dialect="east", kind="loss", bottoms=2, is_loss=True)
@dataclass(frozen=True)
class DiceCoefLoss(Layer):
    def top_shape(self, *bottoms: Shape) -> Shape:
        a, b = bottoms
        if a[:1] != b[:1] or _count(a) != _count(b):
            raise ShapeError(f"bottoms have shapes {a} and {b}, allowed: equal")
        return ()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        b = b.view_as(a)
        return 1 - 2 * (a * b).sum() / (a.square().sum() + b.square().sum())


@layer("DiceCoefLoss", dialect="vnet", kind="loss", bottoms=2, is_loss=True)
@dataclass(frozen=True)
class DiceCoefLossOfSamples(DiceCoefLoss):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        a = a.flatten(1)
        b = b.reshape(a.shape)
        shares = (2 * (a * b).sum(1) + 1) / (a.square().sum(1) + b.square().sum(1) + 1)
        return 1 - shares.mean()


def _count(shape: Shape) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
