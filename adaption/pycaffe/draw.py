"""pycaffe's draw: a NetParameter as a picture. Caffe: python/caffe/draw.py.

pycaffe goes by way of pydot; here graphviz' program `dot` is called, and .dot and .mmd files need
not even that.
"""

from __future__ import annotations

import os
from pathlib import Path

from adaption.errors import UsageError
from adaption.io.atomic import atomic_write
from adaption.proto import caffe_pb2
from adaption.report.draw import PICTURES, TEXTS, drawing_of, picture
from adaption.report.drawing import COLOURS, Drawing
from adaption.report.layer_text import kind_of_layer

__all__ = [
    "Graph",
    "choose_color_by_layertype",
    "draw_net",
    "draw_net_to_file",
    "get_pydot_graph",
]

PHASES = ("TRAIN", "TEST")


class Graph:
    """A drawn net, with the calls of a pydot graph that scripts use."""

    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing

    def to_string(self) -> str:
        """The graph in graphviz' language."""
        return self.drawing.dot()

    def create(self, format: str = "png") -> bytes:
        """The picture as bytes. Raises: UsageError on an unknown format, or without graphviz."""
        kind = format.lower()
        if kind not in TEXTS and kind not in PICTURES:
            raise UsageError(f"format is {format!r}, allowed: {', '.join((*PICTURES, *TEXTS))}")
        return picture(self.drawing, kind)

    def write(self, path: str | os.PathLike[str], format: str = "dot") -> None:
        """Write the picture to a file."""
        data = self.create(format)
        with atomic_write(path) as out:
            out.write(data)


def get_pydot_graph(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str = "LR",
    label_edges: bool = True,
    phase: int | None = None,
) -> Graph:
    """The graph of a net.

    Args:
        rankdir: direction of the data: LR, TB, RL or BT.
        label_edges: write names and shapes of blobs beside the arrows.
        phase: TRAIN or TEST; None draws the layers of both.
    """
    name = None if phase is None else PHASES[phase]
    return Graph(drawing_of(caffe_net, phase=name, rankdir=rankdir, label_edges=label_edges))


def draw_net(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str = "LR",
    ext: str = "png",
    phase: int | None = None,
) -> bytes:
    """The picture of a net: svg, png and pdf by graphviz, dot and mmd as text."""
    return get_pydot_graph(caffe_net, rankdir, phase=phase).create(format=ext)


def draw_net_to_file(
    caffe_net: caffe_pb2.NetParameter,
    filename: str | os.PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
) -> None:
    """Draw a net into a file; its suffix says in which format."""
    kind = Path(filename).suffix.removeprefix(".")
    get_pydot_graph(caffe_net, rankdir, phase=phase).write(filename, kind)


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a layer type's boxes, as #rrggbb."""
    return COLOURS[kind_of_layer(layertype)]
