"""Steps: which operations share a loop of the C program, so that few values need memory.

A stage is one loop nest: at most one operation that looks at more than one place of its bottom (a
product, a window), and operations on each value, on what that gives and on stored values. A step
is one stage, or several that follow one another channel by channel, with one channel between them
in memory: convolution, rounding and ReLU, then MAX pooling. The top of a step is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from adaption.exact.float_ops import FloatMean, FloatProduct
from adaption.exact.program import (
    MaxPool,
    Op,
    Product,
    Quantize,
    SquareSum,
    WindowSum,
)
from adaption.export.package.c.graph import Graph, is_move
from adaption.layers.convolution import Convolution

__all__ = ["MoveStep", "Stage", "Step", "planned_steps", "rounds_input"]

CORES = (Product, FloatProduct, MaxPool, WindowSum, FloatMean, SquareSum)
POOLS = (MaxPool, WindowSum, FloatMean)


@dataclass(frozen=True)
class Stage:
    """`ops` in order; `core` is the one that looks around, the first of them where there is one.
    `top` is what the last computes; `leaves` are stored values that the others read, by element."""

    top: str
    ops: tuple[Op, ...]
    core: Op | None
    leaves: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """Stages one after another, channel by channel where there are several."""

    stages: tuple[Stage, ...]

    @property
    def top(self) -> str:
        return self.stages[-1].top

    @property
    def tops(self) -> tuple[str, ...]:
        return (self.top,)

    def reads(self) -> Iterator[str]:
        """Stored values."""
        between = {stage.top for stage in self.stages}
        for stage in self.stages:
            yield from stage.leaves
            if stage.core is not None and stage.core.inputs[0] not in between:
                yield stage.core.inputs[0]


@dataclass(frozen=True)
class MoveStep:
    """One operation that only moves values."""

    op: Op

    @property
    def tops(self) -> tuple[str, ...]:
        return self.op.outputs

    def reads(self) -> Iterator[str]:
        yield from self.op.inputs


def planned_steps(graph: Graph) -> list[Step | MoveStep]:
    """The steps of a program in order."""
    return _Planner(graph).steps()


class _Planner:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.stored: set[str] = set()
        for op in graph.ops:
            self.stored.update(name for name in op.outputs if self._is_stored(op, name))

    def steps(self) -> list[Step | MoveStep]:
        made: dict[str, Step | MoveStep] = {}  # by first top
        for op in self.graph.ops:
            top = op.outputs[0]
            if top not in self.stored:
                continue
            if is_move(op) and not self._is_flat_on_computed(op):
                made[top] = MoveStep(op)
                continue
            for stage in self._stages(top):
                made[stage.top] = Step((stage,))
        for top in list(made):
            step = made[top]
            if isinstance(step, Step) and (before := self._fused(step, made)) is not None:
                del made[before.top]
                made[top] = Step((*before.stages, *step.stages))
        # Inputs come first, so that their codes can be given instead.
        return sorted(made.values(), key=lambda step: not _is_input(self.graph, step))

    def _is_stored(self, op: Op, name: str) -> bool:
        """Whether a value is in memory: because others look around in it, or several read it."""
        readers = self.graph.readers.get(name, [])
        if self.graph.is_end(name) or rounds_input(self.graph, op) or len(readers) != 1:
            return True
        if is_move(op) and not self._is_flat_on_computed(op):
            return True
        reader = readers[0]
        if self.graph.hands_flat(reader):
            return False
        looks_around = is_move(reader) or isinstance(reader, CORES)
        return looks_around or self.graph.count(name) != self.graph.count(reader.outputs[0])

    def _is_flat_on_computed(self, op: Op) -> bool:
        return self.graph.hands_flat(op) and op.inputs[0] not in self.stored

    def _stages(self, top: str) -> list[Stage]:
        """The stage of a value, behind those of values in it that have to be stored first."""
        before: list[Stage] = []
        while True:
            found = _Tree(self.graph, self.stored, top)
            if found.crowded is None:
                return [*before, found.stage()]
            self.stored.add(found.crowded)
            before += self._stages(found.crowded)

    def _fused(self, step: Step, made: dict[str, Step | MoveStep]) -> Step | None:
        """The step before, where this one reads only its top, one channel after another."""
        core = step.stages[0].core
        if core is None or not _is_by_channel(self.graph, core):
            return None
        bottom = core.inputs[0]
        before = made.get(bottom)
        if not isinstance(before, Step) or self.graph.is_end(bottom):
            return None
        if len(self.graph.readers[bottom]) > 1 or bottom in step.stages[0].leaves:
            return None
        if len(self.graph.shape(bottom)) != 3 or not _gives_channels(self.graph, before):
            return None
        return before


def rounds_input(graph: Graph, op: Op) -> bool:
    return isinstance(op, Quantize) and op.inputs[0] in graph.input_of


def _is_input(graph: Graph, step: Step | MoveStep) -> bool:
    return isinstance(step, Step) and rounds_input(graph, step.stages[0].ops[0])


class _Tree:
    """Operations that are computed together for `top`: down to stored values and one core.

    `crowded` is a value to store first, where a second core was met.
    """

    def __init__(self, graph: Graph, stored: set[str], top: str) -> None:
        self.graph, self.stored, self.top = graph, stored, top
        self.ops: dict[str, Op] = {}
        self.core: Op | None = None
        self.leaves: dict[str, None] = {}
        self.crowded: str | None = None
        self._way_to_core: tuple[str, ...] = ()
        self._grow(top, (top,))

    def stage(self) -> Stage:
        ops = [op for op in self.graph.ops if op.outputs[0] in self.ops and op is not self.core]
        core = [] if self.core is None else [self.core]
        return Stage(self.top, (*core, *ops), self.core, tuple(self.leaves))

    def _grow(self, name: str, way: tuple[str, ...]) -> None:
        """`way`: values from the top to `name`."""
        op = self.graph.maker(name)
        if isinstance(op, CORES):
            if self.core is None:
                self.core, self._way_to_core = op, way
                self.ops[name] = op
            else:
                apart = [n for n in way if n not in self._way_to_core]
                self.crowded = min(apart, key=self._size)
            return
        self.ops[name] = op
        if rounds_input(self.graph, op):
            return
        # What was computed last looks around: its bottom is more likely still to be in memory.
        for operand in sorted(dict.fromkeys(op.inputs), key=self.graph.position, reverse=True):
            if operand in self.stored or operand in self.graph.input_of:
                self.leaves[operand] = None
            elif self.crowded is None:
                self._grow(operand, (*way, operand))

    def _size(self, name: str) -> int:
        return self.graph.stored_kind(name).size


def _is_by_channel(graph: Graph, core: Op) -> bool:
    """Whether each channel of the top is made of the same channel of the bottom."""
    shape, top = graph.shape(core.inputs[0]), graph.shape(core.outputs[0])
    if isinstance(core, POOLS):
        return True
    form = core.form if isinstance(core, Product) else None
    if not isinstance(form, Convolution) or len(shape) != 3 or form.axis != 1:
        return False
    return form.groups(shape[0]) == shape[0] == top[0]


def _gives_channels(graph: Graph, step: Step) -> bool:
    """Whether a step can compute its top channel by channel."""
    stage = step.stages[-1]
    if rounds_input(graph, stage.ops[0]):
        return False  # the codes of an input may be given as such
    core = stage.core
    if core is None:
        return True
    if isinstance(core, Product | FloatProduct) and not isinstance(core.form, Convolution):
        return False
    is_same = graph.shape(core.outputs[0]) == graph.shape(stage.top)
    return is_same and not isinstance(core, SquareSum)
