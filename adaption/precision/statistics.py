"""Range statistics of one tensor over any number of batches, in constant memory, mergeable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Self, TypeAlias

from adaption.errors import FieldError
from adaption.io.entries import Entries
from adaption.later import Tensor, np, npt, torch
from adaption.precision.counting import count_patterns, count_zeros
from adaption.precision.sampling import SAMPLE, in_memory_order, sample_of

__all__ = ["PERCENTILES", "STEPS", "TensorStats"]

STEPS = 8  # bins per octave, so a bin is 1/8 of its octave wide: three bits of the mantissa
_OCTAVES = 256  # values of float32's exponent field
_BINS = _OCTAVES * STEPS
_BIAS = 127
_PATTERN_BITS = 12  # a float32's sign, exponent and first three bits of its mantissa
_FEW = 64  # values that tell whether a tensor may lie on a grid
_GRID_BITS = 16  # a step further below the greatest value is no grid that a format could meet
_MOST = 1 << 62  # of a count: what int64 holds
_PIECE = 1 << 20  # values that are summed in float32 before float64 goes on
LEGACY_EDGES = [2.0**m - 1 for m in range(32)]
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999)

Counts: TypeAlias = "npt.NDArray[np.int64]"


@dataclass
class TensorStats:
    """Count, zeros, min, max, sums, and how many values lie in each eighth of each octave.

    `bins[s, 8 (e + 127) + k]` counts the values of sign s (0 positive, 1 negative) with
    2^e (1 + k/8) <= |x| < 2^e (1 + (k+1)/8), k = 0..7; the first eight bins hold zeros and
    denormals, the last eight infinities and NaN. Powers of two are edges, so counts beyond them are
    exact; within a bin values are taken to be spread evenly, which places a percentile within 1/8
    of its octave.

    With a `stride` above 1 all but count, min and max was taken of every stride-th value and scaled
    up: a share p of the values is then off by about sqrt(p (1 - p) / n) for n values looked at,
    16384 of the first batch, half as many of each behind it, but no less than 2048.
    """

    count: int = 0
    zeros: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    total: float = 0.0
    squares: float = 0.0
    # Sums of |x| and of x |x|: from them follow the sums of max(x, 0).
    magnitudes: float = 0.0
    signed_squares: float = 0.0
    bins: Counts = field(default_factory=lambda: np.zeros((2, _BINS), np.int64))
    # All values are multiples of 2^grid; None: of no step that is coarse beside the greatest one.
    # Where all are zero it means nothing. Taken from the values that were looked at.
    grid: int | None = None
    # Values above 2^m - 1 for m = 0..31: what the original's rule looks at. None: not counted.
    above: Counts | None = None
    stride: int = 1
    # The same values, each over the power of two of its own tensor, so that tensors of one kind
    # count alike whatever their ranges: what formats with a shared exponent see. None: not kept.
    own_scale: TensorStats | None = None

    @classmethod
    def counting_above(cls) -> Self:
        """Statistics that the rule `adaption-legacy` can be applied to with a threshold."""
        return cls(above=np.zeros(len(LEGACY_EDGES), np.int64))

    @classmethod
    def of(cls, x: Tensor, *, legacy_rule: bool = False, turn: int | None = None) -> Self:
        """Statistics of all values of `x`, any shape.

        Args:
            legacy_rule: also count `above`.
            turn: take all but count, min and max of a large tensor from a sample; the sample of
                each turn (of each batch) starts at another value. None: from all values.
        """
        flat = in_memory_order(x)
        if not flat.numel():
            return cls.counting_above() if legacy_rule else cls()
        sample, stride = sample_of(flat, turn)
        made = cls.of_sample(sample, flat.numel(), stride, *torch.aminmax(flat))
        if legacy_rule:
            edges = torch.tensor(LEGACY_EDGES, device=flat.device)
            places = torch.bucketize(flat, edges)  # edges[i-1] < x <= edges[i]
            counts = torch.bincount(places, minlength=len(edges) + 1).cpu().numpy()
            made.above = counts[::-1].cumsum()[::-1][1:].copy()
        return made

    @classmethod
    def of_sample(
        cls, sample: Tensor, count: int, stride: int, minimum: Tensor, maximum: Tensor
    ) -> Self:
        """Statistics of `count` values, given every stride-th of them and the outermost ones."""
        low, high = float(minimum) + 0.0, float(maximum) + 0.0  # -0.0 is 0.0
        made = cls(count, minimum=low, maximum=high, stride=stride)
        made._take_in(sample)
        return made

    def _take_in(self, sample: Tensor) -> None:
        """Zeros, sums and histogram, from values that stand for all."""
        share = self.count / sample.numel()
        if sample.numel() <= SAMPLE:  # one wait for the device, not one per sum
            sample = sample.cpu()
        held = torch.empty(min(_PIECE, sample.numel()), device=sample.device)  # stays in the cache
        for start in range(0, sample.numel(), _PIECE):  # float32 inside, float64 over them
            piece = sample[start : start + _PIECE]
            magnitudes = torch.abs(piece, out=held[: len(piece)])
            self.total += float(piece.sum()) * share
            self.squares += float(torch.dot(piece, piece)) * share
            self.magnitudes += float(magnitudes.sum()) * share
            self.signed_squares += float(torch.dot(piece, magnitudes)) * share
        self.bins = count_patterns(sample, _PATTERN_BITS).reshape(2, _BINS)
        if self.bins[0, 0] or self.bins[1, 0]:  # zeros, or denormals below 2^-129
            self.zeros = count_zeros(sample)
            # A zero has no sign; a denormal that small is counted as positive.
            self.bins[:, 0] = self.bins[:, 0].sum(), 0
        self.grid = _grid_of(sample)
        if self.stride > 1:
            self._scale_up(sample.numel())

    def _scale_up(self, seen: int) -> None:
        """Make a sample's counts those of all values; the outermost values are known."""
        self.bins[:, 0] = self.bins[0, 0] + self.bins[1, 0] - self.zeros, 0  # denormals
        flat = self.bins.reshape(-1)
        used = (flat != 0).nonzero()
        scaled = flat[used] * self.count // seen
        flat[used] = scaled
        rest = self.count - int(scaled.sum())
        for value in (self.minimum, self.maximum):
            place = (int(value < 0), _bin_of(value))
            if value and not self.bins[place]:
                self.bins[place] = 1
                rest -= 1
        if self.zeros:
            self.zeros = rest
            self.bins[0, 0] += rest
        else:
            self.bins.flat[self.bins.argmax()] += rest

    def rectified(self) -> TensorStats | None:
        """Statistics of max(x, 0), given these of x; None where they do not follow (NaN)."""
        tiny = int(self.bins[:, 0].sum()) - self.zeros  # denormals of either sign
        if tiny or math.isnan(self.total):
            return None
        made = TensorStats(count=self.count, stride=self.stride, grid=self.grid)
        made.zeros = self.count - int(self.bins[0, 1:].sum())
        made.minimum, made.maximum = max(self.minimum, 0.0), max(self.maximum, 0.0)
        made.total = made.magnitudes = (self.total + self.magnitudes) / 2
        made.squares = made.signed_squares = (self.squares + self.signed_squares) / 2
        made.bins[0] = self.bins[0]
        made.bins[0, 0] = made.zeros
        made.above = self.above
        return made

    def update(self, x: Tensor) -> None:
        """Take in all values of `x`, any shape."""
        self.add(TensorStats.of(x, legacy_rule=self.above is not None))

    def add(self, other: TensorStats) -> None:
        """Take in the values that `other` stands for."""
        if self.zeros == self.count:
            self.grid = other.grid
        elif other.zeros < other.count:
            either = self.grid is None or other.grid is None
            self.grid = None if either else min(self.grid, other.grid)  # type: ignore[type-var]
        self.count += other.count
        self.zeros += other.zeros
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        self.total += other.total
        self.squares += other.squares
        self.magnitudes += other.magnitudes
        self.signed_squares += other.signed_squares
        self.bins += other.bins
        self.stride = max(self.stride, other.stride)
        scaled = self.own_scale is not None and other.own_scale is not None
        self.own_scale = self.own_scale.merge(other.own_scale) if scaled else None  # type: ignore
        both = self.above is not None and other.above is not None
        self.above = self.above + other.above if both else None  # type: ignore[operator]

    def merge(self, other: TensorStats) -> TensorStats:
        """The statistics of both sets of values together."""
        made = self.copy()
        made.add(other)
        return made

    def copy(self) -> TensorStats:
        """Statistics of the same values, to be changed apart."""
        above = None if self.above is None else self.above.copy()
        scaled = None if self.own_scale is None else self.own_scale.copy()
        return replace(self, bins=self.bins.copy(), above=above, own_scale=scaled)

    def over_own_power(self) -> TensorStats:
        """Of one tensor: statistics of its values over 2^E, E = floor(log2(max_abs))."""
        exponent = _exponent_of(self.max_abs) - 1
        if not self.max_abs or not math.isfinite(self.max_abs) or exponent < 1 - _BIAS:
            return self.copy()
        factor = 2.0**-exponent
        made = TensorStats(self.count, self.zeros, self.minimum * factor, self.maximum * factor)
        made.total, made.magnitudes = self.total * factor, self.magnitudes * factor
        made.squares = self.squares * factor**2
        made.signed_squares = self.signed_squares * factor**2
        made.stride = self.stride
        made.bins[:, :STEPS] = self.bins[:, :STEPS]  # zeros and denormals stay the least there is
        used = np.flatnonzero(self.bins[:, STEPS:].any(axis=0)) + STEPS
        places = np.maximum(used - exponent * STEPS, STEPS)
        for sign in (0, 1):
            np.add.at(made.bins[sign], places, self.bins[sign, used])
        return made

    @property
    def max_abs(self) -> float:
        """Greatest magnitude; 0 when there are no values."""
        return max(abs(self.minimum), abs(self.maximum)) if self.count else 0.0

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else math.nan

    @property
    def std(self) -> float:
        """Standard deviation of the values."""
        if not self.count:
            return math.nan
        return math.sqrt(max(0.0, self.squares / self.count - self.mean**2))

    @property
    def zero_share(self) -> float:
        return self.zeros / self.count if self.count else 0.0

    @property
    def is_finite(self) -> bool:
        return not self.bins[:, -STEPS:].any()

    @property
    def is_never_negative(self) -> bool:
        """True when a signed format would leave its sign bit unused."""
        return self.count > 0 and self.minimum >= 0

    @property
    def octaves(self) -> Counts:
        """Counts by sign and exponent field, (2, 256)."""
        made: Counts = self.bins.reshape(2, _OCTAVES, STEPS).sum(2)
        return made

    def reaching(self, exponent: int) -> int:
        """Number of finite values with |x| >= 2^exponent, for exponents -126..127."""
        first = min(max(exponent + _BIAS, 0), _OCTAVES - 1) * STEPS
        return int(self.bins[:, first:-STEPS].sum())

    def percentile(self, percent: float) -> float:
        """The magnitude that `percent` of the finite non-zero values do not exceed.

        Interpolated within a bin, so it is off by at most 1/8 of its octave; 100 gives max_abs.
        """
        counts = self.bins.sum(0)[: -STEPS or None].astype(np.float64)
        counts[0] -= self.zeros
        reached = counts.cumsum()
        if percent >= 100 or not len(reached) or reached[-1] <= 0:
            return self.max_abs
        wanted = round(percent / 100 * reached[-1], 6)  # 99.9 % of 1000 is 999, not a bit more
        index = int(np.searchsorted(reached, wanted))
        low, high = bin_edges()[index : index + 2]
        inside = 1 - (reached[index] - wanted) / counts[index]
        return min(self.max_abs, float(low + inside * (high - low)))

    def histogram(self) -> dict[str, Any]:
        """Counts per power of two, trimmed to the powers that occur, for figures and files."""
        octaves = self.octaves
        used = np.flatnonzero(octaves[:, 1 : _OCTAVES - 1].any(axis=0)) + 1
        first, last = (int(used[0]), int(used[-1])) if len(used) else (_BIAS, _BIAS - 1)
        return {
            "exponent_low": first - _BIAS,
            "negative": octaves[1, first : last + 1].tolist(),
            "positive": octaves[0, first : last + 1].tolist(),
            "zeros": self.zeros,
        }

    def saturation(self) -> dict[str, float]:
        """Share of the values beyond a signed Qm.f, by m, from no value beyond to most of them.

        A value within one LSB of 2^(m-1) counts as beyond.
        """
        shares = {}
        m = _exponent_of(self.max_abs) + 1
        for _ in range(16):
            shares[str(m)] = self.reaching(m - 1) / max(1, self.count)
            m -= 1
            if not self.count or shares[str(m + 1)] > 0.5 or m <= -_BIAS:
                break
        return shares

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file; `from_dict` reads them back."""
        has = self.count > 0
        made = {
            "count": self.count,
            "zeros": self.zeros,
            "min": self.minimum if has else None,
            "max": self.maximum if has else None,
            "max_abs": self.max_abs,
            "mean": self.mean if has else None,
            "std": self.std if has else None,
            "percentiles": {f"{p:g}": self.percentile(p) for p in PERCENTILES},
            "saturation": self.saturation(),
            "squares": self.squares,
            "magnitudes": self.magnitudes,
            "signed_squares": self.signed_squares,
            "stride": self.stride,
            "grid": self.grid,
            "histogram": self._trimmed(),
        }
        if self.above is not None:
            made["above"] = self.above.tolist()
        if self.own_scale is not None:
            made["own_scale"] = self.own_scale.to_dict()
        return made

    def _trimmed(self) -> dict[str, Any]:
        """The bins of the non-zero values, of all octaves from the first to the last that occur."""
        bins = self.bins.copy()
        bins[:, 0] = bins[:, 0].sum() - self.zeros, 0  # denormals, whatever their sign
        used = np.flatnonzero(bins.reshape(2, _OCTAVES, STEPS).any(axis=(0, 2)))
        first, end = (int(used[0]), int(used[-1]) + 1) if len(used) else (_BIAS, _BIAS)
        window = slice(first * STEPS, end * STEPS)
        return {
            "exponent_low": first - _BIAS,
            "steps": STEPS,
            "negative": bins[1, window].tolist() if bins[1].any() else [],
            "positive": bins[0, window].tolist() if bins[0].any() else [],
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any] | Entries) -> Self:
        """Statistics from `to_dict`'s values; what follows from others is not read.

        Raises: FieldError when they do not fit together.
        """
        values = given if isinstance(given, Entries) else Entries(given)
        count = values.whole("count", 0, _MOST)
        made = cls(count, values.whole("zeros", 0, count))
        for name in ("squares", "magnitudes", "signed_squares"):
            setattr(made, name, values.number(name))
        made.stride = values.whole("stride", 1, _MOST)
        made.grid = values.whole("grid", -1100, 1100) if values.optional("grid") else None
        if count:
            made.minimum, made.maximum = values.number("min"), values.number("max")
            made.total = values.number("mean") * count
        shown = values.object("histogram")
        shown.whole("steps", STEPS, STEPS)
        octave = shown.whole("exponent_low", -_BIAS, _BINS // STEPS - _BIAS)
        first = (octave + _BIAS) * STEPS
        for sign, name in enumerate(("positive", "negative")):
            bins = shown.wholes(name, 0, _MOST)
            if first + len(bins) > _BINS:
                raise FieldError(f"histogram.{name}", len(bins), f"at most {_BINS - first} counts")
            made.bins[sign, first : first + len(bins)] = bins
        made.bins[0, 0] += made.zeros
        found = int(made.bins.sum())
        if found != count:
            raise FieldError(
                "histogram", f"{found} values in all", f"as many as count says, {count}"
            )
        if "above" in values:
            above = values.wholes("above", 0, _MOST)
            if len(above) != len(LEGACY_EDGES):
                raise FieldError("above", f"{len(above)} counts", f"{len(LEGACY_EDGES)} counts")
            made.above = np.asarray(above, np.int64)
        if "own_scale" in values:
            made.own_scale = cls.from_dict(values.object("own_scale"))
        return made


@cache
def bin_edges() -> npt.NDArray[np.float64]:
    """The magnitudes between which the bins lie; the first bins start at 0."""
    octave = np.arange(_BINS + 1) // STEPS - _BIAS
    inside = np.arange(_BINS + 1) % STEPS / STEPS
    edges = np.ldexp(1 + inside, octave)
    # Denormals: the exponent field 0 means 2^-126, without the leading one.
    edges[:STEPS] = np.ldexp(inside[:STEPS], 1 - _BIAS)
    return edges


def _grid_of(sample: Tensor) -> int | None:
    """The greatest e such that all values are multiples of 2^e; None where that says nothing.

    Values that lie on no grid have steps of their own, 23 bits below their exponents. The greatest
    of a few tells as a rule, so that a tensor costs next to nothing.
    """
    few = sample[:_FEW].cpu().numpy().view(np.uint32)
    if int((few & 0x7FFFFFFF).max(initial=0)) & ((1 << (23 - _GRID_BITS)) - 1):
        return None
    found: int | None = None
    top = -_BIAS
    for start, end in ((0, _FEW), (_FEW, sample.numel())):
        for first in range(start, end, _PIECE):
            values = sample[first : min(first + _PIECE, end)].cpu().numpy()
            bits = values.view(np.uint32) & np.uint32(0x7FFFFFFF)
            bits = bits[bits != 0]
            if not len(bits):
                continue
            exponents = np.maximum((bits >> 23).astype(np.int32), 1) - _BIAS - 23
            mantissas = np.where(bits >> 23 != 0, (bits & 0x7FFFFF) | 0x800000, bits)
            lowest = mantissas & (~mantissas + np.uint32(1))
            zeros = np.frexp(lowest.astype(np.float32))[1] - 1  # trailing ones of the mantissa
            least = int((exponents + zeros).min())
            found = least if found is None else min(found, least)
            top = max(top, int(exponents.max()) + 23)
            if found < top - _GRID_BITS:
                return None
    return found


def _bin_of(value: float) -> int:
    """The bin of a finite value's magnitude."""
    return int(np.float32(value).view(np.uint32)) >> 32 - _PATTERN_BITS & (_BINS - 1)


def _exponent_of(value: float) -> int:
    """The least e with value < 2^e; 0 for 0 and what is not finite."""
    return math.frexp(value)[1] if value and math.isfinite(value) else 0
