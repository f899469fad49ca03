"""Range statistics of one tensor over any number of batches, in constant memory, mergeable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adaption.errors import FieldError

__all__ = ["TensorStats"]

_BINS = 256  # values of float32's exponent field
_BIAS = 127
LEGACY_EDGES = torch.tensor([2.0**m - 1 for m in range(32)])


def in_memory_order(x: Tensor) -> Tensor:
    """All values of `x` as one axis, without a copy where the memory is dense (NCHW or NHWC)."""
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        x = x.permute(0, 2, 3, 1)
    return x.reshape(-1)


@dataclass
class TensorStats:
    """Count, zeros, min, max, sums, and how many values lie in each power of two.

    `exponents[s, e]` counts the values of sign s (0 positive, 1 negative) with
    2^(e-127) <= |x| < 2^(e-126); e = 0 holds zeros and denormals, e = 255 infinities and NaN.
    """

    count: int = 0
    zeros: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    total: float = 0.0
    squares: float = 0.0
    exponents: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, _BINS), np.int64))
    # Values above 2^m - 1 for m = 0..31: what the original's rule looks at. None: not counted.
    above: NDArray[np.int64] | None = None

    @classmethod
    def counting_above(cls) -> Self:
        """Statistics that the rule `adaption-legacy` can be applied to."""
        return cls(above=np.zeros(len(LEGACY_EDGES), np.int64))

    def update(self, x: Tensor) -> None:
        """Take in all values of `x`, any shape."""
        flat = in_memory_order(x.detach()).float()
        if not flat.numel():
            return
        low, high = torch.aminmax(flat)
        self.count += flat.numel()
        self.zeros += flat.numel() - int(torch.count_nonzero(flat))
        self.minimum = min(self.minimum, float(low))
        self.maximum = max(self.maximum, float(high))
        self.total += float(flat.sum(dtype=torch.float64))
        self.squares += float(torch.linalg.vector_norm(flat)) ** 2
        # Sign and exponent are the upper nine bits of a float32.
        fields = (flat.contiguous().view(torch.int32) >> 23) & 0x1FF
        self.exponents += torch.bincount(fields, minlength=2 * _BINS).view(2, _BINS).cpu().numpy()
        if self.above is not None:
            places = torch.bucketize(flat, LEGACY_EDGES)  # edges[i-1] < x <= edges[i]
            counts = torch.bincount(places, minlength=len(LEGACY_EDGES) + 1).numpy()
            self.above += counts[::-1].cumsum()[::-1][1:]

    def merge(self, other: TensorStats) -> TensorStats:
        """The statistics of both sets of values together."""
        both = self.above is not None and other.above is not None
        return TensorStats(
            self.count + other.count,
            self.zeros + other.zeros,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.total + other.total,
            self.squares + other.squares,
            self.exponents + other.exponents,
            self.above + other.above if both else None,  # type: ignore[operator]
        )

    @property
    def max_abs(self) -> float:
        """Greatest magnitude; 0 when there are no values."""
        return max(abs(self.minimum), abs(self.maximum)) if self.count else 0.0

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else math.nan

    @property
    def zero_share(self) -> float:
        return self.zeros / self.count if self.count else 0.0

    @property
    def is_finite(self) -> bool:
        return not self.exponents[:, -1].any()

    def reaching(self, exponent: int) -> int:
        """Number of finite values with |x| >= 2^exponent, for exponents -126..127."""
        first = min(max(exponent + _BIAS, 0), _BINS - 1)
        return int(self.exponents[:, first : _BINS - 1].sum())

    def histogram(self) -> dict[str, Any]:
        """Counts per power of two, trimmed to the powers that occur, for figures and files."""
        used = np.flatnonzero(self.exponents[:, 1 : _BINS - 1].any(axis=0)) + 1
        first, last = (int(used[0]), int(used[-1])) if len(used) else (_BIAS, _BIAS - 1)
        return {
            "exponent_low": first - _BIAS,
            "negative": self.exponents[1, first : last + 1].tolist(),
            "positive": self.exponents[0, first : last + 1].tolist(),
            "zeros": self.zeros,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file; `from_dict` reads them back."""
        made = {
            "count": self.count,
            "zeros": self.zeros,
            "min": self.minimum if self.count else None,
            "max": self.maximum if self.count else None,
            "mean": self.mean if self.count else None,
            "max_abs": self.max_abs,
            "squares": self.squares,
            "histogram": self.histogram(),
        }
        if self.above is not None:
            made["above"] = self.above.tolist()
        return made

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Statistics from `to_dict`'s values. Raises: FieldError when they do not fit together."""
        count = int(values["count"])
        made = cls(count=count, zeros=int(values["zeros"]), squares=float(values["squares"]))
        if count:
            made.minimum, made.maximum = float(values["min"]), float(values["max"])
            made.total = float(values["mean"]) * count
        shown = values["histogram"]
        first = int(shown["exponent_low"]) + _BIAS
        for sign, name in enumerate(("positive", "negative")):
            bins = shown[name]
            if not 0 <= first <= first + len(bins) <= _BINS:
                raise FieldError(f"histogram.{name}", len(bins), f"at most {_BINS - first} counts")
            made.exponents[sign, first : first + len(bins)] = bins
        if "above" in values:
            made.above = np.asarray(values["above"], np.int64)
        return made
