"""CUnit: the C file of a net: its constants, its memory and its steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt

from adaption.exact.program import Op, Product, Program, Quantize
from adaption.export.package.c.arena import Arena, Block, Part, placed
from adaption.export.package.c.graph import Graph, refusal
from adaption.export.package.c.lines import Lines
from adaption.export.package.c.loops import StepWriter
from adaption.export.package.c.moving import MOST_NESTS, nests_of, write_nest, write_table
from adaption.export.package.c.overlap import slack
from adaption.export.package.c.places import Places
from adaption.export.package.c.scratch import scratch_of
from adaption.export.package.c.steps import MoveStep, Step, planned_steps, rounds_input
from adaption.export.package.c.types import CType
from adaption.export.package.constants import PackedConstant, constants_of
from adaption.export.package.names import identifier
from adaption.layers.base import Shape

__all__ = ["CUnit", "Function", "Input", "Output"]

ROUNDED = {"floor": "floor", "half_even": "even", "half_away": "away"}


@dataclass(frozen=True)
class Input:
    """One input blob; `codes` is the value that it is rounded to, where it is rounded once."""

    blob: str
    shape: Shape
    codes: str | None

    @property
    def count(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Output:
    """One output blob: the value that holds its codes, or its float32 values."""

    blob: str
    value: str
    kind: CType
    count: int
    frac_length: int
    divisor: int


@dataclass(frozen=True)
class Function:
    """A step as C: what it is called with, its text, and the operations in it. `inputs` says which
    parameter is which input blob."""

    name: str
    text: str
    parameters: tuple[tuple[str, str], ...]
    about: str
    inputs: Mapping[str, str] = field(default_factory=dict)


class CUnit:
    """Everything of the C file but its frame.

    Attributes:
        arena: where buffers are. steps: in order. functions: of steps that compute, by first top.
        constants: those that the functions read, by identifier.
        includes: templates of functions, as (file, definitions).
    """

    def __init__(self, program: Program, input_shapes: Mapping[str, Shape]) -> None:
        self.graph = Graph(program, input_shapes)
        self.steps = planned_steps(self.graph)
        self.places = Places(self.graph, self.steps)
        self._scratch = {
            (i, s.stage, s.what): s
            for i, step in enumerate(self.steps)
            if isinstance(step, Step)
            for s in scratch_of(self.graph, step)
        }
        self._number = {step.tops[0]: i for i, step in enumerate(self.steps)}
        self.arena = self._planned()
        self.all_constants = constants_of(program)
        self.constants: dict[str, PackedConstant] = {}
        self._identifiers: dict[str, str] = {}
        self.includes: dict[tuple[str, tuple[tuple[str, str], ...]], None] = {}
        self.traced: dict[str, int] = {}  # value -> first element among those of its step
        self.trace_sizes = {False: 1, True: 1}  # of codes, of floats
        self.inputs = [self._input(blob, shape) for blob, shape in self.graph.inputs.items()]
        self.outputs = [self._output(blob, name) for blob, name in self.graph.ends.items()]
        self.functions: dict[str, Function] = {}
        taken: set[str] = set()
        for step in self.steps:
            self._reserve_trace(step)
            if isinstance(step, Step):
                self.functions[step.top] = self._function(step, taken)
            elif any(self.places.copies[top] for top in step.tops):
                self.functions[step.tops[0]] = self._mover(step, taken)

    # -- loops.Unit --------------------------------------------------------------------------

    def kind(self, name: str) -> CType:
        return self.places.kind(name)

    def place(self, name: str) -> str:
        if name in self.places.direct:
            return ""
        buffer, first = self.places.where(name)
        return self._pointer(buffer, self.kind(name), first)

    def scratch(self, step: Step, stage: int, what: str) -> str:
        key = self._number[step.top], stage, what
        return self._pointer(_scratch_name(*key), self._scratch[key].kind, 0)

    def constant(self, op: Op, kind: str) -> npt.NDArray[np.int64]:
        return self._constant(op, kind).integers

    def floats(self, op: Op, kind: str) -> npt.NDArray[np.float32]:
        return self._constant(op, kind).codes.astype(np.float32, copy=False)

    def constant_kind(self, op: Op, kind: str) -> CType:
        return self._constant(op, kind).c_type

    def constant_name(self, op: Op, kind: str) -> str:
        found = self._constant(op, kind)
        if found.name not in self._identifiers:
            taken = {name.lower() for name in self.constants}
            name = identifier(found.name, taken)
            self._identifiers[found.name] = name
            self.constants[name] = found
        return self._identifiers[found.name]

    def products(self, x: CType, weight: CType, sums: CType, op: Product) -> str:
        suffix = f"{x.short}_{weight.short}_{sums.short}"
        settings = [("IN", x.name), ("WEIGHT", weight.name), ("SUM", sums.name)]
        if op.shift:
            bits, how = 8 * sums.size, ROUNDED[op.rounding]
            suffix += f"_{how}{op.shift}"
            settings.append(("TERM(product)", f"round_{how}_{bits}(product, {op.shift})"))
        return self._template("products.h", suffix, settings)

    def windows(self, x: CType, sums: CType) -> str:
        settings = [("IN", x.name), ("SUM", sums.name)]
        return self._template("windows.h", f"{x.short}_{sums.short}", settings)

    def trace(self, name: str, index: str, code: str) -> str:
        macro = "TRACE_FLOAT" if self.graph.is_float(name) else "TRACE"
        return f"{macro}({self.traced[name]}, {index}, {code});"

    def kinds_in_arena(self) -> set[CType]:
        """The types of what is in the arena."""
        buffers = set(self.places.buffers).difference(self.places.direct)
        return {self.kind(b) for b in buffers} | {s.kind for s in self._scratch.values()}

    # -- inner -------------------------------------------------------------------------------

    def _constant(self, op: Op, kind: str) -> PackedConstant:
        found = next(c for c in self.all_constants[op.outputs[0]] if c.kind == kind)
        if found.is_float and not np.isfinite(found.codes).all():
            raise refusal(op, f"has a {kind} that is no finite number")
        return found

    def _template(self, file: str, suffix: str, settings: list[tuple[str, str]]) -> str:
        named = (*settings, ("NAME(op)", f"op##_{suffix}"))
        self.includes[file, named] = None
        return suffix

    def _pointer(self, block: str, kind: CType, first: int) -> str:
        at = self.arena.offsets[block] // kind.size + first
        return f"arena.{kind.short} + {at}" if at else f"arena.{kind.short}"

    def _input(self, blob: str, shape: Shape) -> Input:
        rounded = [
            op.outputs[0]
            for op in self.graph.ops
            if rounds_input(self.graph, op) and self.graph.input_of[op.inputs[0]] == blob
        ]
        is_read = any(
            self.graph.input_of.get(name) == blob
            for op in self.graph.ops
            if not isinstance(op, Quantize)
            for name in op.inputs
        )
        # Only where rounding is all that its step does, its codes may be given instead.
        alone = [n for n in rounded if n in self._number]
        is_once = len(rounded) == len(alone) == 1 and not is_read
        return Input(blob, shape, alone[0] if is_once else None)

    def _output(self, blob: str, name: str) -> Output:
        kind, count = self.kind(name), self.graph.count(name)
        if self.graph.is_float(name):
            return Output(blob, name, kind, count, 0, 1)
        v = self.graph.value(name)
        return Output(blob, name, kind, count, v.frac_length, v.divisor)

    def _reserve_trace(self, step: Step | MoveStep) -> None:
        names = step.tops
        if isinstance(step, Step):
            names = tuple(op.outputs[0] for stage in step.stages for op in stage.ops)
        first = {False: 0, True: 0}
        for name in names:
            is_float = self.graph.is_float(name)
            self.traced[name] = first[is_float]
            first[is_float] += self.graph.count(name)
        self.trace_sizes = {key: max(size, first[key]) for key, size in self.trace_sizes.items()}

    def _function(self, step: Step, taken: set[str]) -> Function:
        ops = [op for stage in step.stages for op in stage.ops]
        name = identifier(f"step_{ops[0].layer}", taken)
        taken.add(name.lower())
        writer = StepWriter(self, step)
        text = writer.written(name)
        by_layer: dict[str, list[str]] = {}
        for op in ops:
            by_layer.setdefault(op.layer, []).append(type(op).__name__)
        about = "; ".join(f"{layer}: {', '.join(kinds)}" for layer, kinds in by_layer.items())
        return Function(name, text, tuple(writer.parameters), about, writer.inputs)

    def _mover(self, step: MoveStep, taken: set[str]) -> Function:
        lines = Lines()
        name = identifier(f"step_{step.op.layer}", taken)
        taken.add(name.lower())
        parameters: list[tuple[str, str]] = []
        inputs: dict[str, str] = {}
        for k, top in enumerate(step.tops):
            if not self.places.copies[top]:
                continue
            kind, place = self.kind(top), self.place(top)
            if place:
                lines.add(f"{kind.name} *const y{k} = {place};")
            else:
                parameters.append((f"{kind.name} *", f"y{k}"))
            sources = list(dict.fromkeys(c.source for c in self.places.copies[top]))
            for source in sources:
                own, text = self.kind(source), f"x{k}_{sources.index(source)}"
                if source in self.graph.input_of:
                    parameters.append(("const float *", text))
                    inputs[text] = self.graph.input_of[source]
                    continue
                lines.add(f"const {own.name} *const {text} = {self.place(source)};")
            nests = nests_of(self.places.copies[top])
            if len(nests) > MOST_NESTS and len(sources) == 1:
                cast = "" if own is kind else f"({kind.name})"
                write_table(lines, self.places.copies[top], f"x{k}_0", f"y{k}", cast)
                continue
            for nest in nests:
                own = self.kind(nest.source)
                cast = "" if own is kind else f"({kind.name})"
                write_nest(lines, nest, f"x{k}_{sources.index(nest.source)}", f"y{k}", cast)
        taken_in = ", ".join(f"{kind}{what}" for kind, what in parameters) or "void"
        body = "\n".join(f"    {line}" for line in lines.lines)
        text = f"static void {name}({taken_in})\n{{\n{body}\n}}"
        about = f"{step.op.layer}: {type(step.op).__name__}"
        return Function(name, text, tuple(parameters), about, inputs)

    # -- memory ------------------------------------------------------------------------------

    def _planned(self) -> Arena:
        blocks = [
            Block(
                buffer,
                self.graph.count(buffer) * (size := self.kind(buffer).size),
                size,
                tuple(Part(p.value, p.start * size, p.end * size, p.first, p.last) for p in pieces),
            )
            for buffer, pieces in self.places.pieces().items()
            if buffer not in self.places.direct
        ]
        for (i, stage, what), s in self._scratch.items():
            name, size = _scratch_name(i, stage, what), s.count * s.kind.size
            blocks.append(Block(name, size, s.kind.size, (Part(name, 0, size, i, i),)))
        return placed(blocks, dict(self._slacks()))

    def _slacks(self) -> Iterator[tuple[tuple[str, str], int]]:
        """Which tops may lie upon what their step reads for the last time, and how far."""
        parts = {p.value: p for pieces in self.places.pieces().values() for p in pieces}
        for step in self.steps:
            if not isinstance(step, Step) or step.top in self.places.direct:
                continue
            size = self.kind(step.top).size
            found: dict[str, int] = {}
            for name in dict.fromkeys(step.reads()):
                if name in self.graph.input_of:
                    continue
                buffer, first = self.places.where(name)
                own, end = self.kind(name).size, first + self.graph.count(name)
                far = slack(self.graph, step, name, own, size)
                for value, part in parts.items():
                    if (
                        self.places.where(value)[0] == buffer
                        and part.start < end
                        and first < part.end
                    ):
                        moved = far - (first - part.start) * own
                        found[value] = max(found.get(value, moved), moved)
            yield from (((step.top, value), far) for value, far in found.items())


def _scratch_name(step: int, stage: int, what: str) -> str:
    return f"{step} {stage} {what}"  # no value is called so
