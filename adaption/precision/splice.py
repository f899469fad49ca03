"""Take layers that hand their bottom on out of a net's text, and join the blobs on both sides."""

from __future__ import annotations

from adaption.io import prototxt
from adaption.io.prototxt import Block, Field
from adaption.precision.format_text import text_of

__all__ = ["splice_out"]


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
