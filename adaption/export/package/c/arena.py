"""Arena: places in one block of memory for buffers that live for some steps each.

Two buffers may share bytes where their lives do not meet. They may also overlap where one step
reads the one for the last time and writes the other, as long as no byte is written before it has
been read: the "slack" of `Overlap` says how far apart they have to begin for that. (P. Blacker et
al. 2021 call this diagonal memory optimisation.) A slack of 0 or less is computing in place.

The best order of placing is not known in advance. Several are tried, each buffer going to the
lowest place that is free: all orders of few buffers; those of more are changed at random, from a
fixed seed, while that helps.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from math import factorial

__all__ = ["Arena", "Block", "Part", "placed"]

TRIES = 300  # orders at most; each is quick


@dataclass(frozen=True)
class Part:
    """Bytes start..end of a block, in use from step `first` to `last`, both included."""

    name: str
    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True)
class Block:
    """One buffer; it begins at a multiple of `alignment`."""

    name: str
    size: int
    alignment: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Arena:
    """The result: first byte of each block, and bytes altogether. `bound` is what no placing can
    undercut: the parts that are in use at one time."""

    size: int
    offsets: Mapping[str, int] = field(default_factory=dict)
    bound: int = 0


Slacks = Mapping[tuple[str, str], int]
"""By (part written, part read) of one step: the one written has to begin so many bytes before the
one read at least."""


def placed(blocks: Sequence[Block], slacks: Slacks) -> Arena:
    """Places for the blocks, all from 0 on."""
    bound = _bound(blocks)
    by_first = sorted(blocks, key=lambda b: min((p.first for p in b.parts), default=0))
    by_size = sorted(by_first, key=lambda b: -b.size)
    best, order = min(
        ((_in_order(start, slacks, bound), start) for start in (by_first, by_size)),
        key=lambda found: found[0].size,
    )
    dice = random.Random(0)
    every = permutations(by_first) if factorial(len(blocks)) <= TRIES else None
    for _ in range(TRIES):
        if best.size <= bound:
            break
        other = _changed(order, dice) if every is None else next(every, None)
        if other is None:
            break
        found = _in_order(other, slacks, bound)
        if found.size <= best.size:
            best, order = found, list(other)
    return best


def _changed(order: Sequence[Block], dice: random.Random) -> list[Block]:
    """Another order: one to three blocks elsewhere."""
    other = list(order)
    for _ in range(dice.randint(1, 3)):
        block = other.pop(dice.randrange(len(other)))
        other.insert(dice.randrange(len(other) + 1), block)
    return other


def _bound(blocks: Sequence[Block]) -> int:
    """Bytes that one step needs at the same time, leaving out either what it writes first or what
    it reads last: one may lie upon the other."""
    parts = [part for block in blocks for part in block.parts]
    steps = range(max((p.last for p in parts), default=-1) + 1)
    before = [sum(p.end - p.start for p in parts if p.first < i <= p.last) for i in steps]
    behind = [sum(p.end - p.start for p in parts if p.first <= i < p.last) for i in steps]
    return max([0, *before, *behind])


def _in_order(blocks: Sequence[Block], slacks: Slacks, bound: int) -> Arena:
    """Each block at the lowest place that those before it leave."""
    there: list[tuple[Block, int]] = []
    for block in blocks:
        near = [(other, at) for other, at in there if _meet(block, other)]
        limits = [limit for other, at in near for limit in _limits(block, other, at, slacks)]
        offset = next(
            offset
            for offset in sorted({_aligned(high, block) for _, high in limits} | {0})
            if all(offset <= low or offset >= high for low, high in limits)
        )
        there.append((block, offset))
    size = max((at + block.size for block, at in there), default=0)
    return Arena(size, {block.name: at for block, at in there}, bound)


def _aligned(offset: int, block: Block) -> int:
    return -(-max(offset, 0) // block.alignment) * block.alignment


def _meet(one: Block, other: Block) -> bool:
    return any(_lives_meet(p, q) for p in one.parts for q in other.parts)


def _lives_meet(p: Part, q: Part) -> bool:
    return p.first <= q.last and q.first <= p.last


def _limits(block: Block, other: Block, at: int, slacks: Slacks) -> Iterator[tuple[int, int]]:
    """Where a block may not begin: behind `low` and before `high`, given another's place."""
    for p in block.parts:
        for q in other.parts:
            if not _lives_meet(p, q):
                continue
            low = at + q.start - p.end
            high = at + q.end - p.start
            if p.first == q.last and (p.name, q.name) in slacks:  # p may lie upon q
                low = max(low, at + q.start - p.start - slacks[p.name, q.name])
            elif q.first == p.last and (q.name, p.name) in slacks:
                high = min(high, at + q.start - p.start + slacks[q.name, p.name])
            if low < high:
                yield low, high
