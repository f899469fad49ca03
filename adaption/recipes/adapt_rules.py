"""The arithmetic of AdaPT's decisions: information loss, gradient diversity, and what follows.

Source: Kummer, Sidak, Reichmann, Gansterer, "Adaptive Precision Training (AdaPT)" (SDM 2023), with
the behaviour that was meant where the authors' program differs; `strict` is as the program.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from adaption.later import Tensor, torch
from adaption.numerics import FixedPoint

__all__ = [
    "MOST",
    "divergence",
    "grid",
    "next_lookback",
    "push_down",
    "push_up",
    "strict_divergence",
]

MOST = 32  # bits of a word
STRATEGIES = ("MIN", "MEAN", "MAX")


def grid(word_length: int, frac_length: int) -> FixedPoint:
    """<WL, FL>: two's complement, the most negative code kept, rounded stochastically."""
    return FixedPoint(word_length, frac_length, "stochastic", range="full")


def divergence(w: Tensor, quantized: Tensor, bins: int) -> float:
    """Information loss KL(P || Q) of the binned values, in nats.

    Both histograms have `bins` equal bins from the least to the greatest of `w`, and half a count
    added to each bin, since a strict KL is infinite where Q has an empty one.
    """
    low, high = float(w.min()), float(w.max())
    if low == high:
        return 0.0
    counts = [
        torch.histc(x.detach().float().clamp(low, high), bins, low, high).double() + 0.5
        for x in (w, quantized)
    ]
    p, q = (c / c.sum() for c in counts)
    return float((p * (p / q).log()).sum())


def strict_divergence(w: Tensor, quantized: Tensor, bins: int) -> float:
    """As the authors' program computes it: of the first slice alone, what leaves the range of
    `w` not counted, and (1/r) sum exp(q)(q - p), which is no KL."""
    first, rounded = w[0].detach().float(), quantized[0].detach().float()
    low, high = float(first.min()), float(first.max())
    if low == high:
        return 0.0
    p, q = (torch.histc(x, bins, low, high).double() for x in (first, rounded))
    return strict_metric(p / p.sum(), q / q.sum()) if q.any() else math.inf


def strict_metric(p: Tensor, q: Tensor) -> float:
    """The program's measure of two distributions: a log-target KL loss fed with probabilities."""
    return float((q.exp() * (q - p)).mean())


def push_down(
    w: Tensor,
    word_length: int,
    frac_length: int,
    resolution: int,
    floor: int,
    generator: Callable[[], torch.Generator],
    *,
    strict: bool = False,
) -> tuple[int, int]:
    """The smallest format that loses no information: first FL, then WL; never beyond the current.

    Args:
        w: the master. word_length, frac_length: in force, taken to lose nothing.
        resolution: bins of the histograms; fewer where `w` has less than five values a bin.
        floor: least FL to try.
        generator: makes the random numbers of a candidate, the same for each.
    Returns: word length and fractional length.
    """
    bins = resolution
    if not strict and w.numel() < 5 * bins:
        bins = max(2, w.numel() // 5)
    measure = strict_divergence if strict else divergence
    # The order of the noise of such an estimate between two samples of this size.
    tolerance = 1e-6 if strict else (bins - 1) / (2 * w.numel())

    def loses(wl: int, fl: int) -> bool:
        return measure(w, grid(wl, fl).quantize(w, generator()), bins) > tolerance

    search = _strict_search if strict else _search
    fl = search(floor, frac_length, lambda f: loses(word_length, f))
    if strict:
        wl = _search(fl, word_length, lambda b: loses(b, fl), give_failing=True)
    else:
        wl = _search(max(1, fl), word_length, lambda b: loses(b, fl))
    return wl, fl


def _search(
    low: int, high: int, fails: Callable[[int], bool], *, give_failing: bool = False
) -> int:
    """The least passing value of low..high, the upper end of which is taken to pass."""
    if low >= high:
        return high
    failing = low - 1
    while high - failing > 1:
        middle = (failing + high) // 2
        if fails(middle):
            failing = middle
        else:
            high = middle
    return max(failing, low) if give_failing else high


def _strict_search(low: int, high: int, fails: Callable[[int], bool]) -> int:
    """The program's bisection, which tries the lower end and returns it."""
    while high - low > 1:
        middle = (low + high) // 2
        if fails(low):
            low = middle
        else:
            high = middle
    return low


def push_up(
    diversity: float, word_length: int, frac_length: int, strategy: str, buffer: int
) -> tuple[int, int, int]:
    """Bits to add, by the gradients' diversity: (s, WL, FL).

    Args:
        diversity: sum of norms over norm of the sum of the window's gradients; may be infinite.
        word_length, frac_length: as PushDown found them.
        strategy: MIN, MEAN or MAX. buffer: least WL - FL, up to 32 bits.
    """
    s = _increment(diversity, frac_length, strategy)
    wider = min(frac_length + s, MOST)
    longer = min(max(word_length, wider) + 1, MOST)
    fl = min(wider, MOST - buffer)
    return s, max(min(fl + buffer, MOST), longer), fl


def _increment(diversity: float, frac_length: int, strategy: str) -> int:
    if math.isinf(diversity):
        return 1
    a = math.log(diversity) - 1 if diversity > 0 else -math.inf
    if a <= 1e-12:  # up to e
        return 1
    s1 = max(math.ceil(1 / a**2), 1)
    s2 = max(min(math.ceil(32 * a**2), 32) - frac_length, 0)
    if strategy == "MIN":
        return min(s1, s2)
    return max(s1, s2) if strategy == "MAX" else math.ceil((s1 + s2) / 2)


def next_lookback(
    lookback: Tensor, diversity: Tensor, least: int, most: int, momentum: float, *, strict: bool
) -> Tensor:
    """The lookback behind one more gradient, per layer; kept as a float and compared rounded."""
    target = (most / diversity).clamp(max=most).clamp(min=least).ceil()
    target = target.where(diversity.isfinite(), float(least))
    moved = momentum * target + (1 - momentum) * lookback
    return moved.ceil() if strict else moved
