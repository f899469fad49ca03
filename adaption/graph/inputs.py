"""Inputs in place of the layers that bring data, so that a net can be fed by the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from adaption.errors import UsageError, near_and_all
from adaption.graph.spec import INPUT, LayerSpec, NetSpec
from adaption.proto import caffe_pb2

__all__ = ["input_shapes", "with_inputs"]

Shape = tuple[int, ...]


def with_inputs(spec: NetSpec, shapes: Mapping[str, Shape]) -> NetSpec:
    """The net with Input layers in place of the layers without bottoms that make these blobs.

    Raises: UsageError when no layer without bottoms makes one of the blobs, or when a replaced
        layer has another top whose shape is not given.
    """
    layers: list[LayerSpec] = []
    made: set[str] = set()
    sources = [top for item in spec.layers if not item.bottoms for top in item.tops]
    for item in spec.layers:
        given = [top for top in item.tops if top in shapes]
        if not given or item.bottoms:
            layers.append(item)
            continue
        missing = [top for top in item.tops if top not in shapes]
        if missing:
            raise UsageError(
                f'layer "{item.name}" makes {", ".join(item.tops)}, but no shape is given for'
                f" {', '.join(missing)}",
                "give the shape of each of its tops",
            ).at(file=spec.file)
        layers += [_input(f"{item.name}_{top}", top, shapes[top], item) for top in item.tops]
        made.update(item.tops)
    for name in shapes:
        if name not in made:
            raise UsageError(
                f'"{name}" cannot be an input',
                near_and_all(name, sources, "the net's data layers make"),
            ).at(file=spec.file)
    return replace(spec, layers=tuple(layers))


def _input(name: str, top: str, shape: Shape, like: LayerSpec) -> LayerSpec:
    message = caffe_pb2.LayerParameter()
    message.name, message.type = name, INPUT
    message.phase = like.message.phase
    message.top.append(top)
    message.input_param.shape.add().dim.extend(shape)
    return LayerSpec(name, INPUT, (), (top,), message, like.line)


def input_shapes(spec: NetSpec) -> dict[str, Shape]:
    """Shape of each blob of an Input layer that the prototxt gives one for."""
    shapes = {}
    for item in spec.layers:
        if not item.is_input:
            continue
        given = item.message.input_param.shape
        for i, top in enumerate(item.tops):
            if given:
                shapes[top] = tuple(int(d) for d in given[i if len(given) > 1 else 0].dim)
    return shapes
