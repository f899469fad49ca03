"""export_integer: a low-precision net as integer codes, in one npz or as a C99 program."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adaption.errors import bad_choice
from adaption.exact.options import ExactOptions
from adaption.exact.program import FloatLayer
from adaption.exact.run import ExactNet
from adaption.export.package.c.text import Sizes
from adaption.export.package.c_program import write_c_program
from adaption.export.package.constants import constants_of, describe
from adaption.io.atomic import atomic_write
from adaption.net import Net
from adaption.numerics import FixedPoint

__all__ = ["IntegerReport", "export_integer"]

FORMS = ("npz", "c")
WIDE = 32  # bits of an accumulator that most devices have


@dataclass(frozen=True)
class IntegerReport:
    """What `export_integer` wrote; `notes` say what was rounded or left out, `sizes` what a C
    program needs."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]
    sizes: Sizes | None = None


def export_integer(
    net: Net,
    out: str | os.PathLike[str],
    *,
    form: str = "npz",
    input_formats: Mapping[str, FixedPoint] | None = None,
) -> IntegerReport:
    """Write a net as integer codes: what exact arithmetic computes with, and nothing else.

    Form "npz": `out` is one file with an array per constant, named LAYER/weight, LAYER/addend, ...
    in the shortest integer type, and `manifest`, a JSON text with every operation, format, shape
    and layout. Form "c": `out` is a folder with the manifest, one `.hex` file and one C header per
    constant, and a C99 program without dependencies whose codes equal exact arithmetic. It is one
    function NAME_run(input, output); values lie in static memory, in 8 or 16 bits where they fit.

    Args:
        net: a low-precision net in phase TEST; the program computes one sample at a time.
        input_formats: formats of inputs that no LPAct rounds.
    Raises: AdaptionError naming the layer when the net has no integer form, or no C form.
    """
    if form not in FORMS:
        raise bad_choice("form", form, FORMS)
    exact = ExactNet(net, ExactOptions(input_formats=dict(input_formats or {})))
    program = exact.program
    notes = list(program.notes)
    wide = exact.report().wider_than(WIDE)
    if wide:
        notes.append(f"sums may need more than {WIDE} bits in: {', '.join(wide)}")
    if form == "c":
        shapes = {name: net.blobs[name].shape for name in program.inputs}
        written, more, sizes = write_c_program(program, shapes, Path(out), net.name)
        return IntegerReport(tuple(written), (*notes, *more), sizes)
    floats = [f'"{op.layer}"' for op in program.of_kind(FloatLayer) if op.node.blobs]
    if floats:
        notes.append(f"layers in float32 are not in the file: {', '.join(floats)}")
    arrays = {c.name: c.packed() for made in constants_of(program).values() for c in made}
    manifest = json.dumps(describe(program, net.name), ensure_ascii=False)
    with atomic_write(out) as file:
        np.savez(file, allow_pickle=False, manifest=np.array(manifest), **arrays)
    return IntegerReport((Path(out),), tuple(notes))
