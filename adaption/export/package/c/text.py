"""The text of a net's C file and header."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from adaption._version import __version__
from adaption.export.package.c.lines import Lines
from adaption.export.package.c.steps import MoveStep, Step
from adaption.export.package.c.types import FLOAT, STORED, CType
from adaption.export.package.c.unit import CUnit, Function, Output
from adaption.export.package.names import comment, identifier, printed

__all__ = ["CText", "Sizes", "net_identifier"]

TAKEN = (
    "floats",
    "main",
    "makefile",
    "ops",
    "products",
    "quantize",
    "scalars",
    "windows",
)  # other files
FUSES_NOTHING = """\
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off") /* as floats.h asks for */
#endif"""
LONGEST = 40  # letters of a net's name in C


def net_identifier(name: str) -> str:
    """The name of a net in C, which names its files, too."""
    return identifier(identifier(name or "net", ())[:LONGEST], TAKEN)


@dataclass(frozen=True)
class Sizes:
    """Bytes of a C program: `arena`, static memory for values; `constants`, read only; `input` and
    `output`, which the caller has; `code_input`, the input of NAME_run_codes, None without it."""

    arena: int
    constants: int
    input: int
    output: int
    code_input: int | None

    def __str__(self) -> str:
        or_codes = "" if self.code_input is None else f" ({self.code_input} as codes)"
        return (
            f"memory: {self.arena} bytes static; "
            f"input {self.input}{or_codes}, output {self.output}\n"
            f"constants: {self.constants} bytes"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON, in bytes."""
        return {f"{name}_bytes": value for name, value in vars(self).items() if value is not None}


class CText:
    """The texts of one unit.

    Args:
        net: its name, as the user gave it.
    """

    def __init__(self, unit: CUnit, net: str) -> None:
        self.unit, self.net = unit, net
        self.name = net_identifier(net)
        self.macro = self.name.upper()
        self.inputs = _named("input", [i.blob for i in unit.inputs])
        self.outputs = _named("output", [o.blob for o in unit.outputs])
        self.takes_codes = all(i.codes for i in unit.inputs)

    @property
    def sizes(self) -> Sizes:
        u = self.unit
        return Sizes(
            arena=_rounded(u.arena.size, max(k.size for k in self._kinds())),
            constants=sum(c.codes.size * c.c_type.size for c in u.constants.values()),
            input=4 * sum(i.count for i in u.inputs),
            output=sum(o.count * o.kind.size for o in u.outputs),
            code_input=sum(i.count * u.kind(i.codes).size for i in u.inputs if i.codes)
            if self.takes_codes
            else None,
        )  # fmt: skip

    # -- header ------------------------------------------------------------------------------

    def header(self) -> str:
        sizes, guard = self.sizes, f"{self.macro}_H"
        return "\n".join(
            [
                f'/* The net "{comment(self.net)}" in integers, written by adaption {__version__}.',
                *self._about_floats(),
                " *",
                *self._about_memory(sizes),
                " *",
                *self._about_blobs(),
                " */",
                f"#ifndef {guard}",
                f"#define {guard}",
                "",
                "#include <stddef.h>",
                "#include <stdint.h>",
                "",
                f"#define {self.macro}_ARENA_BYTES {sizes.arena}",
                *self._macros(),
                "",
                "#ifdef __cplusplus",
                'extern "C" {',
                "#endif",
                "",
                "/* All layers, for one sample. Values are in static memory: one call at a time */",
                f"void {self.name}_run({', '.join(self._parameters(codes=False))});",
                *self._codes_declared(),
                *self._trace_declared(),
                "",
                "#ifdef __cplusplus",
                "}",
                "#endif",
                "",
                "#endif",
                "",
            ]
        )

    def _about_memory(self, sizes: Sizes) -> Iterator[str]:
        yield f" * Memory: {sizes.arena} bytes, static, for values. The caller holds the rest:"
        more = f", or {sizes.code_input} of codes" if sizes.code_input is not None else ""
        yield f" * {sizes.input} bytes of float{more}; {sizes.output} bytes."
        yield f" * Constants: {sizes.constants} bytes, read only."

    def _about_floats(self) -> Iterator[str]:
        if self.unit.graph.has_floats:
            yield " *"
            yield " * Sums of integers are scaled in float32, and some layers are float32. Compile"
            yield " * with -ffp-contract=off and without -ffast-math: floats.h says why."

    def _about_blobs(self) -> Iterator[str]:
        for i in self.unit.inputs:
            shape = " x ".join(map(str, i.shape)) or "1"
            yield f' * Input "{comment(i.blob)}": {shape}, row-major'
        for o in self.unit.outputs:
            what = f"codes of {_code(o)}"
            if o.kind is FLOAT:
                what = "values of float"
                if o.value != self.unit.graph.program.outputs[o.blob]:
                    what += " from before the layers that are left out"
            yield f' * Output "{comment(o.blob)}": {o.count} {what}'

    def _macros(self) -> Iterator[str]:
        for name, i in zip(self.inputs, self.unit.inputs, strict=True):
            yield f"#define {self.macro}_{name.upper()}_SIZE {i.count}"
        for name, o in zip(self.outputs, self.unit.outputs, strict=True):
            start = f"#define {self.macro}_{name.upper()}"
            yield f"{start}_SIZE {o.count}"
            if o.kind is not FLOAT:
                yield f"{start}_FRAC_LENGTH {o.frac_length}"
            if o.divisor != 1:
                yield f"{start}_DIVISOR {o.divisor}"

    def _codes_declared(self) -> Iterator[str]:
        if not self.takes_codes:
            return
        yield ""
        yield "/* The same from codes of the inputs; those beyond what is said here are clamped."
        for i in self.unit.inputs:
            assert i.codes is not None
            v = self.unit.graph.value(i.codes)
            by = f" * {v.divisor}" if v.divisor != 1 else ""
            code = f"round(value * 2^{v.frac_length}{by})"
            yield f' * "{comment(i.blob)}": {code}, {v.low} to {v.high}'
        yield " */"
        yield f"void {self.name}_run_codes({', '.join(self._parameters(codes=True))});"

    def _trace_declared(self) -> Iterator[str]:
        yield ""
        yield "#ifdef ADAPTION_TRACE"
        yield "/* For tests: called with each value of the net, under its name in manifest.json. */"
        yield "void adaption_trace(const char *name, const int64_t *codes, size_t count);"
        if self.unit.graph.has_floats:
            yield "void adaption_trace_floats(const char *name, const float *values, size_t count);"
        yield "#endif"

    def _parameters(self, *, codes: bool) -> Iterator[str]:
        for name, i in zip(self.inputs, self.unit.inputs, strict=True):
            kind = self.unit.kind(i.codes).name if codes and i.codes else "float"
            yield f"const {kind} *{name}"
        for name, o in zip(self.outputs, self.unit.outputs, strict=True):
            yield f"{o.kind.name} *{name}"

    # -- source ------------------------------------------------------------------------------

    def source(self) -> str:
        u = self.unit
        parts = [
            FUSES_NOTHING if u.graph.has_floats else "",
            f'#include "{self.name}.h"\n\n#include "ops.h"'
            + ('\n#include "floats.h"' if u.graph.has_floats else ""),
            *("\n".join(_included(file, settings)) for file, settings in u.includes),
            "\n".join(f'#include "weights/{name}.h"' for name in u.constants),
            "\n".join(self._arena()),
            "\n".join(self._trace()),
            *(f"/* {comment(f.about)} */\n{f.text}" for f in u.functions.values()),
            *self._runs(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _kinds(self) -> list[CType]:
        used = self.unit.kinds_in_arena()
        return [kind for kind in (*STORED, FLOAT) if kind in used]

    def _arena(self) -> Iterator[str]:
        size = self.sizes.arena
        if not self.unit.arena.offsets:
            return
        yield "/* Values share memory once they are read; each lies there as one of these types. */"
        yield "ADAPTION_MEMORY static union {"
        for kind in self._kinds():
            yield f"    {kind.name} {kind.short}[{size // kind.size}];"
        yield "} arena;"

    def _trace(self) -> Iterator[str]:
        yield "#ifdef ADAPTION_TRACE"
        sizes = self.unit.trace_sizes
        yield f"static int64_t traced[{sizes[False]}];"
        if self.unit.graph.has_floats:
            yield f"static float traced_floats[{sizes[True]}];"
            yield "#define TRACE_FLOAT(first, i, value) (traced_floats[(first) + (i)] = (value))"
            yield "#define TRACED_FLOAT(first, name, count) \\"
            yield "    adaption_trace_floats(name, traced_floats + (first), count)"
        yield "#define TRACE(first, i, code) (traced[(first) + (i)] = (code))"
        yield "#define TRACED(first, name, count) adaption_trace(name, traced + (first), count)"
        yield "#else"
        yield "#define TRACE(first, i, code) ((void)0)"
        if self.unit.graph.has_floats:
            yield "#define TRACE_FLOAT(first, i, value) ((void)0)"
            yield "#define TRACED_FLOAT(first, name, count) ((void)0)"
        yield "#define TRACED(first, name, count) ((void)0)"
        yield "#endif"

    def _runs(self) -> Iterator[str]:
        entries = {i.codes for i in self.unit.inputs if i.codes}
        later = [step for step in self.unit.steps if not entries.intersection(step.tops)]
        first = [step for step in self.unit.steps if entries.intersection(step.tops)]
        outputs = list(self._parameters(codes=False))[len(self.inputs) :]
        inputs = list(self._parameters(codes=False))[: len(self.inputs)]
        floats = [] if self.takes_codes else inputs
        yield self._run(
            f"static void run_layers({', '.join([*floats, *outputs])})", later, ends=True
        )
        names = [*([] if self.takes_codes else self.inputs), *self.outputs]
        call = f"run_layers({', '.join(names)});"
        head = f"void {self.name}_run({', '.join(self._parameters(codes=False))})"
        yield self._run(head, first, call)
        if self.takes_codes:
            head = f"void {self.name}_run_codes({', '.join(self._parameters(codes=True))})"
            yield self._run(head, [], call, codes=True)

    def _run(
        self,
        head: str,
        steps: Sequence[Step | MoveStep],
        call: str = "",
        *,
        codes: bool = False,
        ends: bool = False,
    ) -> str:
        lines = Lines()
        lines.add(head, "{")
        with lines.indented():
            if codes:
                self._take_codes(lines)
            for step in steps:
                self._call(lines, step)
            if call:
                lines.add(call)
            if ends:
                self._hand_over(lines)
        lines.add("}")
        return str(lines)

    def _take_codes(self, lines: Lines) -> None:
        for name, i in zip(self.inputs, self.unit.inputs, strict=True):
            assert i.codes is not None
            v, kind = self.unit.graph.value(i.codes), self.unit.kind(i.codes)
            code = f"{name}[i]"
            if (v.low, v.high) != (kind.low, kind.high):
                code = f"({kind.name})limit_32({code}, {v.low}, {v.high})"
            with lines.loop("i", i.count):
                lines.add(f"({self.unit.place(i.codes)})[i] = {code};")

    def _call(self, lines: Lines, step: Step | MoveStep) -> None:
        u = self.unit
        function = u.functions.get(step.tops[0])
        if function is not None:
            lines.add(f"{function.name}({', '.join(self._arguments(step, function))});")
        if isinstance(step, Step):
            names = [op.outputs[0] for stage in step.stages for op in stage.ops]
        else:
            names = list(step.tops)
            lines.add("#ifdef ADAPTION_TRACE")
            for name in names:
                place = u.place(name) or self._output_of(name)
                with lines.loop("i", u.graph.count(name)):
                    lines.add(u.trace(name, "i", f"({place})[i]"))
            lines.add("#endif")
        for name in names:
            count = u.graph.count(name)
            macro = "TRACED_FLOAT" if u.graph.is_float(name) else "TRACED"
            lines.add(f'{macro}({u.traced[name]}, "{printed(name)}", {count});')

    def _arguments(self, step: Step | MoveStep, function: Function) -> Iterator[str]:
        u = self.unit
        for _, what in function.parameters:
            if what in function.inputs:
                blobs = [i.blob for i in u.inputs]
                yield self.inputs[blobs.index(function.inputs[what])]
            elif isinstance(step, Step):
                yield self._output_of(step.top)
            else:
                yield self._output_of(step.tops[int(what[1:])])

    def _output_of(self, name: str) -> str:
        blob = self.unit.places.direct[name]
        return self.outputs[[o.blob for o in self.unit.outputs].index(blob)]

    def _hand_over(self, lines: Lines) -> None:
        """Outputs that are not computed where the caller wants them."""
        for name, o in zip(self.outputs, self.unit.outputs, strict=True):
            if o.value not in self.unit.places.direct:
                with lines.loop("i", o.count):
                    lines.add(f"{name}[i] = ({self.unit.place(o.value)})[i];")


def _named(what: str, blobs: Sequence[str]) -> list[str]:
    """C names of the inputs, or outputs; `what` itself where there is one."""
    if len(blobs) == 1:
        return [what]
    taken: list[str] = []
    for blob in blobs:
        taken.append(identifier(f"{what}_{blob}", [name.lower() for name in taken]))
    return taken


def _code(o: Output) -> str:
    by = f" * {o.divisor}" if o.divisor != 1 else ""
    return f"{o.kind.name}: value * 2^{o.frac_length}{by}"


def _rounded(size: int, to: int) -> int:
    return -(-size // to) * to


def _included(file: str, settings: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, text in settings:
        yield f"#define {name} {text}"
    yield f'#include "{file}"'
