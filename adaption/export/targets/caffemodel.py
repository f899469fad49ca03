"""Target caffemodel: weights on their grid under plain layer types, for tools that know Caffe only.

Caffe itself, OpenCV, and vendors' compilers read the pair; none of them knows LPAct, so results are
not rounded there.
"""

from __future__ import annotations

import os

from adaption.errors import UsageError
from adaption.export.targets.base import Export, Request, target
from adaption.graph import LayerSpec
from adaption.io.atomic import together
from adaption.io.caffemodel import read_weights, write_weights
from adaption.io.kinds import is_there
from adaption.io.netfile import write_net
from adaption.io.outputs import keep_inputs
from adaption.net.plan import layer_formats
from adaption.precision.convert import convert
from adaption.precision.rewrite import rewrite


@target(
    "caffemodel",
    suffix="_baked.caffemodel",
    help="weights on their grid in a plain caffemodel, and the plain prototxt beside it",
)
def export_caffemodel(request: Request) -> Export:
    """Write `out`, and a prototxt of the same name."""
    if request.out.suffix in (".prototxt", ".pbtxt"):
        raise UsageError(
            f"output {os.fspath(request.out)!r} names the prototxt, allowed: the caffemodel",
            f"write -o {request.out.with_suffix('.caffemodel')}; the prototxt goes beside it",
        )
    definition = request.out.with_suffix(".prototxt")
    if (
        is_there(definition)
        and is_there(request.net_path)
        and definition.samefile(request.net_path)
    ):
        raise UsageError(
            f"{os.fspath(definition)!r}, which goes beside the output, is the input",
            "name another output",
        )
    keep_inputs([definition], [request.weights_path])
    source = read_weights(request.weights_path)
    with together():
        write_weights(request.out, convert(source, request.file, baked=True), name=source.name)
        write_net(rewrite(request.file), definition)
    return Export(
        to="caffemodel",
        files=(request.out, definition),
        notes=tuple(_notes(request)),
        next=("inspect", str(definition), str(request.out)),
    )


def _notes(request: Request) -> list[str]:
    specs = (
        LayerSpec(m.name, m.type, tuple(m.bottom), tuple(m.top), m)
        for m in request.file.message.layer
    )
    formats = {spec.name: layer_formats(spec) for spec in specs}
    points = [f'"{name}" ({f.activation})' for name, f in formats.items() if f.activation]
    points += [f'"{name}" (bottom, {f.bottom})' for name, f in formats.items() if f.bottom]
    notes = []
    if points:
        notes.append(
            f"plain Caffe rounds no results: {len(points)} activation points are left out:"
            f" {', '.join(points)}"
        )
    drawn = [f'"{n}"' for n, f in formats.items() if f.weight is not None and f.weight.is_random]
    if drawn:
        notes.append(
            f"weights with stochastic rounding were rounded once, for this file: {', '.join(drawn)}"
        )
    return notes
