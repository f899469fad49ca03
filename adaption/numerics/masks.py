"""Masks of one bit per value: what the backward pass of a saturating format keeps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from adaption.later import Tensor, torch

__all__ = ["PackedMask"]

# Multiplying eight bytes of 0 or 1, taken as one integer, by this gathers them in the top byte:
# byte i moves to bit 56 + i, and no two partial products meet.
_GATHER = 0x0102040810204080


@dataclass(frozen=True)
class PackedMask:
    """A bool tensor in an eighth of its memory."""

    bits: Tensor  # uint8, the last one filled up with zeros
    shape: torch.Size
    stride: tuple[int, ...]
    size: int

    @classmethod
    def of(cls, mask: Tensor) -> PackedMask:
        """Pack a dense bool tensor (any memory layout without gaps)."""
        flat = mask.as_strided((mask.numel(),), (1,)) if _is_dense(mask) else mask.flatten()
        stride = mask.stride() if _is_dense(mask) else mask.contiguous().stride()
        rest = -flat.numel() % 8
        if rest:
            flat = torch.cat([flat, flat.new_zeros(rest)])
        words = flat.view(torch.int64) * _GATHER
        bits = words.view(torch.uint8)[7::8].clone()
        return cls(bits, mask.shape, stride, mask.numel())

    def unpack(self) -> Tensor:
        """The bool tensor, in the memory layout that it had."""
        words = _bytes_of(self.bits.device)[self.bits.long()]
        flat = words.view(torch.bool)[: self.size]
        return flat.as_strided(self.shape, self.stride)


def _is_dense(x: Tensor) -> bool:
    expected = 1
    for size, stride in sorted(zip(x.shape, x.stride(), strict=True), key=lambda p: p[1]):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return x.storage_offset() == 0 or x.is_contiguous()


@cache
def _bytes_of(device: torch.device) -> Tensor:
    """For each byte its eight bits as bytes of 0 or 1, taken as one int64."""
    bits = (torch.arange(256).unsqueeze(1) >> torch.arange(8)) & 1
    return bits.to(torch.uint8).view(torch.int64).flatten().to(device)
