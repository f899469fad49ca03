"""A C99 program of an integer net: one call per operation, constants in headers and hex files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from adaption._version import __version__
from adaption.errors import AdaptionError, UsageError, system_error
from adaption.export.exact.program import Program
from adaption.export.package.c_calls import Caller, Output
from adaption.export.package.c_floats import float_literal
from adaption.export.package.constants import FORMAT, PackedConstant, describe
from adaption.export.package.names import comment, printed
from adaption.io.atomic import atomic_write
from adaption.io.files import read_json
from adaption.io.outputs import staged_folder
from adaption.layers.base import Shape

__all__ = ["write_c_program"]

RUNTIME = ("ops.h", "ops.c", "products.h", "floats.h", "main.c", "Makefile")
MANIFEST = "manifest.json"
# What the program and its make write.
OWN = (*RUNTIME, MANIFEST, "net.h", "net.c", "weights", "hex", "net")
LARGE = 32 << 20  # constants; more are slow to compile


def write_c_program(
    program: Program, input_shapes: Mapping[str, Shape], folder: Path, name: str
) -> tuple[list[Path], list[str]]:
    """Write the folder, all at once; returns its files and notes.

    An older program in it goes, whatever net it was of; files that are not a program's stay.

    Raises: LayerError when an operation has no C form; UsageError when the folder holds files of
        these names that are not of such a program.
    """
    replaced = _check_folder(folder)
    caller = Caller(program, input_shapes)
    written = {file: _runtime(file) for file in RUNTIME}
    written["net.h"] = _header(caller, name)
    written["net.c"] = _source(caller)
    manifest = describe(program, name)
    for operation in manifest["operations"]:
        for constant in operation["constants"]:
            stem = caller.identifiers[constant["name"]]
            constant |= {"header": f"weights/{stem}.h", "hex": f"hex/{stem}.hex"}
    written[MANIFEST] = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    with staged_folder(folder, OWN, marker=MANIFEST) as stage:
        for part in ("weights", "hex"):
            (stage / part).mkdir()
        for file, text in written.items():
            _write(stage / file, [text])
        for constant in caller.constants:
            stem = caller.identifiers[constant.name]
            _write(stage / "weights" / f"{stem}.h", _constant_header(constant, stem))
            _write(stage / "hex" / f"{stem}.hex", _hex(constant))
    files = [folder / file for file in written]
    for constant in caller.constants:
        stem = caller.identifiers[constant.name]
        files += [folder / "weights" / f"{stem}.h", folder / "hex" / f"{stem}.hex"]
    notes = [replaced] if replaced else []
    notes += caller.notes
    size = sum(c.packed().nbytes for c in caller.constants)
    if size > LARGE:
        notes.append(f"{size >> 20} MiB of constants are slow to compile as C headers")
    return files, notes


def _check_folder(folder: Path) -> str:
    """What is said of an older program in the folder; empty where there is none.

    Raises: UsageError.
    """
    try:
        taken = sorted(name for name in OWN if (folder / name).exists())
    except OSError as error:
        raise system_error(error, "cannot be written", file=folder) from None
    if not taken:
        return ""
    try:
        found = read_json(folder / MANIFEST, "a manifest")
    except AdaptionError:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UsageError(
            f"holds {taken[0]}, which is not of such a program", "name another folder", file=folder
        )
    return f"replaced the program of net {found.get('net')!r} that was in {os.fspath(folder)}"


def _write(path: Path, parts: Iterable[str]) -> None:
    with atomic_write(path, "w") as out:
        for part in parts:
            out.write(part)


def _runtime(name: str) -> str:
    folder = resources.files("adaption.export.package") / "runtime"
    return (folder / name).read_text(encoding="utf-8")


def _header(caller: Caller, name: str) -> str:
    inputs = "\n".join(
        f' *     "{comment(blob)}": {" x ".join(map(str, shape))}' for blob, shape in caller.inputs
    )
    outputs = "\n".join(f' *     "{comment(o.blob)}": {_what(o)}' for o in caller.outputs)
    codes, floats = _sizes(caller.outputs)
    has_floats = any(o.is_float for o in caller.outputs)
    size = f"#define NET_FLOAT_SIZE {floats}\n" if has_floats else ""
    mark = "    int is_float;\n" if has_floats else ""
    values = ", float *values" if has_floats else ""
    said = "All inputs of one sample, one behind another, to all outputs"
    if has_floats:
        said += ",\n * codes to `outputs` and float32 values to `values`"
    return f"""/* The net "{comment(name)}" in integers, written by adaption {__version__}.
 *
 * Inputs, float32, one sample:
{inputs}
 * Outputs:
{outputs}
 */
