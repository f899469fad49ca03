"""build_model: the layers of a selection lowered one after another, and their values named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnx import ModelProto, TensorProto, ValueInfoProto, helper
from torch import Tensor

from adaption._version import __version__
from adaption.errors import AdaptionError, ShapeError, UsageError
from adaption.export.onnx_graph import Array, OnnxGraph
from adaption.export.selection import Member, Selection
from adaption.export.style_table import STYLES
from adaption.export.styles import Style
from adaption.net import Net
from adaption.net.plan import LayerFormats
from adaption.numerics import FixedPoint, Format

__all__ = ["OPSETS", "LayerValues", "Model", "build_model"]

# 18 is the first that has every operator in the form used here. onnxruntime 1.14 and later run it,
# 1.17 and later run 20, 1.18 and later run 21.
OPSETS = (18, 19, 20, 21)
IR_VERSIONS = {18: 8, 19: 9, 20: 9, 21: 10}  # of the onnx releases that brought the opsets

Shape = tuple[int, ...]
Dims = tuple[int | str | None, ...]  # "N": the batch size; None: follows from it


@dataclass(frozen=True)
class LayerValues:
    """Where the tops of one layer are in the model.

    `blobs` are the names of its tops, `tops` the values that hold them (None where a style computes
    it together with the next layer, so that no value does), `before` the values that the activation
    point rounds (the same as `tops` where there is none), `parameters` the values of its blobs.
    """

    name: str
    type: str
    blobs: tuple[str, ...]
    tops: tuple[str | None, ...]
    before: tuple[str | None, ...]
    parameters: tuple[str, ...] = ()
    formats: LayerFormats = field(default_factory=LayerFormats)

    def to_dict(self) -> dict[str, Any]:
        """The layer as plain values, for JSON."""
        points = ("weight", "bias", "activation")
        formats = {p: _format_dict(getattr(self.formats, p)) for p in points}
        return {
            "name": self.name,
            "type": self.type,
            "blobs": list(self.blobs),
            "tops": list(self.tops),
            "before": list(self.before),
            **{point: f for point, f in formats.items() if f is not None},
        }


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
    notes: tuple[str, ...]

    @property
    def constants_bytes(self) -> int:
        return sum(a.nbytes for a in self.graph.read_constants().values())

    def proto(self) -> ModelProto:
        """The model as ONNX holds it, with the layers' values in metadata_props."""
        graph = helper.make_graph(
            self.graph.nodes,
            self.name or "net",
            _infos(self.inputs),
            _infos(self.outputs),
            self.graph.initializers(),
            value_info=_infos(self.values),
        )
        model = helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid(domain, version)
                for domain, version in {"": self.opset, **self.domains}.items()
            ],
            ir_version=IR_VERSIONS[self.opset],
            producer_name="adaption",
            producer_version=__version__,
        )
        layers = [layer.to_dict() for layer in self.layers]
        helper.set_model_props(
            model,
            {
                "adaption.net": self.name,
                "adaption.style": self.style,
                "adaption.layers": json.dumps(layers, ensure_ascii=False),
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
) -> Model:
    """Lower the layers of `selection`; without `opset`, for the oldest that the style can do with.

    `input_formats` are of inputs that are to be rounded before the first layer.

    With `batch` None the layers are lowered at two batch sizes: where both give the same
    operators and constants, the model takes any.

    Raises: AdaptionError naming file and layer when a layer cannot be lowered.
    """
    writer = STYLES[style]()
    formats = input_formats or {}
    needed = writer.opset([*_formats(selection), *formats.values()])
    if opset is not None and opset < needed:
        raise UsageError(
            f"opset is {opset}, style {style} needs {needed} or later for the formats of this net",
            f"give opset {needed}",
        )
    unknown = [name for name in formats if name not in selection.inputs]
    if unknown:
        raise UsageError(
            f"input formats are given for {', '.join(map(repr, unknown))}",
            f"the model's inputs are {', '.join(map(repr, selection.inputs))}",
        )
    own = {name: net.blobs[name].shape for name in selection.inputs}
    size = next((shape[0] for shape in own.values() if shape), 1)
    batched = [name for name, shape in own.items() if shape and shape[0] == size]
    rounded = [m.node.quantized_blobs() for m in selection.members]  # once, also at random

    def lowered_at(n: int) -> _Lowered:
        shapes = {k: (n, *s[1:]) if k in batched else s for k, s in own.items()}
        return _Lowered(selection, writer, rounded, shapes, formats)

    try:
        first = lowered_at(batch or size)
    except AdaptionError as error:
        raise error.at(file=net.spec.file) from None
    notes = [*selection.notes, *_notes(selection), *writer.notes(first.graph)]
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
    dims = _dims(first.graph.shapes, (second or first).graph.shapes, batch or size)
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
        notes=tuple(notes),
    )


