"""What a blob's channels are made of, in terms of the widths of the weight layers behind it.

A width is the num_output of a weight layer. Channels stand on one axis of a blob, in pieces side by
side; the number in each piece is a constant plus shares of widths, so that it is known for any
widths. What cannot be said this way has `trouble`, which is raised where it matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from adaption.errors import LayerError

__all__ = ["Channels", "Piece", "cut", "joined"]

Terms = tuple[tuple[str, Fraction], ...]


@dataclass(frozen=True)
class Piece:
    """Channels side by side.

    count: how many there are as the net stands; None: unknown, and the same in any case.
    terms: (weight layer, share): the number is `constant` plus the sum of share * width.
    origin: the weight layer that made them, where its width is kept.
    """

    count: int | None
    terms: Terms = ()
    constant: Fraction = Fraction(0)
    origin: str = field(default="", compare=False)

    @classmethod
    def fixed(cls, count: int | None, origin: str = "") -> Piece:
        """Channels whose number never changes."""
        return cls(count, (), Fraction(count or 0), origin)

    @classmethod
    def of(cls, layer: str, count: int) -> Piece:
        """All outputs of a weight layer."""
        return cls(count, ((layer, Fraction(1)),))

    def times(self, factor: Fraction | int) -> Piece:
        """The piece with `factor` times the channels."""
        count = None if self.count is None else int(self.count * factor)
        terms = tuple((name, share * factor) for name, share in self.terms)
        return Piece(count, terms, self.constant * factor, self.origin)

    def size(self, widths: Mapping[str, int | Fraction]) -> Fraction:
        """How many channels there are with these widths."""
        return self.constant + sum((share * widths[name] for name, share in self.terms), Fraction())


@dataclass(frozen=True)
class Channels:
    """The channels of one blob.

    axis, rank: where they stand, and how many axes the blob has; None where that is unknown.
    is_flat: positions are folded into the axis, too, which holds channels * positions values.
    carried: the weight layers whose channels arrive here, no other weight layer in between.
    trouble: why the pieces are unknown.
    """

    pieces: tuple[Piece, ...]
    axis: int | None = 1
    rank: int | None = None
    is_flat: bool = False
    carried: frozenset[str] = frozenset()
    trouble: LayerError | None = field(default=None, compare=False)

    @classmethod
    def fixed(cls, count: int | None = None, rank: int | None = None, origin: str = "") -> Channels:
        """A blob that widths have no part in."""
        return cls((Piece.fixed(count, origin),), rank=rank)

    @property
    def follows(self) -> bool:
        """Whether the blob changes when weight layers get wider."""
        if self.trouble is not None:
            return bool(self.carried)
        return any(p.terms for p in self.pieces)

    @property
    def count(self) -> int | None:
        """The number of channels as the net stands, where it is known."""
        counts = [p.count for p in self.pieces]
        return None if None in counts or self.is_flat else sum(c for c in counts if c is not None)

    @property
    def whole(self) -> Piece:
        """All channels as one piece."""
        return joined(self.pieces)

    @property
    def origin(self) -> str:
        """A weight layer of kept width that made some of the channels, or empty."""
        return next((p.origin for p in self.pieces if p.origin), "")

    def troubled(self, error: LayerError) -> Channels:
        """The same blob, of which no more is known than what it carries."""
        return replace(self, pieces=(Piece.fixed(None),), axis=None, rank=None, trouble=error)

    def carrying(self, *others: Channels) -> Channels:
        """The blob that carries what the others carry, too."""
        return replace(self, carried=self.carried.union(*(x.carried for x in others)))


def joined(pieces: Iterable[Piece]) -> Piece:
    """Several pieces as one, whose order within is left open."""
    found = list(pieces)
    terms: dict[str, Fraction] = {}
    for piece in found:
        for name, share in piece.terms:
            terms[name] = terms.get(name, Fraction(0)) + share
    counts = [p.count for p in found]
    count = None if None in counts else sum(c for c in counts if c is not None)
    origin = next((p.origin for p in found if p.origin), "")
    constant = sum((p.constant for p in found), Fraction())
    return Piece(count, tuple(terms.items()), constant, origin)


def cut(pieces: Sequence[Piece], points: Sequence[int]) -> list[tuple[Piece, ...]] | None:
    """The pieces between each two of the rising `points`, counted as the net stands.

    A point within a piece cuts it in proportion. None where counts are unknown, or a point lies
    beyond the end.
    """
    if any(p.count is None for p in pieces):
        return None
    made: list[tuple[Piece, ...]] = []
    rest = list(pieces)
    for size in (after - before for before, after in zip((0, *points), points, strict=False)):
        taken: list[Piece] = []
        while size > 0:
            if not rest:
                return None
            head = rest.pop(0)
            assert head.count is not None
            if head.count > size:
                rest.insert(0, head.times(Fraction(head.count - size, head.count)))
                head = head.times(Fraction(size, head.count))
            taken.append(head)
            size -= head.count or 0
        made.append(tuple(taken))
    return [*made, tuple(rest)]
