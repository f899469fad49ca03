"""Set precisions in a prototxt that is there already; only the lines that change are touched."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import unified_diff
from typing import TYPE_CHECKING

from adaption.errors import AdaptionError, FieldError, LayerError, listed
from adaption.graph import wrong_roi_scales
from adaption.io import prototxt
from adaption.io.lp_types import LP_ACT, LP_TYPES
from adaption.io.netfile import NetFile, from_document, read_net, write_net
from adaption.io.outputs import keep_inputs
from adaption.io.prototxt import Block, Document, Field
from adaption.layers.base import traits_of_type
from adaption.nearest import nearest_names
from adaption.net.plan import KINDS as POINT_KINDS
from adaption.net.plan import LayerFormats
from adaption.numerics import DynamicFixed, FixedPoint, Format, parse_format
from adaption.precision.format_text import (
    FORWARD,
    formats_of,
    lp_act,
    make_float,
    set_formats,
    set_points,
    text_of,
)
from adaption.precision.rewrite import file_sites, file_specs, fresh_document, matches
from adaption.precision.sites import Wiring, shapes_result
from adaption.precision.splice import take_out_rounding, unused_name

if TYPE_CHECKING:
    from adaption.precision.proposal import Proposal

__all__ = ["Change", "Edited", "edit", "edit_file"]

PathLike = str | os.PathLike[str]

OTHER_KINDS = tuple(kind for kind in POINT_KINDS if kind not in FORWARD)
CHANGES = (*FORWARD, *OTHER_KINDS, "rounding", "round_bias", "backward_weights")
CONVENTIONS = ("sign-included", "sign-excluded")
EXAMPLE = "write conv*:weight=Q2.14, fc6:activation=Q5.11 or all:rounding=stochastic"
ADDS_POINTS = "; `adaption rewrite` adds LPAct layers"


@dataclass(frozen=True)
class Change:
    """One point of one layer: formats in words, "float" for none."""

    layer: str
    kind: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.kind} {self.old} -> {self.new}"


@dataclass(frozen=True)
class Edited:
    """The net, what changed in it, and the change as a unified diff."""

    net: NetFile
    changes: tuple[Change, ...]
    diff: str


@dataclass(frozen=True)
class _Request:
    pattern: str
    kind: str
    value: Format | str | None  # a format (None: float), a rounding, "true" or "false"
    is_whole: bool = False  # the format says the rounding too


def edit_file(
    net: PathLike,
    requests: Sequence[str] = (),
    *,
    plan: Proposal | PathLike | None = None,
    import_names: str = "sign-included",
    mend_roi_scale: bool = False,
    out: PathLike | None = None,
    dry_run: bool = False,
) -> Edited:
    """Edit a prototxt in place, or into `out`; with `dry_run` nothing is written. See `edit`."""
    file = None
    if plan is not None:
        from adaption.precision.proposal import Proposal

        file = None if isinstance(plan, Proposal) else plan
    keep_inputs([net if out is None else out], [file])
    made = edit(net, requests, plan=plan, import_names=import_names, mend_roi_scale=mend_roi_scale)
    if not dry_run and (made.changes or out is not None):
        write_net(made.net, net if out is None else out)
    return made


def edit(
    net: NetFile | PathLike,
    requests: Sequence[str] = (),
    *,
    plan: Proposal | PathLike | None = None,
    import_names: str = "sign-included",
    mend_roi_scale: bool = False,
) -> Edited:
    """The net with other precisions.

    Args:
        requests: `LAYER:POINT=VALUE`, applied in order. LAYER is a name, a pattern (`conv*`), or
            `all` for every layer that is low precision already. POINT and VALUE: a kind of point
            (weight, bias, activation, bottom, weight_grad, ...) and a format (Q2.14, W4, DFP8-1)
            or "float"; rounding and deterministic, stochastic, half-even or floor; round_bias and
            true or false; backward_weights and master or quantized. A weight of Qm.f makes a plain
            layer a low-precision one; the activation of a weight layer is that of the LPAct behind
            it, which is put in where there is none.
        plan: formats to set first, as `propose` gives them.
        import_names: "sign-excluded" for files from before ADaPTION counted the sign bit in bd
            (names such as LP_VGG16_5_10): every bd of the file is raised by one, and a VALUE
            written 5_10 means Q6.10. By default 5_10 means Q5.10.
        mend_roi_scale: set the spatial_scale of ROIPooling right where it is ten times what the
            map's stride asks for, as in ADaPTION's training nets.
    Raises: FieldError on a request that does not parse; LayerError when one fits no layer.
    """
    if import_names not in CONVENTIONS:
        raise FieldError("import_names", import_names, ", ".join(CONVENTIONS))
    if not isinstance(net, NetFile):
        net = read_net(net)
    excluded = import_names == "sign-excluded"
    document = fresh_document(net)
    editor = _Editor(document, net.file)
    if excluded:
        editor.count_the_sign()
    if mend_roi_scale:
        editor.mend_roi_scale()
    if plan is not None:
        from adaption.precision.proposal import Proposal

        chosen = plan if isinstance(plan, Proposal) else Proposal.load(plan)
        backward = chosen.backward_weights
        for point, fmt in chosen.stated.items():
            layer = _escaped(point.layer)
            editor.apply(_Request(layer, point.kind, fmt, is_whole=True))
            if point.kind == "weight" and backward:
                editor.apply(_Request(layer, "backward_weights", backward))
    for text in requests:
        editor.apply(_parse(text, excluded))
    new = document.text()
    name = net.file or "net.prototxt"
    old_lines, new_lines = (t.splitlines(keepends=True) for t in (net.text(), new))
    diff = "".join(unified_diff(old_lines, new_lines, name, name))
    return Edited(from_document(prototxt.parse(new, net.file)), tuple(editor.changes), diff)


def _parse(text: str, excluded: bool) -> _Request:
    found = re.fullmatch(r"(.+):(\w+)=(.+)", text)
    if found is not None and found[2] not in CHANGES:
        raise FieldError(f"POINT of {text}", found[2], ", ".join(CHANGES))
    if found is None:
        raise FieldError("change", text, f"LAYER:POINT=VALUE, POINT one of {', '.join(CHANGES)}",
                         EXAMPLE)  # fmt: skip
    pattern, kind, value = found.groups()
    if kind == "rounding":
        from adaption.options.formats import rounding_named

        return _Request(pattern, kind, rounding_named(value))
    if kind == "round_bias":
        if value not in ("true", "false"):
            raise FieldError("round_bias", value, "true, false")
        return _Request(pattern, kind, value)
    if kind == "backward_weights":
        if value.upper() not in ("MASTER", "QUANTIZED"):
            raise FieldError("backward_weights", value, "master, quantized")
        return _Request(pattern, kind, value.upper())
    if value == "float":
        return _Request(pattern, kind, None)
    if old := re.fullmatch(r"(\d+)_(\d+)", value):
        m, f = int(old[1]) + excluded, int(old[2])
        return _Request(pattern, kind, FixedPoint(m + f, f))
    if re.match(r"[A-Zu]", value):
        return _Request(pattern, kind, parse_format(value))
    return _Request(pattern, kind, FixedPoint.q(value))


def _escaped(name: str) -> str:
    """A pattern that fits this name alone."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _is_low(layer: Field) -> bool:
    return (
        text_of(layer.block, "type") in LP_TYPES or layer.block.first("precision_param") is not None
    )


