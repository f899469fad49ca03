"""Layers lowered one by one, each by its own `lower`, and rounded as a style writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from adaption.errors import AdaptionError, ShapeError
from adaption.exact.selection import Member, Selection
from adaption.export.onnx.lowered import LayerValues, Lowered
from adaption.export.onnx.styles import Finished, LayerStyle, Written
from adaption.numerics import FixedPoint, Format

__all__ = ["LayerLowered"]

Shape = tuple[int, ...]


class LayerLowered(Lowered):
    """Layers lowered one by one, with a style's weights and activation points."""

    def __init__(
        self,
        selection: Selection,
        style: LayerStyle,
        rounded: Sequence[Sequence[Tensor]],
        shapes: Mapping[str, Shape],
        input_formats: Mapping[str, FixedPoint],
    ) -> None:
        super().__init__(selection, shapes)
        self.style = style
        self._blobs: dict[tuple[int, Format | None], str] = {}
        rounded_inputs: dict[str, str] = {}
        style.begin(selection, rounded, shapes, input_formats)
        for name, fmt in input_formats.items():
            with self.graph.scope(f"{name}/input"):
                self._latest[name] = style.activation(self.graph, name, fmt)
            rounded_inputs[name] = self._latest[name]
            self.graph.shapes[self._latest[name]] = shapes[name]
        for member, blobs in zip(selection.members, rounded, strict=True):
            spec = member.spec
            try:
                self._lower(member, blobs)
            except AdaptionError as error:
                raise error.at(layer=spec.name, layer_type=spec.type, line=spec.line) from None
        ends = tuple(self._latest[blob] for blob in selection.outputs)
        self._take(
            style.finish(Written(self.graph, self.layers, self.inputs, rounded_inputs, ends))
        )
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

    def _take(self, finished: Finished) -> None:
        """Follow the values that the style has moved."""
        self.notes, self.arithmetic = finished.notes, finished.arithmetic
        names = finished.names
        for old, new in names.items():
            if new is not None and old in self.graph.shapes:
                self.graph.shapes[new] = self.graph.shapes[old]
        self._latest = {blob: names.get(v, v) or v for blob, v in self._latest.items()}
        self.types.update(finished.types)
        self.layers = [
            replace(x, scales=tuple(finished.scales.get(top or "") for top in x.tops))
            for x in (layer.renamed(names) for layer in self.layers)
        ]
