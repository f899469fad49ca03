"""Upgrade a file of a legacy form: a net, a solver, or a caffemodel.

Caffe: tools/upgrade_net_proto_text.cpp, upgrade_net_proto_binary.cpp,
upgrade_solver_proto_text.cpp.
"""

from __future__ import annotations

import os

from adaption.errors import FileFormatError
from adaption.io import prototxt
from adaption.io.atomic import atomic_write
from adaption.io.caffemodel import read_weights, write_weights
from adaption.io.kinds import kind_of
from adaption.io.netfile import from_document, write_net
from adaption.io.upgrade import upgrade_net, upgrade_solver
from adaption.proto import caffe_pb2

__all__ = ["upgrade"]

PathLike = str | os.PathLike[str]

NET_FIELDS = ("layer", "layers", "input", "input_dim", "input_shape")


def upgrade(path: PathLike, out: PathLike) -> list[str]:
    """Write today's form of a net prototxt, solver prototxt or caffemodel; told by content.

    A text file that is in today's form already is written as it stands, comments included; one
    that changes is printed anew, without comments. Weights keep their bytes.

    Returns: what was upgraded, one sentence each; empty when nothing had to be.
    Raises: FileFormatError or ParseError on a bad file; LayerError where Caffe would stop.
    """
    if kind_of(path) != "text":
        return _upgrade_weights(path, out)
    document = prototxt.read(path)
    if any(document.root.all(name) for name in NET_FIELDS):
        net = from_document(document)
        write_net(net.message if net.upgrades else net, out)
        return net.upgrades
    solver, _ = document.message(caffe_pb2.SolverParameter)
    if not solver.ListFields():
        raise FileFormatError(
            "holds neither layers nor solver fields", "give a net or solver prototxt"
        ).at(file=path)
    notes = upgrade_solver(solver)
    text = prototxt.format_message(solver).encode("utf-8") if notes else document.data()
    with atomic_write(path=out, mode="wb") as file:
        file.write(text)
    return notes


def _foreign_type(kind: str) -> str:
    """What a caffemodel's layer says of a V1 type that is in no enum of ours."""
    return kind if kind.startswith("V1LayerType(") else ""


def _upgrade_weights(path: PathLike, out: PathLike) -> list[str]:
    weights = read_weights(path)
    definition = weights.definition()
    notes = upgrade_net(definition, [_foreign_type(layer.type) for layer in weights.layers])
    if any(blob.legacy for layer in weights.layers for blob in layer.blobs):
        notes.append("kept blobs of the legacy form num, channels, height, width, as Caffe does")
    write_weights(out, weights, definition=definition)
    return notes
