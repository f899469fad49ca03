"""ADaPTION's own helper `distribute_bits`, its arrays reproduced column by column.

It goes by names, looks at one batch, and in mode high_precision takes the bias for the weights
(specification 2.4). `propose(rule="adaption-legacy")` applies the same rule to any graph; this
module is for comparing with arrays that the original made.
Source: python/caffe/quantization/qmf_check.py of ADaPTION.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adaption.errors import FieldError
from adaption.net import Net
from adaption.options import Formats
from adaption.precision.rules import Settings, choose
from adaption.precision.statistics import TensorStats

__all__ = ["LOAD_MODES", "activation_bits", "weight_bits"]

LOAD_MODES = ("high_precision", "low_precision")

Bits = npt.NDArray[np.float64]


def weight_bits(
    net: Net, bits: int = 16, threshold: float = 0.1, *, load_mode: str = "high_precision"
) -> Bits:
    """Qm.f per layer called conv or fc, from its blob 1: the bias, or the rounded weights.

    Args:
        net: after a forward pass, which fills the rounded weights.
    Returns: (2, L) array, row 0 m with the sign, row 1 f; L counts the blobs called conv or fc, so
        Split blobs leave columns of zeros at the end.
    """
    _check(load_mode)
    tensors = [
        blobs[1].tensor
        for name, blobs in net.params.items()
        if _is_called(name, "conv", "fc") and len(blobs) > 1
    ]
    width = sum(_is_called(name, "conv", "fc") for name in net.blobs)
    return _columns(tensors, width, bits, threshold)


def activation_bits(
    net: Net, bits: int = 16, threshold: float = 0.1, *, load_mode: str = "high_precision"
) -> Bits:
    """Qm.f per blob called conv or fc (high_precision) or act (low_precision).

    Args:
        net: after a forward pass; blobs are taken as they are then, after all layers in place.
    Returns: (2, L) array as of `weight_bits`; Split blobs are counted in L and left out.
    """
    _check(load_mode)
    keys = ("conv", "fc") if load_mode == "high_precision" else ("act",)
    named = [name for name in net.blobs if _is_called(name, *keys)]
    tensors = [net.blobs[name].tensor for name in named if "split" not in name]
    return _columns(tensors, len(named), bits, threshold)


def _columns(tensors: Iterable[Tensor], width: int, bits: int, threshold: float) -> Bits:
    found = np.zeros((2, width))
    settings = Settings(bits, formats=Formats(threshold=threshold))
    for i, tensor in enumerate(tensors):
        stats = TensorStats.of(tensor.to(torch.float32), legacy_rule=True)
        fmt = choose("adaption-legacy", stats, settings).format
        found[:, i] = fmt.int_length, fmt.frac_length
    return found


def _is_called(name: str, *keys: str) -> bool:
    return any(key in name for key in keys)


def _check(load_mode: str) -> None:
    if load_mode not in LOAD_MODES:
        raise FieldError("load_mode", load_mode, ", ".join(LOAD_MODES))
