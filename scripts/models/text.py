"""Prototxts as people write them: one field or message to a line, small messages on one."""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format

from adaption.proto.caffe_pb2 import LayerParameter, NetParameter

__all__ = ["net_text"]

WIDTH = 96


def net_text(net: NetParameter) -> str:
    return f'name: "{net.name}"\n' + "".join(map(_layer, net.layer))


def _layer(layer: LayerParameter) -> str:
    names = f'  name: "{layer.name}"  type: "{layer.type}"'
    blobs = "".join(f'  bottom: "{b}"' for b in layer.bottom)
    blobs += "".join(f'  top: "{t}"' for t in layer.top)
    text = "layer {\n" + _joined([names, blobs]) + "\n"
    params = "  ".join(f"param {{ {_one_line(p)} }}" for p in layer.param)
    text += f"  {params}\n" if params else ""
    for field, value in layer.ListFields():
        if field.name in ("name", "type", "bottom", "top", "param"):
            continue
        for item in value if _is_many(value) else [value]:
            text += _field(field.name, item, "  ")
    return text + "}\n"


def _joined(parts: list[str]) -> str:
    """Parts on one line where they fit."""
    return "".join(parts) if sum(map(len, parts)) <= WIDTH else "\n".join(parts)


def _field(name: str, value: Any, indent: str) -> str:
    if not hasattr(value, "ListFields"):
        return f"{indent}{name}: {value}\n"
    line = f"{indent}{name} {{ {_one_line(value)} }}"
    if len(line) <= WIDTH:
        return line + "\n"
    copy = type(value)()
    copy.CopyFrom(value)
    nested = [f for f, _ in value.ListFields() if f.message_type is not None]
    for field in nested:
        copy.ClearField(field.name)
    text = f"{indent}{name} {{\n{indent}  {_one_line(copy)}\n" if copy.ListFields() else (
        f"{indent}{name} {{\n"
    )  # fmt: skip
    for field in nested:
        inner = getattr(value, field.name)
        for item in inner if _is_many(inner) else [inner]:
            text += _field(field.name, item, indent + "  ")
    return f"{text}{indent}}}\n"


def _is_many(value: Any) -> bool:
    return not isinstance(value, str | bytes) and hasattr(value, "__len__")


def _one_line(message: Any) -> str:
    return str(text_format.MessageToString(message, as_one_line=True, as_utf8=True)).strip()
