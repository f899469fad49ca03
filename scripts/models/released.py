"""The configuration that Sakr and Shanbhag trained their ResNet-20 for CIFAR-10 with, as released.

Source: the arrays of their program (folder train-internal); bits count the sign.
"""

from __future__ import annotations

from adaption.io.netfile import NetFile
from adaption.job.assign_nets import with_plan
from adaption.net import Plan
from adaption.recipes.per_tensor_plan import TensorPlan, Word
from adaption.recipes.per_tensor_sites import Tensors

__all__ = ["with_released_formats"]


def _numbers(text: str) -> list[int]:
    return [int(x) for x in text.split()]


# Weights: the stem; two convolutions of a block, and its shortcut where there is one; the last.
B_W = _numbers("14 13 13 13 13 14 13 14 14 14 14 14 15 14 14 14 14 14 13 13 12 10")
B_GW = [11, 12, 12, *[11] * 15, 12, 12, 14, 14]
R_GW = [-2, -4, -4, *[-5] * 11, *[-6] * 7, -2]
B_ACC = _numbers("9 13 13 13 13 12 13 12 12 12 12 12 11 12 13 13 13 13 15 15 18 16")
# Activations: the input, the stem's, two of each block. Gradients: without the input's, with that
# of the scores.
B_A = [8, *_numbers("8 7 7 6 6 6 6 6 7 7 7 7 6 6 7 6 5 4 3")]
B_GA = _numbers("7 10 10 11 11 11 11 10 11 11 10 9 9 10 10 11 11 11 13 15")
R_GA = [-11 if i in (1, 9, 10, 14, 15, 16) else -12 for i in range(1, 20)] + [-4]


def released_plan(tensors: Tensors) -> Plan:
    """The formats by point. The input's hold pixels times 1/256 as they are."""
    sites, gradients = tensors.sites, tensors.gradients

    def by_layer(bits: list[int], ranges: list[int]) -> dict[str, Word]:
        words = [Word(b, r) for b, r in zip(bits, ranges, strict=True)]
        return dict(zip(tensors.weight_layers, words, strict=True))

    activations = [Word(b, -1 if i == 0 else 0, is_signed=False) for i, b in enumerate(B_A)]
    behind = [Word(b, r) for b, r in zip(B_GA, R_GA, strict=True)]
    return TensorPlan(
        tensors,
        weights=by_layer(B_W, [0] * len(B_W)),
        activations=dict(zip((site.layer for site in sites), activations, strict=True)),
        weight_grads=by_layer(B_GW, R_GW),
        activation_grads=dict(zip(gradients, behind, strict=True)),
        accumulators=by_layer(B_ACC, [-b for b in B_W]),
    ).plan()


def with_released_formats(net: NetFile, tensors: Tensors) -> NetFile:
    """The net with the released formats as `precision_param`."""
    return with_plan(net, released_plan(tensors))
