"""draw: a net as a picture; layers are boxes, blobs are arrows with their shapes.

Low-precision layers carry a strong border and their Qm.f.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from adaption.errors import AdaptionError, FieldError, UsageError, near_miss
from adaption.graph import LayerSpec, NetSpec, NetState, build_spec, with_inputs
from adaption.io.atomic import atomic_write
from adaption.io.netfile import NetFile, read_net
from adaption.io.outputs import keep_inputs
from adaption.io.upgrade import needs_upgrade, upgrade_net
from adaption.layers.base import build_layer, is_known
from adaption.net.plan import layer_formats
from adaption.proto import caffe_pb2
from adaption.report.drawing import RANKDIRS, Arrow, Box, Drawing
from adaption.report.layer_text import details, kind_of_layer

if TYPE_CHECKING:
    from adaption.net import Net

__all__ = ["PICTURES", "TEXTS", "draw", "drawing_of", "picture"]

Drawable: TypeAlias = "str | os.PathLike[str] | NetFile | NetSpec | Net | caffe_pb2.NetParameter"
Shape = tuple[int, ...]

TEXTS = {"dot": "dot", "gv": "dot", "mmd": "mermaid", "mermaid": "mermaid"}
PICTURES = ("svg", "png", "pdf")


def draw(
    net: Drawable,
    out: str | os.PathLike[str],
    *,
    phase: str | None = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    inputs: Mapping[str, Shape] | None = None,
    rankdir: str = "LR",
) -> Drawing:
    """Draw a net into a file.

    Args:
        net: a prototxt path, NetFile, NetSpec, NetParameter, or a built Net.
        out: file to write. Its suffix decides: .svg, .png and .pdf are drawn by graphviz' program
            `dot`; .dot (.gv) and .mmd (.mermaid) are text and need nothing.
        phase, level, stages: the net state whose layers are drawn; phase None draws the layers of
            all states. A NetSpec or a Net has its state already.
        inputs: shapes of blobs that data layers make, where their data is not at hand.
        rankdir: direction of the data: LR, TB, RL or BT.
    Returns: what was drawn; `to_dict` gives plain values.
    Raises: UsageError on another suffix, or when a picture is asked for without graphviz;
        FileFormatError, ParseError, LayerError when the net is bad. Unknown layers are no error.
    """
    kind = Path(out).suffix.removeprefix(".").lower()
    if kind not in TEXTS and kind not in PICTURES:
        suffixes = [f".{name}" for name in (*PICTURES, *TEXTS)]
        raise UsageError(
            f"the file to draw is {os.fspath(out)!r}, allowed suffixes: {', '.join(suffixes)}",
            near_miss(Path(out).suffix, suffixes),
        )
    if isinstance(net, str | os.PathLike):
        keep_inputs([out], [net])
    drawing = drawing_of(
        net, phase=phase, level=level, stages=stages, inputs=inputs, rankdir=rankdir
    )
    data = picture(drawing, kind, os.fspath(out))
    with atomic_write(out) as file:
        file.write(data)
    return drawing


def picture(drawing: Drawing, kind: str, out: str = "net.svg") -> bytes:
    """The bytes of a drawing: `kind` is one of PICTURES, or of TEXTS.

    Raises: UsageError when graphviz is needed and not there, or fails.
    """
    if kind in TEXTS:
        return (drawing.dot() if TEXTS[kind] == "dot" else drawing.mermaid()).encode()
    import shutil
    import subprocess

    program = shutil.which("dot")
    if program is None:
        stem = os.path.splitext(out)[0]  # noqa: PTH122  (a Path would drop a leading ./)
        raise UsageError(
            f"drawing .{kind} needs graphviz, whose program `dot` is not on the PATH",
            f"install graphviz (the package has that name in most systems), or write {stem}.dot"
            f" or {stem}.mmd instead",
        )
    done = subprocess.run(
        [program, f"-T{kind}"], input=drawing.dot().encode(), capture_output=True, check=False
    )
    if done.returncode or not done.stdout:
        reason = done.stderr.decode("utf-8", "replace").strip() or "no reason given"
        raise UsageError(
            f"graphviz ({program}) failed to draw .{kind}: {reason}", "write a .dot or .mmd instead"
        )
    return done.stdout


def drawing_of(
    net: Drawable,
    *,
    phase: str | None = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    inputs: Mapping[str, Shape] | None = None,
    rankdir: str = "LR",
    label_edges: bool = True,
) -> Drawing:
    """The boxes and arrows of a net; arguments as `draw`."""
    if rankdir not in RANKDIRS:
        raise FieldError("rankdir", rankdir, ", ".join(RANKDIRS))
    whole = _spec(net, phase, NetState(phase or "TEST", level, tuple(stages)))
    layers = (with_inputs(whole, inputs) if inputs else whole).layers
    drawing = Drawing(whole.name, rankdir=rankdir)
    shapes = _top_shapes(layers)
    sources: dict[str, list[tuple[int, Shape | None]]] = {}  # boxes a blob comes from
    unread: dict[str, None] = {}
    for spec, tops in zip(layers, shapes, strict=True):
        here = len(drawing.boxes)
        drawing.boxes.append(_box(spec))
        for bottom in spec.bottoms:
            if bottom not in sources:  # only in nets that are drawn in all states at once
                sources[bottom] = [(len(drawing.boxes), None)]
                drawing.boxes.append(Box((bottom,), "blob"))
            for tail, shape in sources[bottom]:
                label = _label(drawing.boxes[tail], bottom, shape) if label_edges else ""
                drawing.arrows.append(Arrow(tail, here, label))
            unread.pop(bottom, None)
        for i, top in enumerate(spec.tops):
            origin = (here, None if tops is None else tops[i])
            # Two layers of one top belong to different states, unless one is in-place.
            before = [] if top in spec.bottoms or phase is not None else sources.get(top, [])
            sources[top] = [*before, origin]
            unread[top] = None
    for top in unread:
        for tail, shape in sources[top]:
            label = _label(drawing.boxes[tail], top, shape) if label_edges else ""
            drawing.arrows.append(Arrow(tail, len(drawing.boxes), label))
        drawing.boxes.append(Box((top,), "blob"))
    return drawing


def _spec(net: Drawable, phase: str | None, state: NetState) -> NetSpec:
    if isinstance(net, NetSpec):
        return net
    lines: Sequence[int | None] = ()
    file = None
    if isinstance(net, caffe_pb2.NetParameter):
        message = _upgraded(net)
    elif isinstance(net, str | os.PathLike | NetFile):
        opened = net if isinstance(net, NetFile) else read_net(net)
        message, lines, file = opened.message, opened.lines, opened.file
    else:
        return net.spec
    if phase is not None:
        return build_spec(message, state, file=file, lines=lines)
    unfiltered = (
        LayerSpec(x.name, x.type, tuple(x.bottom), tuple(x.top), x) for x in message.layer
    )
    return NetSpec(message.name, tuple(unfiltered), file=file)


def _upgraded(message: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    if not needs_upgrade(message):
        return message
    message_copy = caffe_pb2.NetParameter()
    message_copy.CopyFrom(message)
    upgrade_net(message_copy)
    return message_copy


def _top_shapes(layers: Sequence[LayerSpec]) -> list[list[Shape] | None]:
    """Shapes of each layer's tops; None where an unknown layer or a missing file hides them."""
    blobs: dict[str, Shape] = {}
    shapes: list[list[Shape] | None] = []
    for spec in layers:
        tops: list[Shape] | None = None
        if is_known(spec.type) and all(b in blobs for b in spec.bottoms):
            try:
                tops = build_layer(spec).top_shapes(*(blobs[b] for b in spec.bottoms))
            except (AdaptionError, IndexError):  # the net does not fit together: say so elsewhere
                tops = None
        if tops is not None and len(tops) != len(spec.tops):
            tops = None
        for i, top in enumerate(spec.tops):
            blobs.pop(top, None)
            if tops is not None:
                blobs[top] = tuple(tops[i])
        shapes.append(tops)
    return shapes


def _box(spec: LayerSpec) -> Box:
    lines = [spec.name, spec.type, *details(spec)]
    formats = []
    try:
        points = layer_formats(spec)
        for point in ("weight", "bias", "activation"):
            fmt = getattr(points, point)
            if fmt is not None:
                mode = (
                    f" {fmt.rounding}"
                    if getattr(fmt, "rounding", "half_away") != "half_away"
                    else ""
                )
                formats.append(f"{point} {fmt}{mode}")
    except AdaptionError as error:
        formats.append(error.fact)
    return Box((*lines, *formats), kind_of_layer(spec.type), bool(formats))


def _label(tail: Box, blob: str, shape: Shape | None) -> str:
    """The blob's name, where it is not the layer's, and its shape."""
    text = [] if blob == tail.lines[0] else [blob]
    if shape is not None:
        text.append("x".join(str(d) for d in shape) or "scalar")
    return "\n".join(text)
