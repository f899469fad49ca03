"""A C99 program of an integer net in a folder, with its constants in headers and hex files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from adaption.errors import AdaptionError, UsageError, system_error
from adaption.exact.program import Program
from adaption.export.package.c.main import main_text
from adaption.export.package.c.text import CText, Sizes
from adaption.export.package.c.types import FLOAT, float_literal, literal
from adaption.export.package.c.unit import CUnit
from adaption.export.package.constants import FORMAT, PackedConstant, describe
from adaption.export.package.names import comment
from adaption.io.atomic import atomic_write
from adaption.io.files import read_json
from adaption.io.outputs import staged_folder
from adaption.layers.base import Shape

__all__ = ["EXACT_FLOATS", "FLOATS", "write_c_program"]

RUNTIME = ("ops.h", "scalars.h", "quantize.h", "products.h", "windows.h", "Makefile")
FLOATS = "floats.h"  # of programs with layers in float32
EXACT_FLOATS = "-ffp-contract=off"  # what compiles them, see there
MANIFEST = "manifest.json"
# What every program and its make write, beside the net's own two files. Programs had an ops.c once.
OWN = (*RUNTIME, FLOATS, "ops.c", "main.c", MANIFEST, "weights", "hex", "net", "net_trace")
LARGE = 32 << 20  # constants; more are slow to compile


def write_c_program(
    program: Program, input_shapes: Mapping[str, Shape], folder: Path, name: str
) -> tuple[list[Path], list[str], Sizes]:
    """Write the folder, all at once; returns its files, notes, and what the program needs.

    An older program in it goes, whatever net it was of; files that are not a program's stay.

    Raises: LayerError when an operation has no C form; UsageError when the folder holds files of
        these names that are not of such a program.
    """
    unit = CUnit(program, input_shapes)
    text = CText(unit, name)
    before = _program_in(folder, _own(text.name))
    own = {*_own(text.name), *(() if before is None else _own(_stem_of(before)))}
    written: dict[str, Iterable[str]] = {
        f"{text.name}.c": [text.source()],
        f"{text.name}.h": [text.header()],
        "main.c": [main_text(text)],
        MANIFEST: [
            json.dumps(_manifest(program, name, unit, text), indent=2, ensure_ascii=False),
            "\n",
        ],
    }
    has_floats = unit.graph.has_floats
    for file in (*RUNTIME, *([FLOATS] if has_floats else [])):
        made = _runtime(file).replace("@name@", text.name)
        written[file] = [made.replace("@flags@", f" {EXACT_FLOATS}" if has_floats else "")]
    for stem, packed in unit.constants.items():
        written[f"weights/{stem}.h"] = _constant_header(packed, stem)
        written[f"hex/{stem}.hex"] = _hex(packed)
    with staged_folder(folder, own, marker=MANIFEST) as stage:
        for part in ("weights", "hex"):
            (stage / part).mkdir()
        for file, parts in written.items():
            with atomic_write(stage / file, "w") as out:
                out.writelines(parts)
    notes = [] if before is None else [_replaced(before, folder)]
    return [folder / file for file in written], [*notes, *_notes(unit, text)], text.sizes


def _manifest(program: Program, name: str, unit: CUnit, text: CText) -> dict[str, Any]:
    manifest = describe(program, name)
    stems = {constant.name: stem for stem, constant in unit.constants.items()}
    for operation in manifest["operations"]:
        for constant in operation["constants"]:
            if constant["name"] in stems:  # numbers that stand in the code have no file
                stem = stems[constant["name"]]
                constant |= {"header": f"weights/{stem}.h", "hex": f"hex/{stem}.hex"}
    return manifest | {"c": {"name": text.name, **text.sizes.to_dict()}}


def _notes(unit: CUnit, text: CText) -> Iterable[str]:
    if unit.graph.left_out:
        names = ", ".join(f'"{layer}"' for layer in unit.graph.left_out)
        if any(o.kind is FLOAT for o in unit.outputs):
            yield f"the program ends before layers that have no C form: {names}"
        else:
            behind = "layers in float32 behind them are left out"
            yield f"the program ends with codes: {behind}: {names}"
    if text.sizes.constants > LARGE:
        yield f"{text.sizes.constants >> 20} MiB of constants are slow to compile as C headers"


# -- an older program ------------------------------------------------------------------------------


def _own(stem: str) -> tuple[str, ...]:
    """Names in the folder of the program of a net that C code calls `stem`."""
    return (*OWN, f"{stem}.c", f"{stem}.h", f"{stem}.o")


def _stem_of(manifest: Mapping[str, Any]) -> str:
    """What C code calls the net of a manifest; "net" before programs were named after nets."""
    about = manifest.get("c")
    stem = about.get("name") if isinstance(about, dict) else None
    return stem if isinstance(stem, str) and re.fullmatch(r"\w+", stem, re.ASCII) else "net"


def _program_in(folder: Path, own: Iterable[str]) -> dict[str, Any] | None:
    """The manifest of the program that is in a folder.

    Raises: UsageError when files of these names are in it without one.
    """
    try:
        taken = sorted(name for name in own if (folder / name).exists())
    except OSError as error:
        raise system_error(error, "cannot be written", file=folder) from None
    if not taken:
        return None
    try:
        found = read_json(folder / MANIFEST, "a manifest")
    except AdaptionError:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UsageError(
            f"holds {taken[0]}, which is not of such a program", "name another folder", file=folder
        )
    return found


def _replaced(manifest: Mapping[str, Any], folder: Path) -> str:
    return f"replaced the program of net {manifest.get('net')!r} that was in {os.fspath(folder)}"


# -- files -----------------------------------------------------------------------------------------


def _runtime(name: str) -> str:
    folder = resources.files("adaption.export.package") / "runtime"
    return (folder / name).read_text(encoding="utf-8")


def _constant_header(constant: PackedConstant, identifier: str) -> Iterable[str]:
    about = constant.describe()
    shape = " x ".join(map(str, about["shape"])) or "1"
    yield f"/* {comment(constant.name)}: {shape} ({constant.layout}), {constant.q} */\n"
    kind = constant.c_type
    size = max(1, constant.codes.size)
    yield f"ADAPTION_CONSTANT static const {kind.name} {identifier}[{size}] = {{\n"
    codes = constant.codes.ravel().tolist()
    written = float_literal if constant.is_float else partial(literal, kind=kind)
    for start in range(0, len(codes), 16):
        line = ", ".join(map(written, codes[start : start + 16]))
        yield f"    {line},\n"
    yield "};\n"


def _hex(constant: PackedConstant) -> Iterable[str]:
    """One code per line, two's complement of as many digits as the word needs ($readmemh); or the
    32 bits of one float32."""
    if constant.is_float:
        for bits in constant.codes.ravel().view(np.uint32).tolist():
            yield f"{bits:08x}\n"
        return
    digits = -(-constant.word_length // 4)
    mask = (1 << 4 * digits) - 1
    for code in constant.integers.ravel().tolist():
        yield f"{code & mask:0{digits}x}\n"
