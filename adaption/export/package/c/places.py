"""Places: which stored values share a buffer, and for how long each part of a buffer is in use.

A value that is a range of another (Flatten, a slice of channels) lies in it. Where values are put
together (Concat), each is computed where it belongs, if nothing else has placed it already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from adaption.export.package.c.graph import Graph
from adaption.export.package.c.steps import MoveStep, Step
from adaption.export.package.c.types import CType

__all__ = ["Copy", "Piece", "Places"]

Range = tuple[int, int]  # from, to; elements


@dataclass(frozen=True)
class Copy:
    """Elements that a step for moving still has to move: place in the source, in the top, count."""

    source: str
    start: int
    to: int
    count: int


@dataclass(frozen=True)
class Piece:
    """Part of a buffer that one step writes: elements start..end, in use from step `first` to
    `last`, both included. `value` is written there."""

    value: str
    start: int
    end: int
    first: int
    last: int


class Places:
    """Where the values of steps are.

    Attributes:
        buffers: names of the values that have a buffer of their own.
        copies: what steps for moving do, by top; none where the values lie there already.
        direct: output blob by value, where a value is computed in the caller's memory.
    """

    def __init__(self, graph: Graph, steps: Sequence[Step | MoveStep]) -> None:
        self.graph = graph
        self._inside: dict[str, tuple[str, int]] = {}  # value -> another that it is a range of
        self.copies: dict[str, list[Copy]] = {}
        self._made: dict[str, int] = {}
        self._used: dict[str, int] = {}
        last = len(steps)
        for i, step in enumerate(steps):
            for name in step.tops:
                self._made[name] = i
                self._used[name] = last if graph.is_end(name) else i
            for name in step.reads():
                if name not in graph.input_of:  # those are the caller's
                    self._used[name] = max(self._used[name], i)
        for step in steps:
            if isinstance(step, MoveStep):
                self._move(step)
        self.buffers = [name for name in self._made if name not in self._inside]
        self.direct = dict(self._outputs())

    def where(self, name: str) -> tuple[str, int]:
        """The buffer that a value lies in, and its first element there."""
        offset = 0
        while name in self._inside:
            name, start = self._inside[name]
            offset += start
        return name, offset

    def kind(self, name: str) -> CType:
        """Type of the elements of a value."""
        return self.graph.stored_kind(self.where(name)[0])

    def pieces(self) -> Mapping[str, list[Piece]]:
        """The parts of each buffer."""
        inside: dict[str, list[str]] = {}
        for name in self._made:
            inside.setdefault(self.where(name)[0], []).append(name)
        return {buffer: list(self._pieces(names)) for buffer, names in inside.items()}

    # -- inner -------------------------------------------------------------------------------

    def _pieces(self, names: Sequence[str]) -> Iterator[Piece]:
        ranges = {name: self._range(name) for name in names}
        for name in names:
            for start, end in self._written(name):
                last = max(
                    self._used[other]
                    for other, (low, high) in ranges.items()
                    if low < end and start < high
                )
                yield Piece(name, start, end, self._made[name], last)

    def _range(self, name: str) -> Range:
        start = self.where(name)[1]
        return start, start + self.graph.count(name)

    def _written(self, name: str) -> Iterator[Range]:
        """The ranges of its buffer that the step of a value writes."""
        start, end = self._range(name)
        if name not in self.copies:
            yield start, end
        for copy in self.copies.get(name, ()):
            yield start + copy.to, start + copy.to + copy.count

    def _move(self, step: MoveStep) -> None:
        op = step.op
        for top, moved in zip(op.outputs, self.graph.moved[op.outputs[0]], strict=True):
            self.copies[top] = []
            count = self.graph.count(top)
            mine = not self.graph.input_of.keys() & set(op.inputs)
            if mine and len(moved) == 1 and moved[0][3] == count:
                self._inside[top] = op.inputs[moved[0][0]], moved[0][1]
                continue
            sources = [op.inputs[source] for source, *_ in moved]
            for source, (_, start, to, length) in zip(sources, moved, strict=True):
                is_whole = length == self.graph.count(source) and sources.count(source) == 1
                if is_whole and mine and source not in self._inside:
                    self._inside[source] = top, to
                else:
                    self.copies[top].append(Copy(source, start, to, length))

    def _outputs(self) -> Iterator[tuple[str, str]]:
        """Values that are computed where the caller wants them: nothing reads them, or lies in
        them or around them."""
        ends = list(self.graph.ends.values())
        holders = {where for where, _ in self._inside.values()}
        for blob, name in self.graph.ends.items():
            is_free = name not in self._inside and name not in holders
            if is_free and ends.count(name) == 1 and not self.graph.readers.get(name):
                yield name, blob
