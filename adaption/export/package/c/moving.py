"""Loops that move values: ranges at regular distances become nested loops."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from adaption.export.package.c.lines import Lines
from adaption.export.package.c.places import Copy
from adaption.export.package.c.types import stored_in

__all__ = ["MOST_NESTS", "Nest", "nests_of", "write_nest", "write_table"]

MOST_NESTS = 64  # of one source; more become a table of places


@dataclass(frozen=True)
class Nest:
    """Loops from the outside in, each as (count, step in the source, step in the top)."""

    source: str
    start: int
    to: int
    loops: tuple[tuple[int, int, int], ...]


def nests_of(copies: Sequence[Copy]) -> list[Nest]:
    """The fewest nests that move all of this, as far as distances are regular."""
    found = [Nest(c.source, c.start, c.to, ((c.count, 1, 1),)) for c in copies]
    while len(joined := _joined(found)) < len(found):
        found = joined
    return found


def _joined(nests: Sequence[Nest]) -> list[Nest]:
    """Runs of equal nests at equal distances as one loop more."""
    made: list[Nest] = []
    i = 0
    while i < len(nests):
        first, count, step = nests[i], 1, (0, 0)
        while i + count < len(nests):
            last, after = nests[i + count - 1], nests[i + count]
            apart = after.start - last.start, after.to - last.to
            is_like = (after.source, after.loops) == (first.source, first.loops)
            if not is_like or (count > 1 and apart != step):
                break
            step, count = apart, count + 1
        if count > 1:
            loops = first.loops[1:] if first.loops[0][0] == 1 else first.loops
            first = replace(first, loops=((count, *step), *loops))
        made.append(first)
        i += count
    return made


def write_nest(lines: Lines, nest: Nest, x: str, y: str, cast: str) -> None:
    """The loops of a nest; x and y are pointers."""
    names = "ijklmnpqrst"
    source, top = [str(nest.start)] * (nest.start != 0), [str(nest.to)] * (nest.to != 0)
    with ExitStack() as stack:
        for name, (count, step, top_step) in zip(names, nest.loops, strict=False):
            stack.enter_context(lines.loop(name, count))
            source += _terms(name, step)
            top += _terms(name, top_step)
        left, right = " + ".join(top) or "0", " + ".join(source) or "0"
        lines.add(f"{y}[{left}] = {cast}{x}[{right}];")


def write_table(lines: Lines, copies: Sequence[Copy], x: str, y: str, cast: str) -> None:
    """The same by a table of where each element of the top comes from."""
    ordered = sorted(copies, key=lambda c: c.to)
    first, places = ordered[0].to, [c.start + i for c in ordered for i in range(c.count)]
    assert [c.to + i for c in ordered for i in range(c.count)] == list(
        range(first, first + len(places))
    )
    kind = stored_in(0, max(places)).name
    with lines.block(f"static const {kind} places[{len(places)}] ="):
        for i in range(0, len(places), 16):
            lines.add(f"{', '.join(map(str, places[i : i + 16]))},")
    lines.lines[-1] += ";"
    with lines.loop("i", len(places)):
        to = f"i + {first}" if first else "i"
        lines.add(f"{y}[{to}] = {cast}{x}[places[i]];")


def _terms(name: str, step: int) -> list[str]:
    return [] if step == 0 else [name if step == 1 else f"{name} * {step}"]
