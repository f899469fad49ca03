"""Which values of a large tensor stand for all of them."""

from __future__ import annotations

import math
from functools import cache

from adaption.later import Tensor, torch

__all__ = ["SAMPLE", "SMALL_SAMPLE", "as_stored", "in_memory_order", "sample_of", "stride_for"]

# Values: what is told of a larger tensor may be told from at most so many in the first batch. Every
# one costs a line of the cache, more than min and max of all values in between; so with each batch
# the sample halves, down to the small one.
SAMPLE = 1 << 14
SMALL_SAMPLE = 1 << 11


def in_memory_order(x: Tensor) -> Tensor:
    """All values of `x`, float32, as one axis; no copy where the memory is dense (NCHW, NHWC)."""
    (x,) = as_stored(x)
    return x.reshape(-1).float().contiguous()


def as_stored(*tensors: Tensor) -> list[Tensor]:
    """Tensors of one shape with their axes in the order of their memory, where that is one order
    for all of them (NCHW, NHWC); no copy."""
    plain = [x.detach() for x in tensors]
    if plain[0].dim() == 4 and all(
        x.is_contiguous(memory_format=torch.channels_last) for x in plain
    ):
        plain = [x.permute(0, 2, 3, 1) for x in plain]
    return plain


def sample_of(flat: Tensor, turn: int | None) -> tuple[Tensor, int]:
    """The values that stand for all of `flat` in this turn, and the step between them.

    Where the step is 1 they are `flat` itself.
    """
    stride = 1 if turn is None else stride_for(flat.numel(), turn)
    return (flat if stride == 1 else flat[(turn or 0) % stride :: stride].contiguous()), stride


@cache
def stride_for(count: int, turn: int) -> int:
    """The step at which a tensor of more than `SAMPLE` values is sampled; 1 takes them all.

    A prime that does not divide the count, so that no axis of the tensor is passed over unevenly.
    """
    if count <= SAMPLE:
        return 1
    stride = -(-count // max(SMALL_SAMPLE, SAMPLE >> turn))
    while count % stride == 0 or any(stride % n == 0 for n in range(2, math.isqrt(stride) + 1)):
        stride += 1
    return stride
