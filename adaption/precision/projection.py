"""Put a 1 x 1 convolution before a sum, written like the branch that it is added to."""

from __future__ import annotations

from collections.abc import Sequence

from adaption.io import prototxt
from adaption.io.prototxt import Block, Field
from adaption.layers.base import traits_of_type
from adaption.precision.format_text import text_of
from adaption.precision.splice import unused_name

__all__ = ["insert_projection"]

GEOMETRY = (
    *("pad", "pad_h", "pad_w", "pad_l", "pad_r", "pad_t", "pad_b", "stride", "stride_h"),
    *("stride_w", "dilation", "hole", "hole_h", "hole_w", "kernel_size", "kernel_h", "kernel_w"),
    "group",
)


def insert_projection(
    root: Block, layer: Field, bottom: int, branch: Sequence[tuple[Field, str]], num_output: int
) -> str:
    """Let bottom number `bottom` of a sum pass a 1 x 1 convolution first.

    Args:
        branch: the layers that make what it is added to, with their types: a weight layer, whose
            fillers, parameters and formats the convolution gets, then batch norm, scale and the
            like, which are repeated behind it. Other layers there are left out.
    Returns: the name of the convolution.
    """
    taken = {text_of(f.block, "name") for f in (*root.all("layer"), *root.all("layers"))}
    name = unused_name(f"{text_of(layer.block, 'name')}_project", taken)
    place = layer.block.all("bottom")[bottom]
    (conv, kind), *behind = branch
    texts = [_projection(conv, kind, name, place.string, num_output)]
    names: dict[str, str] = {}
    for field, type_ in behind:
        if traits_of_type(type_).kind not in ("channel affine", "rounding"):
            break
        like = text_of(field.block, "name")  # the same layer for another net state: the same name
        own = names.setdefault(like, "") or unused_name(f"{name}_{_suffix(type_)}", taken)
        names[like] = own
        texts.append(_copy(field, own, name, name))
    for text in texts:
        root.insert_before(layer, text)
    place.set(prototxt.quote(name))
    return name


def _suffix(type_: str) -> str:
    """The end of a name: the short one of batch norm, else the type's own."""
    return "bn" if traits_of_type(type_).writes_blobs else type_.lower()


def _projection(like: Field, kind: str, name: str, bottom: str, num_output: int) -> str:
    """The text of a 1 x 1 convolution, or of an inner product where the branch has one."""
    text = _copy(like, name, bottom, name)
    root = prototxt.parse(text).root
    block = root.fields[0].block
    params = [f for f in block.fields if f.name.endswith(("convolution_param", "product_param"))]
    for param in params:
        for field in param.block.fields:
            if field.name in GEOMETRY:
                field.remove()
            elif field.name == "num_output":
                field.set(str(num_output))
        if param.name.endswith("convolution_param"):
            param.block.append("kernel_size: 1")
    if traits_of_type(kind).moves_places() == "spread":
        written = block.first("type")
        assert written is not None
        written.set("CONVOLUTION" if root.fields[0].name == "layers" else '"Convolution"')
    return root.text()


def _copy(like: Field, name: str, bottom: str, top: str) -> str:
    """The text of a layer under another name, between other blobs, sharing no parameters."""
    root = prototxt.parse(like.text).root
    block = root.fields[0].block
    for key, value in (("name", name), ("bottom", bottom), ("top", top)):
        first, *rest = block.all(key)
        first.set(prototxt.quote(value))
        for field in rest:
            field.remove()
    for field in block.all("param"):
        if not hasattr(field.value, "fields"):
            field.remove()  # V1: param: "name"
            continue
        for shared in field.block.all("name"):
            shared.remove()
    return root.text()
