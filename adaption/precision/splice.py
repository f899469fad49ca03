"""Take layers that hand their bottom on out of a net's text, and join the blobs on both sides.

Where the format of such a layer is an activation function, too (WRPN clips to [0, 1]), a Clip layer
takes its place.
"""

from __future__ import annotations

from adaption.errors import LayerError
from adaption.io import prototxt
from adaption.io.prototxt import Block, Field
from adaption.numerics import Wrpn
from adaption.precision.format_text import become_clip, clip_layer, formats_of, text_of

__all__ = ["keep_clip", "splice_out", "take_out_rounding", "unused_name"]


def unused_name(name: str, taken: set[str]) -> str:
    """`name`, numbered when another layer has it; taken from now on."""
    made, count = name, 1
    while made in taken:
        count += 1
        made = f"{name}{count}"
    taken.add(made)
    return made


def take_out_rounding(root: Block, layer: Field) -> None:
    """Bring an LPAct layer back to float: it goes, but for one whose format clips as an activation
    function does (WRPN), which becomes that clip."""
    fmt = formats_of(layer.block).activation
    if not isinstance(fmt, Wrpn):
        splice_out(root, layer)
        return
    become_clip(layer.block, fmt)


def keep_clip(root: Block, layer: Field, taken: set[str]) -> None:
    """Before the formats of a layer go: put a Clip behind it where its result was clipped.

    Raises: LayerError where its own view of the bottoms was, which no other layer can stand for.
    """
    formats = formats_of(layer.block)
    name = text_of(layer.block, "name")
    if isinstance(formats.bottom, Wrpn):
        raise LayerError(
            f"its bottom format {formats.bottom} clips what it reads, and no plain layer does",
            "put a Clip layer before it, and take the format of the bottom out",
        ).at(layer=name, layer_type=text_of(layer.block, "type"))
    if isinstance(formats.activation, Wrpn):
        for blob in layer.block.all("top"):
            clip = unused_name(f"{name}_clip", taken)
            text = clip_layer(clip, blob.string, formats.activation, layer.block)
            root.insert_after(layer, text)


def splice_out(root: Block, layer: Field) -> None:
    """Remove a layer of one bottom and one top.

    In-place, it just goes. Else what read its top reads its bottom; where nothing reads the top,
    it is an output of the net and keeps its name. Where the layers behind need both blobs (one is
    written in-place, the other read), a Split takes its place.
    """
    bottom, top = text_of(layer.block, "bottom"), text_of(layer.block, "top")
    layers = root.all("layer")
    if bottom != top:
        behind = layers[layers.index(layer) + 1 :]
        # The same layer for another net state stands beside this one, not behind it.
        others = [x for x in behind if not _is_twin(x, layer)]
        uses_bottom = any(bottom in _names(x, "bottom") for x in others)
        overwrites = any({bottom, top} & set(_names(x, "top")) for x in others)
        if uses_bottom and overwrites:
            _make_split(layer.block)
            return
        if any(top in _names(x, "bottom") for x in others):
            _rename(behind, top, bottom)
        else:
            _rename(layers, bottom, top)
    layer.remove()


def _is_twin(one: Field, other: Field) -> bool:
    """The same place in the net of another state: name, type, bottom and top are equal."""
    return all(
        _names(one, name) == _names(other, name) for name in ("name", "type", "bottom", "top")
    )


def _names(layer: Field, kind: str) -> list[str]:
    return [f.string for f in layer.block.all(kind)]


def _rename(layers: list[Field], old: str, new: str) -> None:
    for layer in layers:
        for field in (*layer.block.all("bottom"), *layer.block.all("top")):
            if field.string == old:
                field.set(prototxt.quote(new))


def _make_split(block: Block) -> None:
    kept = ("name", "type", "bottom", "top", "include", "exclude")
    for field in block.fields:
        if field.name not in kept:
            field.remove()
    kind = block.first("type")
    assert kind is not None
    kind.set('"Split"')
