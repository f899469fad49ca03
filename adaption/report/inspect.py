"""What is in a prototxt, a caffemodel, or both: layers, shapes, parameters, MACs, support."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from adaption.errors import AdaptionError, UsageError, one_line
from adaption.graph import (
    NetSpec,
    NetState,
    build_spec,
    insert_splits,
    roi_scale_notices,
    with_inputs,
)
from adaption.io.caffemodel import Weights, read_weights
from adaption.io.kinds import kind_of
from adaption.io.limits import Size, within_limit
from adaption.io.netfile import NetFile, read_net
from adaption.layers.base import can_run, choose_class, is_known, unknown_notices
from adaption.layers.shapes import each_shape
from adaption.options import NET, RunOptions, takes_options
from adaption.report.format import count as format_count
from adaption.report.tables import Grid

__all__ = ["Inspection", "LayerView", "inspect"]

PathLike = str | os.PathLike[str]


@dataclass
class LayerView:
    """One layer as found. Shapes and MACs are None where an unknown layer hides them."""

    name: str
    type: str
    line: int | None = None
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    top_shapes: list[list[int]] | None = None
    blob_shapes: list[list[int]] | None = None
    params: int | None = None
    macs: int | None = None  # of one forward pass at the batch size of the net
    is_supported: bool = True
    weights: str = ""  # "fit", "missing", or what does not fit; empty without a caffemodel

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "type": self.type,
            "line": self.line,
            "bottoms": self.bottoms,
            "tops": self.tops,
            "top_shapes": self.top_shapes,
            "blob_shapes": self.blob_shapes,
            "params": self.params,
            "macs": self.macs,
            "supported": self.is_supported,
            "weights": self.weights or None,
        }


@dataclass
class Inspection:
    """What `inspect` found; prints as a table, `to_dict` gives plain values."""

    name: str
    files: dict[str, dict[str, Any]]
    layers: list[LayerView]
    phase: str | None = None
    inputs: dict[str, list[int] | None] = field(default_factory=dict)
    outputs: dict[str, list[int] | None] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    upgrades: list[str] = field(default_factory=list)
    not_in_net: list[str] = field(default_factory=list)  # layers of the caffemodel only

    @property
    def unsupported(self) -> list[str]:
        """Layer types that cannot run, each once."""
        return list(dict.fromkeys(v.type for v in self.layers if not v.is_supported))

    @property
    def params(self) -> int:
        return sum(v.params or 0 for v in self.layers)

    @property
    def macs(self) -> int | None:
        """MACs of one forward pass; None when they are not known for every layer."""
        known = [v.macs for v in self.layers]
        return None if None in known else sum(m for m in known if m is not None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "format": "adaption.inspection/1",
            "name": self.name,
            "files": self.files,
            "phase": self.phase,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "layers": [view.to_dict() for view in self.layers],
            "totals": {"layers": len(self.layers), "params": self.params, "macs": self.macs},
            "supported": not self.unsupported,
            "unsupported": self.unsupported,
            "not_in_net": self.not_in_net,
            "upgrades": self.upgrades,
            "warnings": self.warnings,
        }

    def table(self) -> str:
        """The layers as a table, with totals and whatever needs attention below it."""
        has_weights = any(view.weights for view in self.layers)
        rows = []
        for v in self.layers:
            tops = "?" if v.top_shapes is None else " ".join(_by(s) for s in v.top_shapes)
            blobs = "?" if v.blob_shapes is None else " ".join(_by(s) for s in v.blob_shapes)
            kind = v.type + ("" if v.is_supported else " (unknown)")
            row = [v.name, kind, *([v.weights] if has_weights else []), tops, blobs]
            rows.append(row + ["?" if n is None else format_count(n) for n in (v.params, v.macs)])
        head = ["layer", "type", *(["weights"] if has_weights else []), "top shape", "blobs"]
        grid = Grid([*head, "parameters", "MACs"], rows, text_columns=len(head))
        lines = [grid.plain()]
        macs = "unknown" if self.macs is None else format_count(self.macs)
        lines.append(
            f"{self.name or 'net without a name'}: {len(self.layers)} layers,"
            f" {format_count(self.params)} parameters, {macs} MACs"
        )
        for label, blobs_by_name in (("inputs", self.inputs), ("outputs", self.outputs)):
            if blobs_by_name:
                shown = ", ".join(f"{n} {_by(s) if s else '?'}" for n, s in blobs_by_name.items())
                lines.append(f"{label}: {shown}")
        if self.unsupported:
            lines.append(f"unknown layer types: {', '.join(self.unsupported)}")
        if self.not_in_net:
            lines.append(
                f"layers of the caffemodel that the net lacks: {', '.join(self.not_in_net)}"
            )
        return "\n".join([lines[0], *map(one_line, [*lines[1:], *self.upgrades])])


@takes_options(options=("phase", *NET))
@within_limit
def inspect(
    *files: PathLike,
    options: RunOptions = RunOptions(),
    inputs: Mapping[str, tuple[int, ...]] | None = None,
    memory_limit: Size | None = None,
    **choices: Any,
) -> Inspection:
    """Look into a prototxt, a caffemodel, or both.

    Args:
        files: one or two paths, in any order; told apart by their content.
        options: which layers are shown; see RunOptions.
        inputs: shapes of blobs that data layers make, where their data is not at hand.
        memory_limit: the most that one array, image or blob may take, as in "8G".
        choices: fields of RunOptions as keywords (phase, level, stages, dialect, end, ...).
    Raises: UsageError on two files of one kind; FileFormatError or ParseError on bad files;
        LayerError when the net is wired wrongly. Unknown layers are no error.
    """
    net: NetFile | None = None
    weights: Weights | None = None
    shown: dict[str, dict[str, Any]] = {}
    for path in files:
        is_net = kind_of(path) == "text"
        if (net if is_net else weights) is not None:
            kind = "prototxt" if is_net else "caffemodel"
            raise UsageError(f"{os.fspath(path)!r} is a second {kind}", "give one of each at most")
        if is_net:
            net = read_net(path)
        else:
            weights = read_weights(path)
        size = Path(path).stat().st_size
        shown["net" if is_net else "weights"] = {"path": os.fspath(path), "size_bytes": size}
    if net is not None:
        state = NetState(options.phase, options.level, tuple(options.stages))
        spec = build_spec(
            net.message,
            state,
            file=net.file,
            lines=net.lines,
            dialect=options.dialect,
            python_modules=options.python_modules,
        )
        made = _inspect_net(net, with_inputs(spec.up_to(options.end), inputs or {}))
        if weights is not None:
            _hold_against(made, weights)
    else:
        assert weights is not None
        made = _inspect_weights(weights)
    made.files = shown
    return made


def _inspect_net(net: NetFile, spec: NetSpec) -> Inspection:
    views = {
        s.name: LayerView(
            s.name, s.type, s.line, list(s.bottoms), list(s.tops), is_supported=can_run(s)
        )
        for s in spec.layers
    }
    made = Inspection(spec.name, {}, list(views.values()), spec.phase)
    made.warnings = [str(n) for n in net.notices] + unknown_notices(spec)
    made.warnings += roi_scale_notices(spec)
    made.upgrades = list(net.upgrades)
    known = [s for s in spec.layers if is_known(s.type)]
    said = [choose_class(s, spec.dialect, spec.layers)[1] for s in known]
    made.warnings += [sentence for sentence in said if sentence]
    blobs: dict[str, Any] = {}
    try:
        _fill_shapes(insert_splits(spec), views, blobs)
    except AdaptionError as error:
        made.warnings.append(str(error.at(file=spec.file)))
    made.inputs = {n: list(blobs[n]) if n in blobs else None for n in spec.inputs}
    made.outputs = {n: list(blobs[n]) if n in blobs else None for n in spec.outputs}
    return made


def _fill_shapes(spec: NetSpec, views: dict[str, LayerView], blobs: dict[str, Any]) -> None:
    """Shapes, parameters and MACs of every layer that no unknown layer hides; takes no memory."""
    for found in each_shape(spec):
        blobs.update(zip(found.spec.tops, found.tops, strict=False))
        view = views.get(found.spec.name)
        if view is None:
            continue
        view.top_shapes = [list(s) for s in found.tops]
        view.blob_shapes = [list(s) for s in found.blobs]
        view.params = sum(prod(s) for s in found.blobs)
        view.macs = found.layer.macs(found.bottoms, found.tops)


def _hold_against(made: Inspection, weights: Weights) -> None:
    """Say for every layer whether the caffemodel has blobs that fit."""
    for view in made.layers:
        layer = weights.get(view.name)
        if view.blob_shapes is None or not view.blob_shapes:
            continue
        if layer is None or not layer.blobs:
            view.weights = "missing"
            continue
        blobs = layer.blobs[::2] if layer.is_paired else layer.blobs
        want = [prod(s) for s in view.blob_shapes]
        have = [b.count for b in blobs]
        view.weights = "fit" if want == have else f"{_shapes(blobs)} in the caffemodel"
    named = {view.name for view in made.layers}
    made.not_in_net = [x.name for x in weights.layers if x.blobs and x.name not in named]


def _inspect_weights(weights: Weights) -> Inspection:
    views = [
        LayerView(
            layer.name,
            layer.type,
            blob_shapes=[list(b.shape) for b in layer.blobs],
            params=sum(b.count for b in (layer.blobs[::2] if layer.is_paired else layer.blobs)),
            is_supported=not layer.type or is_known(layer.type),
        )
        for layer in weights.layers
    ]
    return Inspection(weights.name, {}, views)


def _shapes(blobs: Sequence[Any]) -> str:
    return " ".join(_by(b.shape) for b in blobs)


def _by(shape: Sequence[int]) -> str:
    return "x".join(str(d) for d in shape) or "scalar"
