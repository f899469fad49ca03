"""StepWriter: the C function of a step, its loops and what they call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Protocol

import numpy as np
import numpy.typing as npt

from adaption.exact.float_ops import FloatMean, FloatProduct
from adaption.exact.program import MaxPool, Op, Product, Quantize, SquareSum, WindowSum
from adaption.export.package.c.float_scalars import mean
from adaption.export.package.c.graph import Graph, refusal
from adaption.export.package.c.lines import Lines
from adaption.export.package.c.scalar_writer import Index, Scalars
from adaption.export.package.c.scalars import write_scalars
from adaption.export.package.c.scratch import sums_of
from adaption.export.package.c.steps import Stage, Step
from adaption.export.package.c.types import CType
from adaption.layers.base import Shape
from adaption.layers.convolution import Convolution
from adaption.layers.inner_product import InnerProduct

__all__ = ["StepWriter", "Unit"]

BROADCAST = ("multiplier", "addend", "negative", "scale", "slopes")  # constants of operations


class Unit(Protocol):
    """The C file that a step is part of."""

    graph: Graph

    def kind(self, name: str) -> CType:
        """Type of the elements of a stored value."""

    def place(self, name: str) -> str:
        """Its first element, as a C pointer; empty where it is in the caller's memory."""

    def scratch(self, step: Step, stage: int, what: str) -> str:
        """Memory of a step."""

    def constant(self, op: Op, kind: str) -> npt.NDArray[np.int64]:
        """The codes of a constant."""

    def floats(self, op: Op, kind: str) -> npt.NDArray[np.float32]:
        """The values of a constant of float32."""

    def constant_name(self, op: Op, kind: str) -> str:
        """The C array of a constant."""

    def constant_kind(self, op: Op, kind: str) -> CType:
        """Type of its elements."""

    def products(self, x: CType, weight: CType, sums: CType, op: Product) -> str:
        """What ends the names of functions for products of these types."""

    def windows(self, x: CType, sums: CType) -> str:
        """The same for windows."""

    def trace(self, name: str, index: str, code: str) -> str:
        """A statement that keeps a code of a value, for comparing."""


