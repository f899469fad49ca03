"""Places in the C program's arena: laws over random buffers."""

from __future__ import annotations

import random

import pytest

from adaption.export.package.c.arena import Block, Part, placed


def random_blocks(draw: random.Random) -> tuple[list[Block], dict[tuple[str, str], int]]:
    """A chain of steps, each writing one buffer that some later steps read, and its slacks."""
    blocks, slacks = [], {}
    for step in range(draw.randint(1, 9)):
        alignment = draw.choice((1, 2, 4, 8))
        size = alignment * draw.randint(1, 40)
        last = step + draw.randint(0, 4)
        name = f"b{step}"
        for before in blocks:
            if before.parts[0].last == step and draw.random() < 0.7:
                slacks[name, before.name] = draw.randint(-size, size)
        blocks.append(Block(name, size, alignment, (Part(name, 0, size, step, last),)))
    return blocks, slacks


@pytest.mark.parametrize("seed", range(40))
def test_buffers_in_use_lie_apart(seed: int) -> None:
    blocks, slacks = random_blocks(random.Random(seed))
    found = placed(blocks, slacks)
    assert found.size == max(found.offsets[b.name] + b.size for b in blocks)
    for p in blocks:
        at = found.offsets[p.name]
        assert at % p.alignment == 0
        for q in blocks:
            (one,), (other,) = p.parts, q.parts
            if p is q or one.first > other.last or other.first > one.last:
                continue
            start = found.offsets[q.name]
            is_apart = at + p.size <= start or start + q.size <= at
            upon = one.first == other.last and (p.name, q.name) in slacks
            under = other.first == one.last and (q.name, p.name) in slacks
            assert (
                is_apart
                or (upon and at + slacks[p.name, q.name] <= start)
                or (under and start + slacks[q.name, p.name] <= at)
            )


@pytest.mark.parametrize("seed", range(20))
def test_few_buffers_lie_as_well_in_any_order(seed: int) -> None:
    draw = random.Random(1000 + seed)
    blocks, slacks = random_blocks(draw)
    few = blocks[:5]
    size = placed(few, slacks).size
    for _ in range(5):
        draw.shuffle(few)
        assert placed(few, slacks).size == size


def test_a_chain_needs_two_buffers() -> None:
    """Three buffers, of which two are in use at a time."""
    rows = [("a", 40, 0, 1), ("b", 60, 1, 2), ("c", 40, 2, 3)]
    blocks = [Block(n, size, 4, (Part(n, 0, size, first, last),)) for n, size, first, last in rows]
    assert placed(blocks, {}).size == 100
    assert placed(blocks, {("b", "a"): 0, ("c", "b"): 0}).size == 60


def test_what_is_read_late_pushes_the_top_ahead() -> None:
    """A top that has to begin 16 bytes before what its step reads."""
    a = Block("a", 40, 1, (Part("a", 0, 40, 0, 1),))
    b = Block("b", 40, 1, (Part("b", 0, 40, 1, 2),))
    found = placed([a, b], {("b", "a"): 16})
    assert (found.size, found.offsets) == (56, {"a": 16, "b": 0})
