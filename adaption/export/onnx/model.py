"""build_model: the layers of a selection lowered one after another, and their values named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from adaption._version import __version__
from adaption.errors import AdaptionError, UsageError
from adaption.exact.selection import Selection, refuse_moving, refuse_unknown_inputs
from adaption.export.onnx.file import same_bits
from adaption.export.onnx.free_size import check_free_size, enlarged, free_dims
from adaption.export.onnx.graph import Array, OnnxGraph
from adaption.export.onnx.lowered import LayerValues, Lowered
from adaption.export.onnx.style_table import lower, new_style
from adaption.net import Net
from adaption.numerics import FixedPoint, Format

__all__ = ["OPSET", "OPSETS", "LayerValues", "Model", "build_model"]

# 18 is the first that has every operator in the form used here; see older.py for those before it.
# onnxruntime 1.14 and later run it, 1.17 and later run 20, 1.18 and later run 21.
OPSETS = tuple(range(11, 22))
OPSET = 18
# Of the onnx releases that brought the opsets.
IR_VERSIONS = dict(zip(OPSETS, (6, 7, 7, 7, 8, 8, 8, 8, 9, 9, 10), strict=True))

Shape = tuple[int, ...]
Dims = tuple[int | str | None, ...]  # "N": the batch size; None: follows from it


@dataclass(frozen=True)
class Model:
    """A lowered net. `batch` is None when the model takes any batch size; `batched` are the inputs
    whose first axis it is."""

    name: str
    style: str
    opset: int
    domains: Mapping[str, int]
    batch: int | None
    batched: tuple[str, ...]
    selection: Selection
    graph: OnnxGraph
    layers: tuple[LayerValues, ...]
    inputs: Mapping[str, Dims]
    outputs: Mapping[str, Dims]
    values: Mapping[str, Dims]  # the tops that are neither
    types: Mapping[str, int]  # ONNX element types of values that are not float32
    input_formats: Mapping[str, FixedPoint]  # of inputs that the model rounds as they come in
    processor: str
    arithmetic: Mapping[str, Any] | None  # see Lowered
    notes: tuple[str, ...]

    def proto(self) -> ModelProto:
        """The model as ONNX holds it, with the layers' values in metadata_props; without its
        constants, which are graph.read_constants(). At least of OPSET: see older.in_opset."""
        graph = helper.make_graph(
            self.graph.nodes,
            self.name or "net",
            _infos(self.inputs, self.types),
            _infos(self.outputs, self.types),
            value_info=_infos(self.values, self.types),
        )
        model = helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid(domain, version)
                for domain, version in {"": max(self.opset, OPSET), **self.domains}.items()
            ],
            ir_version=IR_VERSIONS[self.opset],
            producer_name="adaption",
            producer_version=__version__,
        )
        layers = [layer.to_dict() for layer in self.layers]
        arithmetic = self.arithmetic and json.dumps(self.arithmetic, ensure_ascii=False)
        helper.set_model_props(
            model,
            {
                "adaption.net": self.name,
                "adaption.style": self.style,
                "adaption.processor": self.processor,
                **({"adaption.arithmetic": arithmetic} if arithmetic else {}),
                "adaption.layers": json.dumps(layers, ensure_ascii=False),
                "adaption.input_formats": json.dumps(
                    {name: fmt.to_dict() for name, fmt in self.input_formats.items()}
                ),
            },
        )
        return model


def build_model(
    net: Net,
    selection: Selection,
    *,
    style: str,
    batch: int | None,
    opset: int | None = None,
    input_formats: Mapping[str, FixedPoint] | None = None,
    free_size: bool = False,
    processor: str = "any",
) -> Model:
    """Lower the layers of `selection`; without `opset`, for the oldest that the style can do with.

    `input_formats` are of inputs that are to be rounded before the first layer; with `free_size`
    images may have any height and width. `processor` is one of style_table.PROCESSORS.

    With `batch` None the layers are lowered at two batch sizes: where both give the same
    operators and constants, the model takes any.

    Raises: AdaptionError naming file and layer when a layer cannot be lowered; UsageError on a bad
        argument.
    """
    refuse_moving(selection)
    writer = new_style(style, processor)
    formats = input_formats or {}
    needed = writer.opset([*_formats(selection), *formats.values()])
    if opset is not None and opset < needed > OPSET:
        raise UsageError(
            f"opset is {opset}, style {style} needs {needed} or later for the formats of this net",
            f"give opset {needed}",
        )
    refuse_unknown_inputs(selection, formats)
    own = {name: net.blobs[name].shape for name in selection.inputs}
    size = next((shape[0] for shape in own.values() if shape), 1)
    batched = [name for name, shape in own.items() if shape and shape[0] == size]
    rounded = [m.node.quantized_blobs() for m in selection.members]  # once, also at random

    def lowered_at(n: int, more: tuple[int, int] = (0, 0)) -> Lowered:
        shapes = {k: (n, *s[1:]) if k in batched else s for k, s in own.items()}
        if any(more):
            shapes = {k: enlarged(s, more) for k, s in shapes.items()}
        return lower(writer, selection, rounded, shapes, formats)

    try:
        first = lowered_at(batch or size)
    except AdaptionError as error:
        raise error.at(file=net.spec.file) from None
    notes = [*selection.notes, *_notes(selection), *first.notes]
    second, why = None, ""
    if batch is None and batched:
        try:
            second = lowered_at(size + 1)
            why = _difference(first.graph, second.graph)
        except (AdaptionError, IndexError) as error:
            why = str(getattr(error, "layer", "")) or "a layer"
        if why:
            second = None
            notes.append(f'the batch size is fixed at {size}: layer "{why}" depends on it')
    if second is not None and style == "qonnx":
        notes.append("any batch size: the steps of qonnx and FINN need one, --batch 1 fixes it")
    dims = _dims(first.graph.shapes, (second or first).graph.shapes, batch or size)
    if free_size:
        check_free_size(first, lambda more: lowered_at(batch or size, more), _difference)
        dims = free_dims(dims, lowered_at(batch or size, (1, 1)).graph.shapes, own)
    inner = {value for layer in first.layers for value in (*layer.tops, *layer.before)}
    inner.discard(None)
    inner -= {*selection.inputs, *first.outputs, *first.graph.constants}
    return Model(
        name=net.name,
        style=style,
        opset=opset or needed,
        domains=writer.domains,
        batch=None if second else batch or size,
        batched=tuple(batched),
        selection=selection,
        graph=first.graph,
        layers=tuple(first.layers),
        inputs={name: dims[name] for name in selection.inputs},
        outputs={name: dims[name] for name in first.outputs},
        values={name: dims[name] for name in dims if name in inner},
        types=first.types,
        input_formats=formats,
        processor=processor,
        arithmetic=first.arithmetic,
        notes=tuple(notes),
    )


def _difference(a: OnnxGraph, b: OnnxGraph) -> str:
    """Name of the first layer that two graphs write differently, "" when there is none."""
    for x, y in zip(a.nodes, b.nodes, strict=False):
        if x != y:
            return a.owners[x.name]
    if len(a.nodes) != len(b.nodes):
        return a.owners[a.nodes[-1].name]
    for name, array in a.read_constants().items():
        other = b.constants.get(name)
        if other is None or not _same(array, other):
            return a.owners[name]
    return ""


def _same(a: Array, b: Array) -> bool:
    if a.ctypes.data == b.ctypes.data and a.size:  # both show the net's own memory
        return a.shape == b.shape
    return a.shape == b.shape and same_bits(a, b)


def _dims(shapes: Mapping[str, Shape], others: Mapping[str, Shape], size: int) -> dict[str, Dims]:
    """Sizes that stay the same with another batch size, "N" for the batch size, else None."""
    return {
        name: tuple(
            a if a == b else "N" if (a, b) == (size, size + 1) else None
            for a, b in zip(shape, others[name], strict=True)
        )
        for name, shape in shapes.items()
    }


def _infos(values: Mapping[str, Dims], types: Mapping[str, int]) -> list[ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, types.get(name, TensorProto.FLOAT), dims)
        for name, dims in values.items()
    ]


def _formats(selection: Selection) -> list[Format]:
    """Of weights and activations."""
    points = [m.node.formats for m in selection.members]
    return [f for p in points for f in (p.weight, p.bottom, p.activation) if f is not None]


def _notes(selection: Selection) -> list[str]:
    drawn = [
        f'"{m.spec.name}"'
        for m in selection.members
        if any((f := m.node.format_of(i)) and f.is_random for i in range(len(m.node.masters)))
    ]
    if not drawn:
        return []
    return [
        f"weights with stochastic rounding were rounded once, for this file: {', '.join(drawn)}"
    ]