class StepWriter:
    """One function. `parameters`: what it takes, as (type, name): inputs, the output; `inputs`:
    the input value that one of them is."""

    def __init__(self, unit: Unit, step: Step) -> None:
        self.unit, self.step, self.graph = unit, step, unit.graph
        self.parameters: list[tuple[str, str]] = []
        self.inputs: dict[str, str] = {}
        self._lines = Lines()
        self._pointers: dict[str, str] = {}
        self._declared: list[str] = []
        self._is_fused = len(step.stages) > 1
        self._kind = unit.kind(step.top)
        place = unit.place(step.top)
        if place:
            self._declared.append(f"{self._kind.name} *const y = {place};")
        else:
            self.parameters.append((f"{self._kind.name} *", "y"))

    def written(self, name: str) -> str:
        """The function, called `name`."""
        body = self._lines = Lines()
        if self._is_fused:
            channels = self.graph.shape(self.step.top)[0]
            with body.loop("o", channels):
                for k, stage in enumerate(self.step.stages):
                    self._stage(k, stage)
        else:
            self._stage(0, self.step.stages[0])
        whole = Lines()
        taken = ", ".join(f"{kind}{what}" for kind, what in self.parameters)
        whole.add(f"static void {name}({taken or 'void'})", "{")
        whole.add(*(f"    {line}" for line in self._declared))
        whole.add(*(f"    {line}" if line else "" for line in body.lines))
        whole.add("}")
        return str(whole)

    # -- scalars.Memory ----------------------------------------------------------------------

    def element(self, name: str, index: str) -> str:
        return f"{self._pointer(name)}[{index}]"

    def source(self, op: Quantize, index: str) -> str:
        return f"{self._input(op.inputs[0])}[{index}]"

    def constant(self, op: Op, kind: str) -> npt.NDArray[np.int64]:
        return self.unit.constant(op, kind)

    def floats(self, op: Op, kind: str) -> npt.NDArray[np.float32]:
        return self.unit.floats(op, kind)

    def constant_name(self, op: Op, kind: str) -> str:
        return self.unit.constant_name(op, kind)

    def trace(self, name: str, index: str, code: str) -> str:
        return self.unit.trace(name, index, code)

    # -- stages ------------------------------------------------------------------------------

    def _input(self, value: str) -> str:
        """The parameter for an input of the net."""
        blob = self.graph.input_of[value]
        if blob not in self.inputs.values():
            name = f"x_{len(self.inputs)}" if self.inputs else "x"
            self.parameters.insert(len(self.inputs), ("const float *", name))
            self.inputs[name] = blob
        return next(name for name, own in self.inputs.items() if own == blob)

    def _pointer(self, name: str) -> str:
        if name in self.graph.input_of:
            return self._input(name)
        if name not in self._pointers:
            self._pointers[name] = f"x{len(self._pointers)}"
            kind, place = self.unit.kind(name).name, self.unit.place(name)
            self._declared.append(f"const {kind} *const {self._pointers[name]} = {place};")
        return self._pointers[name]

    def _stage(self, k: int, stage: Stage) -> None:
        core = stage.core
        if core is None:
            self._by_element(k, stage)
        elif isinstance(core, Product):
            self._product(k, stage, core)
        elif isinstance(core, FloatProduct):
            self._float_product(k, stage, core)
        elif isinstance(core, MaxPool | WindowSum | FloatMean):
            self._pool(k, stage, core)
        else:
            assert isinstance(core, SquareSum)
            self._squares(k, stage, core)

    def _flat(self, k: int) -> str:
        """The counter of a stage's elements."""
        name = f"i{k}" if self._is_fused else "i"
        line = f"ptrdiff_t {name} = 0;"
        if line not in self._declared:
            self._declared.append(line)
        return name

    def _bottom(self, k: int, name: str) -> tuple[str, CType, bool]:
        """What a core reads, its type, and whether that is one channel only."""
        if k:
            return f"plane{k - 1}", self.graph.stored_kind(name), True
        return self._pointer(name), self.unit.kind(name), False

    @contextmanager
    def _channels(self, count: int) -> Iterator[None]:
        """A loop over channels; one step of it, where stages are fused."""
        if self._is_fused:
            yield
        else:
            with self._lines.loop("o", count):
                yield

    def _element(self, k: int, stage: Stage, index: Index, core: str = "") -> None:
        """All that is done with one element."""
        s = Scalars(self.graph, self, self._lines, index)
        ops: Sequence[Op] = stage.ops
        if stage.core is not None:
            top = stage.core.outputs[0]
            if isinstance(stage.core, FloatMean):
                core = mean(s, stage.core, core)
            s.let(top, core, self.graph.kind(top))
            ops = ops[1:]
        write_scalars(s, ops)
        made = s.known(stage.top)
        is_last = k == len(self.step.stages) - 1
        kind = self._kind if is_last else self.graph.stored_kind(stage.top)
        text = made.text if kind is made.kind else f"({kind.name}){made.text}"
        self._lines.add(f"{f'y[{index.flat}]' if is_last else '*to++'} = {text};")

    @contextmanager
    def _into_plane(self, k: int, stage: Stage) -> Iterator[None]:
        """Where a stage puts a channel."""
        if k < len(self.step.stages) - 1:
            kind = self.graph.stored_kind(stage.top).name
            self._declared.append(
                f"{kind} *const plane{k} = {self.unit.scratch(self.step, k, 'plane')};"
            )
            with self._lines.block(""):
                self._lines.add(f"{kind} *to = plane{k};")
                yield
        else:
            yield

    def _by_element(self, k: int, stage: Stage) -> None:
        count = self.graph.count(stage.top)
        if self._is_fused:
            flat = self._flat(k)
            plane = prod(self.graph.shape(stage.top)[1:])
            with self._into_plane(k, stage), self._counted("j", plane, flat):
                self._element(k, stage, Index(flat, "o", plane))
            return
        plane = min((n for n in self._spreads(stage) if n > 1), default=0)
        if not plane:
            with self._lines.loop("i", count):
                self._element(k, stage, Index("i"))
            return
        flat = self._flat(k)
        with self._lines.loop("o", count // plane), self._counted("j", plane, flat):
            self._element(k, stage, Index(flat, "o", plane))

    def _spreads(self, stage: Stage) -> Iterator[int]:
        """For what broadcasts, how many elements behind one another meet the same one of it."""
        for op in stage.ops:
            top = self.graph.shape(op.outputs[0])
            shapes = [self.graph.shape(x) for x in op.inputs if x in stage.leaves]
            constants = (getattr(op, kind, None) for kind in BROADCAST)
            shapes += [values.shape for values in constants if values is not None]
            for shape in shapes:
                own = list(shape)
                while own and own[-1] == 1:
                    own.pop()
                if own:
                    yield prod(top[len(top) - len(shape) + len(own) :])

    @contextmanager
    def _counted(self, name: str, count: int | str, flat: str) -> Iterator[None]:
        """A loop that counts elements, too."""
        with self._lines.block(f"for (ptrdiff_t {name} = 0; {name} < {count}; ++{name}, ++{flat})"):
            yield

    # -- products ----------------------------------------------------------------------------

    def _product(self, k: int, stage: Stage, op: Product) -> None:
        sums = sums_of(self.graph, op)
        x, kind, is_plane = self._bottom(k, op.inputs[0])
        weight = self.unit.constant_name(op, "weight")
        suffix = self.unit.products(kind, self.unit.constant_kind(op, "weight"), sums.kind, op)
        if isinstance(op.form, InnerProduct):
            self._inner_product(stage, op, x, weight, suffix)
            return
        assert isinstance(op.form, Convolution)
        shape, top = self.graph.shape(op.inputs[0]), self.graph.shape(op.outputs[0])
        g, groups = op.form.geometry(4), op.form.groups(shape[0])
        channels, outputs = shape[0] // groups, top[0] // groups
        plane, taps = prod(shape[1:]), prod(g.kernel)
        if not is_plane and groups > 1:
            x = f"{x} + {_over('o', outputs)} * {channels * plane}"
        if op.form.is_transposed:
            first = f"({_over('o', outputs)} * {channels * outputs} + o % {outputs})"
            if 1 in (groups, outputs):
                first = "o" if groups == 1 else _times("o", channels)
            filters, between = _times(first, taps), outputs * taps
        else:
            filters, between = _times("o", channels * taps), taps
        filters = f"{weight} + {filters}"
        flat = self._flat(k)
        index = Index(flat, "o", prod(top[1:]))
        with self._channels(top[0]), self._into_plane(k, stage):
            if sums.how == "dot":
                text = f"dot_{suffix}({x}, {filters}, 1, {channels * plane})"
                self._element(k, stage, index, text)
                self._lines.add(f"++{flat};")
                return
            self._declared.append(
                f"{sums.kind.name} *const sums{k} = {self.unit.scratch(self.step, k, 'sums')};"
            )
            if sums.how == "mix":
                self._mixed(
                    k, stage, index, f"{plane}, {channels}, {filters}", x, suffix, sums.count
                )
                return
            numbers = _numbers(*shape[1:], *g.kernel, *g.stride, *g.pad)
            more = _numbers(*g.dilation, channels, between, top[-1])
            self._declared.append(
                f"static const struct convolution c{k} = {{{{{numbers}}}, {more}}};"
            )
            with self._lines.loop("row", top[1]):
                self._lines.add(f"{sums.how}_{suffix}(&c{k}, {x}, {filters}, row, sums{k});")
                with self._counted("j", top[-1], flat):
                    self._element(k, stage, index, f"sums{k}[j]")

    def _mixed(
        self, k: int, stage: Stage, index: Index, settings: str, x: str, suffix: str, count: int
    ) -> None:
        plane = index.plane
        rounds = -(-plane // count)
        with ExitStack() as stack:
            number: int | str = count
            if rounds > 1:
                head = f"for (ptrdiff_t start = 0; start < {plane}; start += {count})"
                stack.enter_context(self._lines.block(head))
                x = f"{x} + start"
                if plane % count:
                    number = "count"
                    left = f"{plane} - start"
                    self._lines.add(f"const ptrdiff_t count = {left} < {count} ? {left} : {count};")
            self._lines.add(f"mix_{suffix}({x}, {settings}, {number}, sums{k});")
            with self._counted("j", number, index.flat):
                self._element(k, stage, index, f"sums{k}[j]")

    def _inner_product(self, stage: Stage, op: Product, x: str, weight: str, suffix: str) -> None:
        form = op.form
        assert isinstance(form, InnerProduct)
        outputs = form.num_output
        size = op.weight.size // outputs
        rows = self.graph.count(op.inputs[0]) // size

        def dot(x: str, o: str) -> str:
            if form.transpose:
                return f"dot_{suffix}({x}, {weight} + {o}, {outputs}, {size})"
            return f"dot_{suffix}({x}, {weight} + {_times(o, size)}, 1, {size})"

        if rows == 1:
            with self._lines.loop("i", outputs):
                self._element(0, stage, Index("i"), dot(x, "i"))
            return
        flat = self._flat(0)
        with self._lines.loop("row", rows), self._counted("o", outputs, flat):
            self._element(0, stage, Index(flat), dot(f"{x} + row * {size}", "o"))

    def _float_product(self, k: int, stage: Stage, op: FloatProduct) -> None:
        x, _, _ = self._bottom(k, op.inputs[0])
        weight, form = self.unit.constant_name(op, "weight"), op.form
        shape, top = self.graph.shape(op.inputs[0]), self.graph.shape(op.outputs[0])
        _, outputs, size = op.by_tap().shape
        flat = self._flat(k)
        if isinstance(form, InnerProduct):
            rows = self.graph.count(op.inputs[0]) // size
            with self._lines.loop("row", rows), self._counted("o", outputs, flat):
                bottom = x if rows == 1 else f"{x} + row * {size}"
                text = f"float_dot({bottom}, {weight} + {_times('o', size)}, {size})"
                self._element(k, stage, Index(flat), text)
            return
        assert isinstance(form, Convolution)
        g, channels = form.geometry(4), shape[0] // op.groups
        if op.groups > 1:
            x = f"{x} + {_over('o', outputs)} * {channels * prod(shape[1:])}"
        numbers = _numbers(*shape[1:], *g.kernel, *g.stride, *g.pad)
        more = _numbers(*g.dilation, channels, prod(g.kernel), top[-1])
        self._declared.append(f"static const struct convolution c{k} = {{{{{numbers}}}, {more}}};")
        filters = f"{weight} + {_times('o', size)}"
        with self._channels(top[0]), self._into_plane(k, stage):
            with self._lines.loop("row", top[1]), self._counted("column", top[2], flat):
                text = f"float_convolve(&c{k}, {x}, {filters}, row, column)"
                self._element(k, stage, Index(flat, "o", prod(top[1:])), text)

    # -- windows -----------------------------------------------------------------------------

    def _pool(self, k: int, stage: Stage, op: MaxPool | WindowSum | FloatMean) -> None:
        shape, top = self.graph.shape(op.inputs[0]), self.graph.shape(op.outputs[0])
        x, kind, is_plane = self._bottom(k, op.inputs[0])
        h, w = op.form.windows((1, *shape))
        self._window(k, shape, (h.kernel, w.kernel), (h.stride, w.stride), (h.pad, w.pad))
        function = "float_total"
        if not isinstance(op, FloatMean):
            suffix = self.unit.windows(kind, self.graph.kind(op.outputs[0]))
            function = f"{'greatest' if isinstance(op, MaxPool) else 'total'}_{suffix}"
        channel = x if is_plane else f"{x} + {_times('o', prod(shape[1:]))}"
        flat = self._flat(k)
        with self._channels(top[0]), self._into_plane(k, stage):
            with self._lines.loop("row", top[1]), self._counted("column", top[2], flat):
                text = f"{function}(&w{k}, {channel}, row, column)"
                self._element(k, stage, Index(flat, "o", prod(top[1:])), text)

    def _window(self, k: int, shape: Shape, kernel: Shape, stride: Shape, pad: Shape) -> None:
        numbers = _numbers(*shape[-2:], *kernel, *stride, *pad)
        self._declared.append(f"static const struct window w{k} = {{{numbers}}};")

    def _squares(self, k: int, stage: Stage, op: SquareSum) -> None:
        shape = self.graph.shape(op.inputs[0])
        x, kind, _ = self._bottom(k, op.inputs[0])
        suffix = self.unit.windows(kind, self.graph.kind(op.outputs[0]))
        whole = op.windows.count(None)
        if whole and op.windows == (None,) * whole + (1,) * (len(shape) - whole):
            inner = prod(shape[whole:])
            with self._lines.loop("i", inner):
                text = f"squares_{suffix}({x} + i, {inner}, {prod(shape[:whole])})"
                self._element(k, stage, Index("i"), text)
            return
        if whole or len(shape) > 3:
            raise refusal(op, f"sums squares over {op.windows} of a blob of {shape}")
        (channels, height, width), (depth, *kernel) = (*shape, 1, 1)[:3], (*op.windows, 1, 1)[:3]
        sizes = [n or 1 for n in kernel]
        self._window(k, (height, width), tuple(sizes), (1, 1), tuple(n // 2 for n in sizes))
        flat = self._flat(k)
        with ExitStack() as stack:
            stack.enter_context(self._lines.loop("o", channels))
            stack.enter_context(self._lines.loop("row", height))
            stack.enter_context(self._counted("column", width, flat))
            at = f"{channels}, {depth}, o, row, column"
            text = f"squares_around_{suffix}(&w{k}, {x}, {at})"
            self._element(k, stage, Index(flat, "o", height * width), text)


def _numbers(*values: int) -> str:
    return ", ".join(map(str, values))


def _over(name: str, by: int) -> str:
    return name if by == 1 else f"{name} / {by}"


def _times(name: str, by: int) -> str:
    return name if by == 1 else f"{name} * {by}"
