"""Widths that fit: equal where channels are added, multiples where groups divide them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import gcd, lcm

from adaption.errors import AdaptionError
from adaption.graph.widening.channels import Piece, joined

__all__ = ["Widths", "widened"]


def widened(count: int, factor: Fraction, multiple: int) -> int:
    """`count` times the factor, rounded half to even, then to the nearest multiple, at least one.

    Python's round() is half to even.
    """
    return max(1, round(Fraction(round(factor * count), multiple))) * multiple


class Widths:
    """Collects what widths have to satisfy, then settles them.

    Args:
        factor: how much wider layers get.
        multiple_of: every width is a multiple of this, too.
    """

    def __init__(self, factor: Fraction, multiple_of: int = 1) -> None:
        self.factor = factor
        self.multiple_of = multiple_of
        self._counts: dict[str, int] = {}
        self._multiples: defaultdict[str, int] = defaultdict(lambda: 1)
        self._meanings: dict[str, Piece] = {}  # widths that others decide
        self._wholes: list[tuple[Piece, int, AdaptionError]] = []
        self._decided: list[tuple[Piece, AdaptionError]] = []

    def add(self, layer: str, count: int) -> None:
        """A weight layer, and its width as the net stands."""
        self._counts[layer] = count

    def is_multiple(self, piece: Piece, divisor: int, error: AdaptionError) -> None:
        """Make a piece a multiple of `divisor`; where that cannot be, `settle` raises `error`."""
        self._wholes.append((piece, divisor, error))
        for name, share in self._resolved(piece).terms:
            step = share.denominator * (divisor // gcd(share.numerator, divisor))
            self._multiples[name] = lcm(self._multiples[name], step)

    def is_whole(self, piece: Piece, error: AdaptionError) -> None:
        """Let `settle` raise `error` when the piece comes out as no whole number."""
        self._wholes.append((piece, 1, error))

    def are_equal(self, one: Sequence[Piece], other: Sequence[Piece], error: AdaptionError) -> None:
        """Make two rows of pieces equal, piece by piece where their limits coincide.

        Raises: `error` where no widths make them equal.
        """
        left, right = list(one), list(other)
        while left and right:
            a, b = [left.pop(0)], [right.pop(0)]
            while (difference := _total(a) - _total(b)) and (left if difference < 0 else right):
                (a if difference < 0 else b).append((left if difference < 0 else right).pop(0))
            if difference:
                raise error
            self._equate(joined(a), joined(b), error)
        if left or right:
            raise error

    def _equate(self, a: Piece, b: Piece, error: AdaptionError) -> None:
        a, b = self._resolved(a), self._resolved(b)
        rest = self._resolved(joined((a, b.times(-1))))
        if not rest.terms and not rest.constant:
            return
        if not a.terms or not b.terms or not rest.terms:
            raise error  # one of them is fixed
        # A width that makes up one side follows from the other; else any that counts once does.
        alone = [piece.terms[0] for piece in (b, a) if len(piece.terms) == 1]
        once = [term for term in reversed(rest.terms) if abs(term[1]) == 1]
        shares = dict(rest.terms)
        for name, _ in (*alone, *once, *rest.terms):
            if name in shares:
                others = replace(rest, terms=tuple((n, s) for n, s in rest.terms if n != name))
                self._decide(name, others.times(-1 / shares[name]), error)
                return

    def _decide(self, layer: str, meaning: Piece, error: AdaptionError) -> None:
        """From now on, what `meaning` says is the width of a layer."""
        meaning = replace(meaning, count=self._counts.get(layer, 0))
        self._meanings[layer] = meaning
        for name, piece in self._meanings.items():
            self._meanings[name] = self._resolved(piece)
        self._decided.append((meaning, error))
        self.is_multiple(meaning, self._multiples.pop(layer, 1), error)

    def _resolved(self, piece: Piece) -> Piece:
        """The piece in terms of the layers whose widths are free."""
        if not any(name in self._meanings for name, _ in piece.terms):
            terms = tuple(sorted((n, s) for n, s in piece.terms if s))
            return replace(piece, terms=terms)
        parts = [replace(piece, terms=())]
        for name, share in piece.terms:
            part = self._meanings.get(name)
            parts.append(
                Piece(0, ((name, share),)) if part is None else replace(part.times(share), count=0)
            )
        return self._resolved(replace(joined(parts), count=piece.count))

    def settle(self) -> dict[str, int]:
        """The width of each layer. Raises: the error of what cannot be satisfied."""
        free = {
            name: widened(count, self.factor, lcm(self._multiples[name], self.multiple_of))
            for name, count in self._counts.items()
            if name not in self._meanings
        }
        sizes = {name: meaning.size(free) for name, meaning in self._meanings.items()}
        for meaning, error in self._decided:
            if meaning.size({**free, **sizes}) < 1:
                raise error
        made = {**free, **{name: int(size) for name, size in sizes.items()}}
        for piece, divisor, error in self._wholes:
            if piece.count is not None and piece.size({**free, **sizes}) % divisor:
                raise error
        return {name: made[name] for name in self._counts}


def _total(pieces: Sequence[Piece]) -> int:
    return sum(p.count or 0 for p in pieces)
