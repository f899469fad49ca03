"""Rounding of numpy arrays to fixed point, bit by bit as `FixedPoint.quantize` rounds tensors."""

from __future__ import annotations

from adaption.later import np, npt, torch
from adaption.numerics.formats.base import Format
from adaption.numerics.formats.fixed import FixedPoint

__all__ = ["is_plain", "quantize_array"]

_EXACT = 24  # bits: float32 holds every code of such a word
_PIECE = 1 << 18  # values in float64 at a time: 2 MiB


def is_plain(fmt: Format) -> bool:
    """Whether arrays can be rounded without torch: signed fixed point, to the nearest code."""
    return (
        isinstance(fmt, FixedPoint)
        and fmt.divisor == 1
        and fmt.is_signed
        and 2 <= fmt.word_length <= _EXACT
        and abs(fmt.frac_length) <= 64
        and fmt.rounding in ("half_away", "half_even")
    )


def quantize_array(
    fmt: Format, values: npt.NDArray[np.float32], generator: torch.Generator | None = None
) -> npt.NDArray[np.float32]:
    """`values` on the grid of a format, in a new array.

    Args:
        values: any shape; neither NaN nor infinite.
        generator: for formats with stochastic rounding.
    """
    if not (isinstance(fmt, FixedPoint) and is_plain(fmt)):
        rounded: npt.NDArray[np.float32] = fmt.quantize(
            torch.from_numpy(values.copy()), generator
        ).numpy()
        return rounded
    made = np.ascontiguousarray(values, np.float32).copy()
    flat = made.reshape(-1)
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE]
        codes = piece.astype(np.float64)  # in which scaling, and adding one half, is exact
        codes *= 2.0**fmt.frac_length
        if fmt.rounding == "half_away":
            np.clip(codes, fmt.min_code, fmt.max_code, out=codes)
            np.trunc(codes + np.copysign(0.5, codes), out=codes)
        else:
            np.rint(codes, out=codes)
        np.clip(codes, fmt.min_code, fmt.max_code, out=codes)
        codes *= fmt.lsb
        piece[:] = codes
    return made
