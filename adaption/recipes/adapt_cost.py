"""AdaPT's performance model: multiply-accumulates weighted with word lengths and non-zeros.

Source: the authors' analysis scripts, with the overhead per micro-batch and sample, as it was
meant; all figures are vectors with one value per weight layer.
"""

from __future__ import annotations

from adaption.later import Tensor, torch

__all__ = ["costs", "overhead", "size_ratio", "size_ratio_weighted", "speedup"]


def overhead(
    size: Tensor, word_length: Tensor, nonzero: Tensor, lookback: Tensor, resolution: Tensor
) -> Tensor:
    """Float32 work of one decision, spread over the steps of its lookback, in bit operations.

    PushDown bins each entry for every candidate of two bisections, PushUp sums the gradients.
    """
    beyond = (word_length - 8).clamp(min=1)
    tries = torch.where(word_length > 8, 2 * beyond.log2(), 1.0)
    down = 3 * size * tries * resolution * nonzero
    up = (lookback + 1) * size + 1
    return 32 * (down + up) / lookback


def costs(
    macs: Tensor,
    word_length: Tensor,
    nonzero: Tensor,
    extra: Tensor,
    *,
    strict: bool = False,
) -> tuple[Tensor, Tensor]:
    """Cost per sample in bit operations, quantized and in float32.

    Args:
        extra: overhead per sample; the authors' program scales it with `nonzero`, too (strict).
    """
    quantized = macs * word_length * nonzero + (extra * nonzero if strict else extra)
    return quantized, 32 * macs


def speedup(quantized: float, full: float) -> float:
    """Of training: a quantized forward pass and a float backward pass, against two float ones."""
    return 2 * full / (quantized + full) if full else 1.0


def size_ratio(word_length: Tensor, nonzero: Tensor) -> float:
    """Model size against float32, as the authors report it: not weighted with layer sizes."""
    return float(nonzero.mean() * word_length.sum() / (32 * len(word_length)))


def size_ratio_weighted(size: Tensor, word_length: Tensor, nonzero: Tensor) -> float:
    """Model size against float32, by entries."""
    return float((size * nonzero * word_length).sum() / (32 * size.sum()))
