"""What is in a prototxt, a caffemodel, or both: layers, shapes, parameters, MACs, support."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaption.errors import AdaptionError, LayerError, MissingBottomError, UsageError, one_line
from adaption.graph import (
    LayerSpec,
    NetSpec,
    NetState,
    build_spec,
    insert_splits,
    repeated_notices,
    roi_scale_notices,
    with_inputs,
)
from adaption.io.caffemodel import LayerWeights, Weights, read_weights
from adaption.io.kinds import kind_of, wrong_kind
from adaption.io.limits import Size, within_limit
from adaption.io.netfile import NetFile, read_net
from adaption.layers.base import can_run, choose_class, is_known, unknown_notices
from adaption.layers.dialects import check_dialect
from adaption.layers.shapes import LayerShapes, each_shape
from adaption.layers.unread import check_fields, unread_notices
from adaption.net.plan import LayerFormats, layer_formats
from adaption.net.points_check import check_formats
from adaption.options import NET, RunOptions, takes_options
from adaption.report.format import count as format_count
from adaption.report.tables import Grid

if TYPE_CHECKING:
    from adaption.report.inspect_other import OnnxInspection, SolverInspection
    from adaption.solver.settings import NetRole

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
    arranged: Callable[[Sequence[Any]], Sequence[Any]] = field(default=tuple, repr=False)
    formats: dict[str, str] = field(default_factory=dict)  # Qm.f and the like, by kind of point
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
            "formats": self.formats,
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
        has_formats = any(view.formats for view in self.layers)
        rows = []
        for v in self.layers:
            tops = "?" if v.top_shapes is None else " ".join(_by(s) for s in v.top_shapes)
            blobs = "?" if v.blob_shapes is None else " ".join(_by(s) for s in v.blob_shapes)
            kind = v.type + ("" if v.is_supported else " (unknown)")
            formats = ", ".join(f"{kind} {q}" for kind, q in v.formats.items())
            row = [v.name, kind, *([formats] if has_formats else [])]
            row += [*([v.weights] if has_weights else []), tops, blobs]
            rows.append(row + ["?" if n is None else format_count(n) for n in (v.params, v.macs)])
        head = ["layer", "type", *(["formats"] if has_formats else [])]
        head += [*(["weights"] if has_weights else []), "top shape", "blobs"]
        grid = Grid([*head, "parameters", "MACs"], rows, text_columns=len(head))
        lines = [grid.plain()]
        macs = "unknown" if self.macs is None else format_count(self.macs)
        lines.append(
            f"{self.name or 'net without a name'}: {len(self.layers)} layers,"
            f" {format_count(self.params)} parameters, {macs} MACs"
        )
        for label, blobs_by_name in (("inputs", self.inputs), ("outputs", self.outputs)):
            if blobs_by_name:
                shown = ", ".join(
                    f"{n} {'?' if s is None else _by(s)}" for n, s in blobs_by_name.items()
                )
                lines.append(f"{label}: {shown}")
        if self.unsupported:
            lines.append(f"unknown layer types: {', '.join(self.unsupported)}")
        if self.not_in_net:
            lines.append(
                f"layers of the caffemodel that the net lacks: {', '.join(self.not_in_net)}"
            )
        return "\n".join([lines[0], *map(one_line, [*lines[1:], *self.upgrades])])


@takes_options(options=NET)
@within_limit
def inspect(
    *files: PathLike,
    phase: str | None = None,
    options: RunOptions = RunOptions(),
    inputs: Mapping[str, tuple[int, ...]] | None = None,
    memory_limit: Size | None = None,
    **choices: Any,
) -> Inspection | SolverInspection | OnnxInspection:
    """Look into a prototxt, a caffemodel, or both; or into a solver, or an ONNX file.

    Args:
        files: one or two paths, in any order; recognized by their content.
        phase: "TRAIN" or "TEST"; None: TEST, or TRAIN where only that has the layers it needs.
        options: which layers are shown; see RunOptions.
        inputs: shapes of blobs that data layers make, where their data is not at hand.
        memory_limit: the most that one array, image or blob may take, as in "8G".
        choices: fields of RunOptions as keywords (level, stages, dialect, end, ...).
    Raises: UsageError on two files of one kind; FileFormatError or ParseError on bad files;
        LayerError when the net is wired wrongly, FieldError when it asks for formats that its
        layers cannot have. Unknown layers are no error.
    """
    wanted = _Wanted(options, dict(inputs or {}))
    net: NetFile | None = None
    weights: Weights | None = None
    shown: dict[str, dict[str, Any]] = {}
    for path in files:
        kind = kind_of(path)
        if kind == "missing":
            raise wrong_kind(path, kind, "a prototxt, caffemodel, solver or ONNX file")
        alone = _inspect_other(path, kind, wanted)
        if alone is not None:
            if len(files) > 1:
                raise UsageError(
                    f"{os.fspath(path)!r} is {alone.kind}, which is looked at alone",
                    "give a prototxt and its caffemodel, or one file",
                )
            return alone
        is_net = kind == "text"
        if (net if is_net else weights) is not None:
            name = "prototxt" if is_net else "caffemodel"
            raise UsageError(f"{os.fspath(path)!r} is a second {name}", "give one of each at most")
        if is_net:
            net = read_net(path)
        else:
            weights = read_weights(path)
        size = Path(path).stat().st_size
        shown["net" if is_net else "weights"] = {"path": os.fspath(path), "size_bytes": size}
    if net is not None:
        inspection = _inspect_file(net, phase, wanted)
        if weights is not None:
            _compare_with(inspection, weights)
    else:
        assert weights is not None
        inspection = _inspect_weights(weights)
    inspection.files = shown
    return inspection


@dataclass(frozen=True)
class _Wanted:
    """Which layers are shown, and shapes of blobs whose data is not at hand."""

    options: RunOptions
    inputs: Mapping[str, tuple[int, ...]]

    def of(self, spec: NetSpec) -> NetSpec:
        """The layers to show of a net."""
        return with_inputs(spec.up_to(self.options.end), self.inputs)


def _inspect_other(
    path: PathLike, kind: str, wanted: _Wanted
) -> SolverInspection | OnnxInspection | None:
    """What a file holds that is neither a net nor weights."""
    from adaption.report.inspect_other import inspect_onnx, inspect_solver, is_onnx, is_solver

    if kind == "binary protobuf" and is_onnx(path):
        return inspect_onnx(path)
    if kind == "text" and is_solver(path):
        return inspect_solver(path, lambda role: _inspect_role(role, wanted))
    return None


def _inspect_role(role: NetRole, wanted: _Wanted) -> Inspection:
    """A net that a solver asks for."""
    spec = replace(wanted.of(role.spec), dialect=wanted.options.dialect)
    return _inspect_spec(spec.allowing(wanted.options.python_modules), role.notices, ())


def _inspect_file(net: NetFile, phase: str | None, wanted: _Wanted) -> Inspection:
    options = wanted.options
    check_dialect(options.dialect)

    def spec_of(phase: str) -> NetSpec:
        spec = build_spec(
            net.message,
            NetState(phase, options.level, tuple(options.stages)),
            file=net.file,
            lines=net.lines,
            dialect=options.dialect,
            python_modules=options.python_modules,
        )
        return wanted.of(spec)

    notes = []
    try:
        spec = spec_of(phase or "TEST")
    except MissingBottomError as error:
        if phase is not None:
            raise
        try:
            spec = spec_of("TRAIN")
        except AdaptionError:
            raise error from None
        notes = [f"{net.file}: shown in phase TRAIN, since in TEST {_in_words(error)}"]
    notices = [str(notice) for notice in net.notices]
    return _inspect_spec(spec, notes + notices, net.upgrades)


def _in_words(error: LayerError) -> str:
    return f'layer "{error.layer}" has an {error.fact}'


def _inspect_spec(spec: NetSpec, notices: Sequence[str], upgrades: Sequence[str]) -> Inspection:
    views = [
        LayerView(s.name, s.type, s.line, list(s.bottoms), list(s.tops), is_supported=can_run(s))
        for s in spec.layers
    ]
    inspection = Inspection(spec.name, {}, views, spec.phase)
    inspection.warnings = [*notices, *unknown_notices(spec)]
    inspection.warnings += roi_scale_notices(spec) + repeated_notices(spec)
    inspection.upgrades = list(upgrades)
    inspection.warnings += [
        remark for s in spec.layers if is_known(s.type) for remark in _remarks(s, spec)
    ]
    blobs: dict[str, Any] = {}
    known: list[LayerShapes] = []
    try:
        _fill_shapes(insert_splits(spec), views, blobs, known)
    except AdaptionError as error:
        inspection.warnings.append(str(error.at(file=spec.file)))
    for view, item in zip(views, spec.layers, strict=True):
        one = next((x for x in known if x.spec is item or x.spec.message is item.message), None)
        try:
            view.formats = {kind: str(q) for kind, q in _formats(item, one).items()}
        except AdaptionError as error:
            raise error.at(
                file=spec.file, line=item.line, layer=item.name, layer_type=item.type
            ) from None
    inspection.inputs = {n: list(blobs[n]) if n in blobs else None for n in spec.inputs}
    inspection.outputs = {n: list(blobs[n]) if n in blobs else None for n in spec.outputs}
    return inspection


def _formats(item: LayerSpec, shapes: LayerShapes | None) -> LayerFormats:
    """The formats in force at a layer, which are checked where its shapes are known."""
    formats = layer_formats(item)
    if shapes is None:
        return formats
    if len(shapes.blobs) < 2 and not item.message.precision_param.HasField("bias"):
        formats = formats.having({"bias": None})  # round_bias of a layer without one
    check_formats(shapes, formats)
    return formats


def _remarks(item: LayerSpec, spec: NetSpec) -> Iterator[str]:
    """What is to be known about a layer of a known type, in words."""
    cls, sentence = choose_class(item, spec.dialect, spec.layers)
    if sentence:
        yield sentence
    yield from unread_notices(item, cls)
    try:
        check_fields(item, cls)
    except AdaptionError as error:
        yield str(
            error.at(file=spec.file, line=item.line, layer=item.name, layer_type=item.type)
        ).partition("\n")[0]


def _fill_shapes(
    spec: NetSpec,
    views: Sequence[LayerView],
    blobs: dict[str, Any],
    known: list[LayerShapes],
) -> None:
    """Shapes, parameters and MACs of every layer that no unknown layer hides; takes no memory.

    Args:
        spec: the net with Split layers, which have no view.
    """
    rest: dict[tuple[str, str, int | None], list[LayerView]] = {}
    for one in views:
        rest.setdefault((one.name, one.type, one.line), []).append(one)
    for item_shapes in each_shape(spec):
        blobs.update(zip(item_shapes.spec.tops, item_shapes.tops, strict=False))
        waiting = rest.get((item_shapes.spec.name, item_shapes.spec.type, item_shapes.spec.line))
        if not waiting:
            continue
        view = waiting.pop(0)
        view.top_shapes = [list(s) for s in item_shapes.tops]
        view.blob_shapes = [list(s) for s in item_shapes.blobs]
        view.params = sum(prod(s) for s in item_shapes.blobs)
        view.arranged = item_shapes.layer.arranged
        view.macs = item_shapes.layer.macs(item_shapes.bottoms, item_shapes.tops)
        known.append(item_shapes)


def _compare_with(inspection: Inspection, weights: Weights) -> None:
    """Say for every layer whether the caffemodel has blobs that fit."""
    by_name: dict[str, list[LayerWeights]] = {}
    for one in weights.layers:
        if one.blobs:
            by_name.setdefault(one.name, []).append(one)
    for view in inspection.layers:
        left = by_name.get(view.name, [])
        layer = left.pop(0) if left else None
        if view.blob_shapes is None or not view.blob_shapes:
            continue
        if layer is None or not layer.blobs:
            view.weights = "missing"
            continue
        blobs = view.arranged(layer.blobs[::2] if layer.is_paired else layer.blobs)
        want = [prod(s) for s in view.blob_shapes]
        have = [b.count for b in blobs]
        view.weights = "fit" if want == have else f"{_shapes(blobs)} in the caffemodel"
    named = {view.name for view in inspection.layers}
    inspection.not_in_net = [x.name for x in weights.layers if x.blobs and x.name not in named]


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
