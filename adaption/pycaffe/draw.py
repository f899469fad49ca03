"""pycaffe's draw: a NetParameter as a picture. Caffe: python/caffe/draw.py.

pycaffe goes by way of pydot; here graphviz' program `dot` is called, and .dot and .mmd files need
not even that.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from adaption.errors import bad_choice
from adaption.io.atomic import atomic_write
from adaption.layers.base import traits_of_type
from adaption.proto import caffe_pb2
from adaption.report.draw import PICTURES, TEXTS, drawing_of, picture
from adaption.report.drawing import COLOURS, Drawing
from adaption.report.layer_text import kind_of_layer

__all__ = [
    "Graph",
    "choose_color_by_layertype",
    "draw_net",
    "draw_net_to_file",
    "get_edge_label",
    "get_layer_lr_mult",
    "get_pooling_types_dict",
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
            raise bad_choice("format", format, (*PICTURES, *TEXTS))
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
    display_lrm: bool = False,
) -> Graph:
    """The graph of a net.

    Args:
        rankdir: direction of the data: LR, TB, RL or BT.
        label_edges: write names and shapes of blobs beside the arrows.
        phase: TRAIN or TEST; None draws the layers of both.
        display_lrm: write what multiplies the learning rate of a layer's parameters.
    """
    name = None if phase is None else PHASES[phase]
    drawn = drawing_of(caffe_net, phase=name, rankdir=rankdir, label_edges=label_edges)
    if display_lrm:
        drawn = _with_multipliers(drawn, caffe_net)
    return Graph(drawn)


def draw_net(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str = "LR",
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
) -> bytes:
    """The picture of a net: svg, png and pdf by graphviz, dot and mmd as text."""
    graph = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
    return graph.create(format=ext)


def draw_net_to_file(
    caffe_net: caffe_pb2.NetParameter,
    filename: str | os.PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Draw a net into a file; its suffix says in which format."""
    kind = Path(filename).suffix.removeprefix(".")
    graph = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
    graph.write(filename, kind)


def get_pooling_types_dict() -> dict[int, str]:
    """Names of the ways of pooling, by number."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_layer_lr_mult(layer: caffe_pb2.LayerParameter) -> str:
    """What multiplies the learning rate of a layer's parameters: of weight and bias, or 1.0."""
    found = [param.lr_mult for param in layer.param] or [1.0]
    return str(found[0]) if len(found) == 1 else f"[{', '.join(map(str, found))}]"


def get_edge_label(layer: caffe_pb2.LayerParameter) -> str:
    """What stands beside the arrow to a layer's top: batch size or outputs, in quotes."""
    kind = traits_of_type(layer.type).kind
    if kind == "convolution":
        return str(layer.convolution_param.num_output)
    if kind == "inner product":
        return str(layer.inner_product_param.num_output)
    if kind == "data" and layer.HasField("data_param"):
        return f"Batch {layer.data_param.batch_size}"
    return '""'


def _with_multipliers(drawn: Drawing, net: caffe_pb2.NetParameter) -> Drawing:
    """With a line in the box of every layer of weights: what multiplies its learning rate."""
    said: dict[tuple[str, ...], str] = {
        (layer.name, layer.type): f"lr mult {get_layer_lr_mult(layer)}"
        for layer in net.layer
        if traits_of_type(layer.type).is_weight_layer()
    }
    boxes = [
        replace(box, lines=(*box.lines, said[box.lines[:2]])) if box.lines[:2] in said else box
        for box in drawn.boxes
    ]
    return replace(drawn, boxes=boxes)


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a layer type's boxes, as #rrggbb."""
    return COLOURS[kind_of_layer(layertype)]
