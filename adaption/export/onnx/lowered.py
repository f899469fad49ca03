"""Lowered: the operators that a net has become, and where its blobs are among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from adaption.errors import AdaptionError, ShapeError
from adaption.exact.selection import Member, Selection
from adaption.export.onnx.graph import OnnxGraph
from adaption.net.plan import LayerFormats
from adaption.numerics import FixedPoint, Format

if TYPE_CHECKING:
    from adaption.export.onnx.styles import Style

__all__ = ["LayerLowered", "LayerValues", "Lowered", "Moved", "Scale"]

Shape = tuple[int, ...]
Scale = tuple[int, int]


@dataclass(frozen=True)
class LayerValues:
    """Where the tops of one layer are in the model.

    `blobs` are the names of its tops, `tops` the values that hold them (None where a style computes
    it together with the next layer, so that no value does), `before` the values that the activation
    point rounds (the same as `tops` where there is none), `parameters` the values of its blobs,
    `views` those of its bottoms as it reads them, by index, where it has a point there.
    """

    name: str
    type: str
    blobs: tuple[str, ...]
    tops: tuple[str | None, ...]
    before: tuple[str | None, ...]
    parameters: tuple[str, ...] = ()
    formats: LayerFormats = field(default_factory=LayerFormats)
    scales: tuple[Scale | None, ...] = ()
    views: Mapping[int, str] = field(default_factory=dict)  # as lowered, before a style moves them

    def to_dict(self) -> dict[str, Any]:
        """The layer as plain values, for JSON."""
        return {
            "name": self.name,
            "type": self.type,
            "blobs": list(self.blobs),
            "tops": list(self.tops),
            "before": list(self.before),
            **({"scales": list(self.scales)} if any(self.scales) else {}),
            **{kind: fmt.to_dict() for kind, fmt in self.formats.for_inference.items()},
        }


@dataclass(frozen=True)
class Moved:
    """Where values of a graph are that a style has rearranged.

    `names`: the new name of each that has moved, None for one that the graph lacks now. `scales`
    and `types`: of new values that hold integer codes.
    """

    names: Mapping[str, str | None] = field(default_factory=dict)
    scales: Mapping[str, Scale] = field(default_factory=dict)
    types: Mapping[str, int] = field(default_factory=dict)


class Lowered:
    """The operators of a selection for inputs of given shapes.

    `layers` say where the tops are, `outputs` are the names of the model's outputs, `types` the
    ONNX element types of values that are not float32.
    """

    def __init__(self, selection: Selection, shapes: Mapping[str, Shape]) -> None:
        tops = [blob for m in selection.members for blob in m.spec.tops]
        self.graph = OnnxGraph(reserved=[*shapes, *tops])
        self.graph.shapes.update(shapes)
        self.layers: list[LayerValues] = []
        self.outputs: list[str] = []
        self.types: dict[str, int] = {}
        self.notes: Sequence[str] = ()
        self.inputs = set(shapes)
        self._latest = {name: name for name in shapes}  # blob -> the value it has so far

    def _name_values(self, outputs: Sequence[str]) -> None:
        """Name every top: by its blob where that ends with it, else `blob@layer`."""
        g = self.graph
        names = {name: name for name in (*self.inputs, *g.constants)}
        for blob, value in self._latest.items():
            if value not in names and blob not in self.inputs:
                names[value] = blob
        for layer in self.layers:
            for blob, top in zip(layer.blobs, layer.tops, strict=True):
                if top is not None and top not in names:
                    names[top] = g.free(f"{blob}@{layer.name}")
        for blob in outputs:
            self.outputs.append(self._output(blob, names))
        g.rename(names)
        self.types = {names.get(v, v): kind for v, kind in self.types.items()}

        def renamed(values: Sequence[str | None]) -> tuple[str | None, ...]:
            return tuple(names.get(v, v) if v else v for v in values)

        self.layers = [
            replace(x, tops=renamed(x.tops), before=renamed(x.before)) for x in self.layers
        ]

    def _output(self, blob: str, names: dict[str, str]) -> str:
        """Name of the output for `blob`; a value that already has a name of its own (an input,
        a constant, another output) is handed on under the blob's."""
        value = self._latest[blob]
        is_made_here = value not in self.inputs and value not in self.graph.constants
        if is_made_here and (names[value] == blob or blob in self.inputs):
            if names[value] not in self.outputs:
                return names[value]
        last = next(x.name for x in reversed(self.layers) if blob in x.blobs)
        with self.graph.scope(last):
            made: str = self.graph.op("Identity", value)
        self.graph.shapes[made] = self.graph.shapes[value]
        names[made] = self.graph.free(f"{blob}@{last}") if blob in self.inputs else blob
        return names[made]


class LayerLowered(Lowered):
    """Layers lowered one by one, with a style's weights and activation points."""

    def __init__(
        self,
        selection: Selection,
        style: Style,
        rounded: Sequence[Sequence[Tensor]],
        shapes: Mapping[str, Shape],
        input_formats: Mapping[str, FixedPoint],
    ) -> None:
        super().__init__(selection, shapes)
        self.style = style
        self._blobs: dict[tuple[int, Format | None], str] = {}
        self.rounded_inputs: dict[str, str] = {}  # input -> its value on the grid of its format
        for name, fmt in input_formats.items():
            with self.graph.scope(f"{name}/input"):
                self._latest[name] = style.activation(self.graph, name, fmt)
            self.rounded_inputs[name] = self._latest[name]
            self.graph.shapes[self._latest[name]] = shapes[name]
        for member, blobs in zip(selection.members, rounded, strict=True):
            spec = member.spec
            try:
                self._lower(member, blobs)
            except AdaptionError as error:
                raise error.at(layer=spec.name, layer_type=spec.type, line=spec.line) from None
        self.ends = tuple(self._latest[blob] for blob in selection.outputs)
        self._move(style.finish(self))
        self._name_values(selection.outputs)

    def _lower(self, member: Member, tensors: Sequence[Tensor]) -> None:
        g, spec, layer = self.graph, member.spec, member.node.layer
        bottoms = [self._latest[b] for b in spec.bottoms]
        shapes = [g.shape(b) for b in bottoms]
        views: dict[int, str] = {}
        if (fmt := member.node.formats.bottom) is not None:
            for i in member.node.read_bottoms:
                with g.scope(spec.name, "bottom"):
                    bottoms[i] = views[i] = self.style.activation(g, bottoms[i], fmt)
                g.shapes[bottoms[i]] = shapes[i]
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
                views=views,
            )
        )

    def _blob(self, member: Member, index: int, tensor: Tensor) -> str:
        """The value of a blob; layers that share it, in one format, share the value."""
        fmt = member.node.format_of(index)
        key = (id(member.node.masters[index]), fmt)
        if key not in self._blobs or (fmt is not None and fmt.is_random):
            self._blobs[key] = self.style.weight(self.graph, index, tensor, fmt)
        return self._blobs[key]

    def _move(self, moved: Moved) -> None:
        """Follow the values that the style has moved."""
        names = moved.names

        def now(values: Sequence[str | None]) -> tuple[str | None, ...]:
            return tuple(names.get(v, v) if v else v for v in values)

        for old, new in names.items():
            if new is not None and old in self.graph.shapes:
                self.graph.shapes[new] = self.graph.shapes[old]
        self._latest = {blob: names.get(v, v) or v for blob, v in self._latest.items()}
        self.types.update(moved.types)
        self.layers = [
            replace(
                x,
                tops=(tops := now(x.tops)),
                before=now(x.before),
                scales=tuple(moved.scales.get(t or "") for t in tops),
            )
            for x in self.layers
        ]
