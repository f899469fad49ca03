"""The path from the widest word lengths down: what is cut, in which order, and why.

Each layer has word lengths that it may take, each with a cost and with the error that it makes
alone. Errors of layers are taken to add up. The path then cuts, time and again, where the least
error is added per cost that is saved. Of each layer only the lengths on the lower convex hull of
(cost, error) are met, so every plan of that path has the least error at its cost among all plans
whose cost lies between its neighbours'. `within` finds plans between them that use a limit better.
Source: Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", IEEE
Transactions on Acoustics, Speech, and Signal Processing 36 (1988).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from math import log

__all__ = ["Cut", "Path", "last_that_fits", "path_of", "uniform_bits", "within"]


@dataclass(frozen=True)
class Cut:
    """One layer gets fewer bits.

    before, bits: its word length before and behind. saved: cost. added: error.
    """

    layer: str
    before: int
    bits: int
    saved: int
    added: float

    @property
    def price(self) -> float:
        """Error per cost that is saved."""
        return self.added / self.saved


@dataclass(frozen=True)
class Path:
    """The cuts in their order; position k is behind the first k of them.

    `path_of` puts the cheapest cuts first, `within` those that a limit needs.

    widest: word length by layer before any cut. error: of all layers together there.
    """

    widest: Mapping[str, int]
    cuts: tuple[Cut, ...]
    error: float

    def __len__(self) -> int:
        return len(self.cuts)

    def lengths(self, position: int) -> dict[str, int]:
        """Word length by layer at a position."""
        return dict(self.widest) | {cut.layer: cut.bits for cut in self.cuts[:position]}

    def error_at(self, position: int) -> float:
        """The sum of the errors of all layers."""
        return self._errors[position]

    def next_cut(self, layer: str, position: int) -> Cut | None:
        """What the layer would lose next; None where it has its least length."""
        return next((cut for cut in self.cuts[position:] if cut.layer == layer), None)

    def last_cut(self, layer: str, position: int) -> Cut | None:
        """What it lost last; None where it has its widest length."""
        return next((c for c in reversed(self.cuts[:position]) if c.layer == layer), None)

    @cached_property
    def _errors(self) -> list[float]:
        return list(accumulate((cut.added for cut in self.cuts), initial=self.error))


def path_of(
    errors: Mapping[str, Mapping[int, float]],
    cost_per_bit: Mapping[str, int],
) -> Path:
    """The path through the word lengths of layers.

    Args:
        errors: by layer and word length, the error that it makes alone.
        cost_per_bit: by layer, what one bit costs: its weights, or its MACs.
    """
    widest = {layer: max(known) for layer, known in errors.items()}
    cuts = []
    for layer, known in errors.items():
        cuts += _cuts_of(layer, known, cost_per_bit[layer])
    start = sum(errors[layer][bits] for layer, bits in widest.items())
    return Path(widest, tuple(sorted(cuts, key=lambda cut: cut.price)), start)


def _cuts_of(layer: str, errors: Mapping[int, float], cost_per_bit: int) -> list[Cut]:
    """From the widest length along the lower convex hull; prices rise."""
    if not cost_per_bit:
        return []
    found: list[Cut] = []
    bits = max(errors)
    while bits > min(errors):
        to = min(
            (b for b in errors if b < bits),
            key=lambda b: ((errors[b] - errors[bits]) / (bits - b), b),  # of equal ones the least
        )
        saved = (bits - to) * cost_per_bit
        found.append(Cut(layer, bits, to, saved, errors[to] - errors[bits]))
        bits = to
    return found


def within(path: Path, fits: Callable[[Mapping[str, int]], bool]) -> tuple[Path, int] | None:
    """A path with word lengths that fit, and their position on it; None where none fit.

    One cut of a large layer can save far more than the limit needs. So cuts that are not needed
    are taken back, the dearest first. Then the same is done without the large cut, with smaller
    cuts of other layers, and so on; the plan with the least error is returned. Cuts before the
    position are not always cheaper than those behind it.

    Args:
        path: from the widest lengths, in the order of prices.
        fits: whether word lengths keep a limit; where some do, shorter ones do, too.
    """
    found: list[list[Cut]] = []
    cuts = list(path.cuts)
    while fits(_lengths(path, cuts)):
        count = bisect_left(range(len(cuts)), True, key=lambda k: fits(_lengths(path, cuts[:k])))
        found.append(_without_needless(path, cuts[:count], fits))
        if not count:
            break
        layer = cuts[count - 1].layer
        cuts = cuts[: count - 1] + [cut for cut in cuts[count:] if cut.layer != layer]
    if not found:
        return None
    best = min(found, key=lambda cuts: sum(cut.added for cut in cuts))
    rest = [cut for cut in path.cuts if cut not in best]
    return Path(path.widest, (*best, *rest), path.error), len(best)


def _without_needless(
    path: Path, taken: Sequence[Cut], fits: Callable[[Mapping[str, int]], bool]
) -> list[Cut]:
    """The cuts without those that can be taken back; of a layer the last goes first."""
    lengths, kept = _lengths(path, taken), []
    for cut in reversed(taken):
        if lengths[cut.layer] == cut.bits and cut.added > 0:
            lengths[cut.layer] = cut.before
            if fits(lengths):
                continue
            lengths[cut.layer] = cut.bits
        kept.append(cut)
    return kept[::-1]


def _lengths(path: Path, cuts: Sequence[Cut]) -> dict[str, int]:
    return dict(path.widest) | {cut.layer: cut.bits for cut in cuts}


def uniform_bits(errors: Mapping[str, Mapping[int, float]], error: float) -> float | None:
    """The uniform word length, one for all layers, whose errors sum to `error`.

    Args:
        errors: by layer and word length, the error that the layer makes alone.
    Returns: bits, between two word lengths interpolated by the logarithm of the error; None if the
        error lies between no two of them.
    """
    lengths = sorted(set.intersection(*(set(known) for known in errors.values())))
    sums = {bits: sum(known[bits] for known in errors.values()) for bits in lengths}
    for fewer, more in pairwise(lengths):
        if sums[fewer] >= error >= sums[more] > 0 and sums[fewer] > sums[more]:
            share = log(sums[fewer] / error) / log(sums[fewer] / sums[more])
            return fewer + (more - fewer) * share
    return None


def last_that_fits(positions: Sequence[int], fits: Callable[[int], bool]) -> int | None:
    """The last of rising positions that fits, by bisection; None where the first does not.

    Where `fits` wavers, one position that fits with a neighbour behind it that does not.
    """
    if not fits(positions[0]):
        return None
    low, high = 0, len(positions)  # low fits, high does not
    while high - low > 1:
        middle = (low + high) // 2
        if fits(positions[middle]):
            low = middle
        else:
            high = middle
    return positions[low]