#ifndef NET_H
#define NET_H

#include <stddef.h>
#include <stdint.h>

#define NET_INPUT_SIZE {caller.input_size}
#define NET_OUTPUTS {len(caller.outputs)}
#define NET_OUTPUT_SIZE {max(1, codes)}
{size}
struct net_output {{
    const char *name;
    size_t count;
{mark}}};

extern const struct net_output net_outputs[NET_OUTPUTS];

/* Called with each value of the net, under its name in manifest.json. */
typedef void (*net_trace)(const char *name, const int64_t *codes, size_t count);

/* {said}; `trace` may be NULL. */
void net_run(const float *inputs, int64_t *outputs{values}, net_trace trace);

#endif
"""


def _what(o: Output) -> str:
    """What an output holds, in words."""
    if o.is_float:
        return f"{o.count} values, float32"
    over = f" * {o.divisor}" if o.divisor != 1 else ""
    return f"{o.count} codes of value * 2^{o.frac_length}{over}"


def _sizes(outputs: Sequence[Output]) -> tuple[int, int]:
    """Elements of all outputs of codes, and of those of float32."""
    floats = sum(o.count for o in outputs if o.is_float)
    return sum(o.count for o in outputs) - floats, floats


def _source(caller: Caller) -> str:
    includes = "\n".join(
        f'#include "weights/{caller.identifiers[c.name]}.h"' for c in caller.constants
    )
    has_floats = any(o.is_float for o in caller.outputs)
    rows = "\n".join(
        f'    {{"{printed(o.blob)}", {o.count}{f", {int(o.is_float)}" if has_floats else ""}}},'
        for o in caller.outputs
    )
    calls = "\n".join(f"    {line}" if line else "" for line in caller.lines)
    copies = "\n".join(_copies(caller.outputs))
    tables = "\n".join(["", *caller.tables])
    shared = "values share memory once they are read"
    floats = ""
    if caller.floats.size:
        floats = f"static float floats[{caller.floats.size}];\n"
    values = ", float *values" if has_floats else ""
    no_codes = "" if _sizes(caller.outputs)[0] else "    (void)outputs; /* all are float */\n"
    return f"""#include "net.h"

#include "ops.h"
{includes}

const struct net_output net_outputs[NET_OUTPUTS] = {{
{rows}
}};
{tables}
static int64_t arena[{max(1, caller.codes.size)}]; /* {shared} */
{floats}
void net_run(const float *inputs, int64_t *outputs{values}, net_trace trace)
{{
{no_codes}{calls}

{copies}
}}
"""


def _copies(outputs: list[Output]) -> Iterable[str]:
    offsets = {False: 0, True: 0}
    for o in outputs:
        function, to = ("float_copy", "values") if o.is_float else ("copy", "outputs")
        yield f"    {function}({o.place}, {to} + {offsets[o.is_float]}, {o.count});"
        offsets[o.is_float] += o.count


def _constant_header(constant: PackedConstant, identifier: str) -> Iterable[str]:
    shape = " x ".join(map(str, constant.codes.shape)) or "1"
    yield f"/* {comment(constant.name)}: {shape} ({constant.layout}), {constant.q} */\n"
    yield f"static const {constant.c_type} {identifier}[{max(1, constant.codes.size)}] = {{\n"
    values = constant.codes.ravel().tolist()
    for start in range(0, len(values), 16):
        line = ", ".join(_literal(value, constant.c_type) for value in values[start : start + 16])
        yield f"    {line},\n"
    yield "};\n"


def _literal(value: float, kind: str) -> str:
    if kind == "float":
        return float_literal(value)
    return f"INT64_C({value})" if kind == "int64_t" and abs(value) >= 2**31 else str(value)


def _hex(constant: PackedConstant) -> Iterable[str]:
    """One code per line, two's complement of as many digits as the word needs ($readmemh); the bits
    of a float32."""
    if constant.is_float:
        for bits in constant.codes.ravel().view(np.uint32).tolist():
            yield f"{bits:08x}\n"
        return
    digits = -(-constant.word_length // 4)
    mask = (1 << 4 * digits) - 1
    for code in constant.codes.astype(np.int64).ravel().tolist():
        yield f"{code & mask:0{digits}x}\n"