class _Lowered:
    """The operators of a selection for inputs of given shapes."""

    def __init__(
        self,
        selection: Selection,
        style: Style,
        rounded: Sequence[Sequence[Tensor]],
        shapes: Mapping[str, Shape],
        input_formats: Mapping[str, FixedPoint],
    ) -> None:
        tops = [blob for m in selection.members for blob in m.spec.tops]
        self.graph = OnnxGraph(reserved=[*shapes, *tops])
        self.graph.shapes.update(shapes)
        self.style = style
        self.layers: list[LayerValues] = []
        self.outputs: list[str] = []
        self._inputs = set(shapes)
        self._latest = {name: name for name in shapes}  # blob -> the value it has so far
        self._blobs: dict[tuple[int, Format | None], str] = {}
        for name, fmt in input_formats.items():
            with self.graph.scope(f"{name}/input"):
                self._latest[name] = style.activation(self.graph, name, fmt)
            self.graph.shapes[self._latest[name]] = shapes[name]
        for member, blobs in zip(selection.members, rounded, strict=True):
            spec = member.spec
            try:
                self._lower(member, blobs)
            except AdaptionError as error:
                raise error.at(layer=spec.name, layer_type=spec.type, line=spec.line) from None
        self._move(style.finish(self.graph))
        self._name_values(selection.outputs)

    def _lower(self, member: Member, tensors: Sequence[Tensor]) -> None:
        g, spec, layer = self.graph, member.spec, member.node.layer
        bottoms = [self._latest[b] for b in spec.bottoms]
        shapes = [g.shape(b) for b in bottoms]
        wanted = layer.blob_shapes(*shapes)
        if [tuple(t.shape) for t in tensors] != [tuple(s) for s in wanted]:
            have = [tuple(t.shape) for t in tensors]
            raise ShapeError(f"the blobs have shapes {have}, bottoms of {shapes} need {wanted}")
        with g.scope(spec.name):
            blobs = [self._blob(member, i, tensor) for i, tensor in enumerate(tensors)]
            if layer.same_tops_as_bottoms:
                before = tuple(layer.lower(g, x, *blobs) for x in bottoms)
            else:
                made = layer.lower(g, *bottoms, *blobs)
                before = tuple(made) if isinstance(made, tuple | list) else (made,)
        tops = before
        if (fmt := member.node.formats.activation) is not None:
            with g.scope(spec.name, "activation"):
                tops = tuple(self.style.activation(g, x, fmt) for x in before)
        for shape, *values in zip(layer.top_shapes(*shapes), before, tops, strict=True):
            g.shapes.update(dict.fromkeys(values, tuple(shape)))
        self._latest.update(zip(spec.tops, tops, strict=True))
        self.layers.append(
            LayerValues(
                name=spec.name,
                type=spec.type,
                blobs=spec.tops,
                tops=tops,
                before=before,
                parameters=tuple(blobs),
                formats=member.node.formats,
            )
        )

    def _blob(self, member: Member, index: int, tensor: Tensor) -> str:
        """The value of a blob; layers that share it, in one format, share the value."""
        fmt = member.node.format_of(index)
        key = (id(member.node.masters[index]), fmt)
        if key not in self._blobs or (fmt is not None and fmt.is_random):
            self._blobs[key] = self.style.weight(self.graph, index, tensor, fmt)
        return self._blobs[key]

    def _move(self, moved: Mapping[str, str | None]) -> None:
        """Follow the values that the style has moved."""

        def now(values: Sequence[str | None]) -> tuple[str | None, ...]:
            return tuple(moved.get(v, v) if v else v for v in values)

        for old, new in moved.items():
            if new is not None and old in self.graph.shapes:
                self.graph.shapes[new] = self.graph.shapes[old]
        self._latest = {blob: moved.get(v, v) or v for blob, v in self._latest.items()}
        self.layers = [replace(x, tops=now(x.tops), before=now(x.before)) for x in self.layers]

    def _name_values(self, outputs: Sequence[str]) -> None:
        """Name every top: by its blob where that ends with it, else `blob@layer`."""
        g = self.graph
        names = {name: name for name in (*self._inputs, *g.constants)}
        for blob, value in self._latest.items():
            if value not in names and blob not in self._inputs:
                names[value] = blob
        for layer in self.layers:
            for blob, top in zip(layer.blobs, layer.tops, strict=True):
                if top is not None and top not in names:
                    names[top] = g.free(f"{blob}@{layer.name}")
        for blob in outputs:
            self.outputs.append(self._output(blob, names))
        g.rename(names)

        def renamed(values: Sequence[str | None]) -> tuple[str | None, ...]:
            return tuple(names.get(v, v) if v else v for v in values)

        self.layers = [
            replace(x, tops=renamed(x.tops), before=renamed(x.before)) for x in self.layers
        ]

    def _output(self, blob: str, names: dict[str, str]) -> str:
        """Name of the output for `blob`; a value that already has a name of its own (an input,
        a constant, another output) is handed on under the blob's."""
        value = self._latest[blob]
        is_made_here = value not in self._inputs and value not in self.graph.constants
        if is_made_here and (names[value] == blob or blob in self._inputs):
            if names[value] not in self.outputs:
                return names[value]
        last = next(x.name for x in reversed(self.layers) if blob in x.blobs)
        with self.graph.scope(last):
            made: str = self.graph.op("Identity", value)
        self.graph.shapes[made] = self.graph.shapes[value]
        names[made] = self.graph.free(f"{blob}@{last}") if blob in self._inputs else blob
        return names[made]


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
    return a.shape == b.shape and a.tobytes() == b.tobytes()


def _dims(shapes: Mapping[str, Shape], others: Mapping[str, Shape], size: int) -> dict[str, Dims]:
    """Sizes that stay the same with another batch size, "N" for the batch size, else None."""
    return {
        name: tuple(
            a if a == b else "N" if (a, b) == (size, size + 1) else None
            for a, b in zip(shape, others[name], strict=True)
        )
        for name, shape in shapes.items()
    }


def _infos(values: Mapping[str, Dims]) -> list[ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
        for name, dims in values.items()
    ]


def _formats(selection: Selection) -> list[Format]:
    """Of weights and activations."""
    points = [m.node.formats for m in selection.members]
    return [f for p in points for f in (p.weight, p.activation) if f is not None]


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


def _format_dict(fmt: Format | None) -> dict[str, Any] | None:
    if fmt is None:
        return None
    if not isinstance(fmt, FixedPoint):
        return {"format": str(fmt)}
    return {
        "q": str(fmt),
        "word_length": fmt.word_length,
        "frac_length": fmt.frac_length,
        "rounding": fmt.rounding,
        "is_signed": fmt.is_signed,
        "range": fmt.range,
    }
