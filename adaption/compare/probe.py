"""Edge values: what an activation point is tried on, to see that it rounds exactly as we do."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adaption.numerics import FixedPoint

__all__ = ["edge_values"]

RANDOM = 4096


def edge_values(fmt: FixedPoint, seed: int = 0) -> npt.NDArray[np.float32]:
    """float32 values, shape (n,), on which a wrong rounding or a wrong bound shows.

    Codes, rounding ties and their neighbours near zero, at both ends of the range and at random
    between them; the float32 range beyond; zeros of both signs, denormals, infinities, NaN; and
    random bit patterns.
    """
    rng = np.random.default_rng(seed)
    top = float(max(fmt.max_code, 1))
    near = np.arange(-40, 41) / 4
    codes = np.concatenate(
        [near, top + near, -top + near, np.floor(rng.uniform(-top, top, RANDOM)) + 0.5]
    )
    with np.errstate(over="ignore"):
        x = (codes * 2.0**-fmt.frac_length / fmt.divisor).astype(np.float32)
        bits = rng.integers(0, 2**32, RANDOM, dtype=np.uint32).view(np.float32)
        limits = np.finfo(np.float32)
        special = np.array(
            [0, limits.smallest_subnormal, limits.tiny, limits.max, np.inf], np.float32
        )
        around = [np.nextafter(x, np.float32(side)) for side in (-np.inf, np.inf)]
    return np.concatenate([x, *around, special, -special, [np.float32(np.nan)], bits])
