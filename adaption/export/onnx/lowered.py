"""Lowered: the operators that a net has become, and where its blobs are among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adaption.exact.selection import Selection
from adaption.export.onnx.graph import OnnxGraph
from adaption.net.plan import LayerFormats

__all__ = ["LayerValues", "Lowered", "Scale"]

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

    def renamed(self, names: Mapping[str, str | None]) -> LayerValues:
        """The layer with the new names of its tops' values; None for a value that is gone."""

        def now(values: Sequence[str | None]) -> tuple[str | None, ...]:
            return tuple(names.get(v, v) if v else v for v in values)

        return replace(self, tops=now(self.tops), before=now(self.before))

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


class Lowered:
    """The operators of a selection for inputs of given shapes.

    `layers` say where the tops are, `outputs` are the names of the model's outputs, `types` the
    ONNX element types of values that are not float32. `notes` are what a user should know, one
    sentence each. `arithmetic` says how the operators are exact: `rounding` and `biases` as in
    ExactOptions ("net": the net's own), `exceptions` the layers from which on codes may differ;
    None: they are not.
    """

    def __init__(self, selection: Selection, shapes: Mapping[str, Shape]) -> None:
        tops = [blob for m in selection.members for blob in m.spec.tops]
        self.graph = OnnxGraph(reserved=[*shapes, *tops])
        self.graph.shapes.update(shapes)
        self.layers: list[LayerValues] = []
        self.outputs: list[str] = []
        self.types: dict[str, int] = {}
        self.notes: Sequence[str] = ()
        self.arithmetic: Mapping[str, Any] | None = None
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
        self.layers = [layer.renamed(names) for layer in self.layers]

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