class _Editor:
    """Applies requests to a document and keeps the list of what changed."""

    def __init__(self, document: Document, file: str | None) -> None:
        self.document = document
        self.file = file
        self.changes: list[Change] = []
        self._net: NetFile | None = None  # as it is now, until layers come or go

    @property
    def net(self) -> NetFile:
        """The document as a net; the formats in it may be older."""
        if self._net is None:
            self._net = from_document(prototxt.parse(self.document.text(), self.file))
        return self._net

    @property
    def layers(self) -> list[Field]:
        return self.document.root.all("layer")

    def count_the_sign(self) -> None:
        for item in self.layers:
            for param in item.block.all("lpfp_param"):
                bd = param.block.first("bd")
                if bd is not None and bd.string.isdecimal():
                    name, old = text_of(item.block, "name"), bd.string
                    bd.set(str(int(old) + 1))
                    self.changes.append(Change(name, "bd", old, bd.string))

    def mend_roi_scale(self) -> None:
        wrong: dict[str, tuple[float, float]] = {}
        for spec in file_specs(self.net):
            wrong |= wrong_roi_scales(spec)
        for item in self.layers:
            name = text_of(item.block, "name")
            if name not in wrong:
                continue
            for param in item.block.all("roi_pooling_param"):
                for field in param.block.all("spatial_scale"):
                    old, new = field.string, f"{wrong[name][1]:g}"
                    field.set(new)
                    self.changes.append(Change(name, "spatial_scale", old, new))

    def apply(self, request: _Request) -> None:
        chosen = list(self._chosen(request))
        if not chosen:
            names = [text_of(item.block, "name") for item in self._takers(request.kind)]
            near = [f'"{name}"' for name in nearest_names(request.pattern, tuple(names))]
            raise LayerError(
                f'no layer for "{request.pattern}:{request.kind}"'
                + (f", did you mean {' or '.join(near)}?" if near else ""),
                "no layer is low precision yet: first set a format, as in conv1:weight=Q2.14"
                if request.kind == "rounding" and not names
                else "name a weight layer, or for activation and rounding an LPAct:"
                f" {listed(names)}{ADDS_POINTS if request.kind == 'activation' else ''}",
            ).at(file=self.file)
        for item in chosen:
            try:
                self._set(item, request)
            except AdaptionError as error:
                raise error.at(
                    file=self.file, layer=text_of(item.block, "name"),
                    layer_type=text_of(item.block, "type"),
                ) from None  # fmt: skip

    def _takers(self, kind: str) -> Iterator[Field]:
        """The layers that a request about this kind of point can name."""
        for item in self.layers:
            layer_type = text_of(item.block, "type")
            if kind == "rounding":
                takes = _is_low(item)
            else:
                takes = traits_of_type(layer_type).is_weight_layer()
            if takes or (kind == "activation" and layer_type == LP_ACT):
                yield item

    def _chosen(self, request: _Request) -> Iterator[Field]:
        """The layers that a request is about: for an activation, its LPAct where there is one."""
        acts = []
        for item in self.layers:
            name, kind = text_of(item.block, "name"), text_of(item.block, "type")
            is_low = _is_low(item)
            if not (is_low if request.pattern == "all" else matches(name, [request.pattern])):
                continue
            if request.kind == "rounding":
                if is_low:
                    yield item
            elif kind == LP_ACT:
                if request.kind == "activation":
                    acts.append(name)
            elif traits_of_type(kind).is_weight_layer():
                if request.kind != "activation":
                    yield item
                elif (act := _act_behind(self.net, name)) is not None:
                    acts.append(act)
                elif request.pattern != "all" and request.value is not None:
                    yield from self._insert(name, request)
        for name in dict.fromkeys(acts):
            yield from (item for item in self.layers if text_of(item.block, "name") == name)

    def _insert(self, name: str, request: _Request) -> Iterator[Field]:
        """Put LPAct layers behind a weight layer; nothing is left to be set then."""
        places = {s.weight.name: s.result.name for s in file_sites(self.net) if s.result}
        place = places.get(name, name)
        act = unused_name(f"{name}_lpact", {text_of(x.block, "name") for x in self.layers})
        assert request.value is not None and not isinstance(request.value, str)
        for item in self.layers:
            if text_of(item.block, "name") == place:
                self.document.root.insert_after(
                    item, lp_act(act, text_of(item.block, "top"), request.value, item.block)
                )
        self._net = None
        self.changes.append(Change(act, "activation", "float", str(request.value)))
        yield from (item for item in self.layers if text_of(item.block, "name") == act)

    def _set(self, item: Field, request: _Request) -> None:
        block, kind = item.block, request.kind
        found = formats_of(block)
        if kind in OTHER_KINDS or kind == "backward_weights":
            self._set_other(block, found, request)
            return
        formats: dict[str, Format | None] = {name: found.of(name) for name in FORWARD}
        new = _updated(formats, request)
        for name, fmt in new.items():
            if fmt != formats[name]:
                self._note(block, name, _shown(formats[name]), _shown(fmt))
        if kind == "activation" and request.value is None and text_of(block, "type") == LP_ACT:
            take_out_rounding(self.document.root, item)
            self._net = None
        elif new["weight"] is None and formats["weight"] is not None:
            make_float(block, FORWARD)
            set_formats(block, bias=new["bias"], activation=new["activation"])
        elif new != formats:
            set_formats(block, **new)

    def _set_other(self, block: Block, found: LayerFormats, request: _Request) -> None:
        """Set a point that lpfp_param does not know, or which weights the backward pass takes."""
        kind, value = request.kind, request.value
        if isinstance(value, str):
            if value != found.backward_weights:
                self._note(block, kind, found.backward_weights.lower(), value.lower())
                set_points(block, {}, backward_weights=value)
        elif value != found.of(kind):
            self._note(block, kind, _shown(found.of(kind)), _shown(value))
            set_points(block, {kind: value})

    def _note(self, block: Block, kind: str, old: str, new: str) -> None:
        self.changes.append(Change(text_of(block, "name"), kind, old, new))


