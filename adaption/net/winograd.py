"""3 x 3 convolution with 2.25 times fewer products, as batched matrix products.

Source: Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), F(2x2, 3x3). The
filters are transformed once, in float64. Against a float64 convolution the error is below that of
a direct float32 sum, since fewer terms are added.
"""

from __future__ import annotations

from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["convolve", "pays", "transform_filters"]

_B = torch.tensor([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]).double()
_G = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]).double()
_A = torch.tensor([[1, 1, 1, 0], [0, 1, -1, -1]]).double()
# Each works along rows and columns at once, on patches written as 16 (or 9, or 4) values.
_DATA = torch.kron(_B, _B).float()
_FILTER = torch.kron(_G, _G)
_RESULT = torch.kron(_A, _A).float()


def pays(weight: Tensor, height: int, width: int) -> bool:
    """Whether it is faster than oneDNN's direct convolution: many channels, not too few pixels.

    Args:
        weight: (K, C, 3, 3); height, width: of the top. Where the line lies was measured on two
            AVX2 cores (scripts/bench/inference.py); it decides speed only.
    """
    return min(weight.shape[:2]) >= 256 and 400 <= height * width <= 4000


def transform_filters(weight: Tensor) -> Tensor:
    """(K, C, 3, 3) to (16, C, K)."""
    outputs, channels = weight.shape[:2]
    rows = weight.double().permute(2, 3, 1, 0).reshape(9, -1)
    return (_FILTER @ rows).view(16, channels, outputs).float().contiguous()


def convolve(x: Tensor, filters: Tensor, bias: Tensor | None, pad: int, *, relu: bool) -> Tensor:
    """Stride 1, `pad` on all sides.

    Args:
        x: (N, C, H, W), any memory layout.
        filters: from `transform_filters`. bias: (K,).
    Returns: (N, K, H + 2 pad - 2, W + 2 pad - 2), channels last in memory.
    """
    samples, channels, height, width = x.shape
    outputs = filters.shape[2]
    top_h, top_w = height + 2 * pad - 2, width + 2 * pad - 2
    rows, columns = ceil(top_h / 2), ceil(top_w / 2)  # tiles of 2 x 2 results, 4 x 4 values each
    behind_h, behind_w = 2 * rows + 2 - height - pad, 2 * columns + 2 - width - pad
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, pad, behind_w, pad, behind_h))
    tiles = padded.unfold(1, 4, 2).unfold(2, 4, 2).permute(4, 5, 0, 1, 2, 3).reshape(16, -1)
    products = torch.bmm((_DATA @ tiles).view(16, -1, channels), filters)
    y = (_RESULT @ products.view(16, -1)).view(2, 2, samples, rows, columns, outputs)
    if bias is not None:
        y = y.add_(bias)
    if relu:
        y = y.relu_()
    y = y.permute(2, 3, 0, 4, 1, 5).reshape(samples, 2 * rows, 2 * columns, outputs)
    return y[:, :top_h, :top_w].permute(0, 3, 1, 2)