def _act_behind(net: NetFile, name: str) -> str | None:
    """The first LPAct that follows a weight layer alone, in any phase."""
    for spec in file_specs(net):
        wiring = Wiring(spec)
        for i, item in enumerate(spec.layers):
            if item.name == name:
                behind = [spec.layers[j] for j in wiring.following(i, shapes_result)]
                acts = [x.name for x in behind if x.type == LP_ACT]
                if acts:
                    return acts[0]
    return None


def _updated(formats: Mapping[str, Format | None], request: _Request) -> dict[str, Format | None]:
    new = dict(formats)
    value = request.value
    if request.kind == "rounding":
        for name, fmt in formats.items():
            if isinstance(fmt, FixedPoint | DynamicFixed):
                new[name] = replace(fmt, rounding=str(value))
    elif request.kind == "round_bias":
        if value == "true" and formats["weight"] is None:
            raise FieldError("round_bias", "true", "a layer whose weights have a format", EXAMPLE)
        new["bias"] = formats["weight"] if value == "true" else None
    else:
        old = formats[request.kind]
        if isinstance(value, FixedPoint):
            # Rounding, range and mask stay; a bias shares what its weights have.
            like = old or formats["weight"] or formats["activation"]
            if isinstance(like, FixedPoint) and value.is_binary and not request.is_whole:
                value = replace(
                    value,
                    rounding=like.rounding,
                    range=like.range,
                    mask_saturated=like.mask_saturated,
                )
        assert not isinstance(value, str)
        new[request.kind] = value
        if request.kind == "weight" and formats["bias"] is not None and old == formats["bias"]:
            new["bias"] = new["weight"]  # as ADaPTION's round_bias: true has it
    return new


def _shown(fmt: Format | None) -> str:
    if fmt is None:
        return "float"
    rounding = getattr(fmt, "rounding", None)
    is_usual = rounding == getattr(parse_format(str(fmt)), "rounding", None)
    return str(fmt) if is_usual else f"{fmt} {rounding}"
