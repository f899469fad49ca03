"""A net as its file gives it: the lossless text, and the typed message in today's form."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from adaption.errors import FileFormatError
from adaption.io import prototxt
from adaption.io.atomic import atomic_write
from adaption.io.legacy_types import V1_TYPES, v1_type_name
from adaption.io.prototxt import Block, Document, Field, Notice, Scalar
from adaption.io.upgrade import needs_upgrade, upgrade_net
from adaption.proto import caffe_pb2

__all__ = ["NetFile", "read_net", "write_net"]


@dataclass
class NetFile:
    """A net prototxt.

    `document` is the text as it stands in the file; `message` its NetParameter with legacy forms
    upgraded (V0, V1, `input` fields), so that only `layer` is filled. Unknown fields stay in the
    document and are listed in `notices`.
    """

    document: Document
    message: caffe_pb2.NetParameter = field(repr=False)
    notices: list[Notice] = field(default_factory=list)
    upgrades: list[str] = field(default_factory=list)  # what was upgraded, in words
    lines: list[int | None] = field(default_factory=list)  # of each message.layer, where known
    unknown: list[tuple[Notice, ...]] = field(default_factory=list)  # of each message.layer

    @property
    def file(self) -> str | None:
        return None if self.document.file is None else os.fspath(self.document.file)

    def text(self) -> str:
        """The file's text; an unchanged file gives the bytes that were read."""
        return self.document.text()


def read_net(path: str | os.PathLike[str]) -> NetFile:
    """Read a net prototxt of any age (V0, V1, V2).

    Raises:
        FileFormatError: when the file is missing or no prototxt.
        ParseError: with line and column, on a syntax error.
        FieldError: names the field, on a value that is not allowed.
    """
    return from_document(prototxt.read(path))


def from_document(document: Document) -> NetFile:
    """The net in a parsed prototxt; see `read_net`."""
    message, notices = document.message(caffe_pb2.NetParameter)
    # As in Caffe, `layer` beside the legacy `layers` does not count.
    fields = document.root.all("layers") or document.root.all("layer")
    types = [_foreign_type(f) for f in document.root.all("layers")]
    upgrades = upgrade_net(message, types) if needs_upgrade(message) else []
    if not message.layer:
        kind = "a solver" if document.root.first("base_lr") else "no net"
        raise FileFormatError(
            f"holds no layers, it is {kind}",
            "give a net definition: a prototxt with layer { ... } blocks",
        ).at(file=document.file)
    kept = [f for f in fields if not _is_padding(f)]
    by_layer: dict[int, list[Notice]] = {}
    for notice in notices:
        by_layer.setdefault(id(notice.layer), []).append(notice)
    lines: list[int | None] = [f.line for f in kept]
    unknown = [tuple(by_layer.get(id(f), ())) for f in kept]
    made = len(message.layer) - len(lines)  # the Input layer of an upgrade
    lines[:0] = [None] * made
    unknown[:0] = [()] * made
    return NetFile(document, message, notices, upgrades, lines, unknown)


def _foreign_type(field: Field) -> str:
    """The type of a V1 layer that is no value of V1's enum, by name or number; "" for others."""
    kind = field.value.first("type") if isinstance(field.value, Block) else None
    if kind is None or not isinstance(kind.value, Scalar):
        return ""
    text = kind.value.text
    if text.isdecimal():
        return "" if int(text) in V1_TYPES else v1_type_name(int(text))
    known = caffe_pb2.V1LayerParameter.DESCRIPTOR.fields_by_name["type"].enum_type
    return "" if text in known.values_by_name else text


def _is_padding(field: Field) -> bool:
    """True for a padding layer of V0, which an upgrade folds into the layer behind."""
    inner = field.value.first("layer") if isinstance(field.value, Block) else None
    kind = inner.value.first("type") if inner and isinstance(inner.value, Block) else None
    return kind is not None and kind.string == "padding"


def write_net(
    net: NetFile | Document | caffe_pb2.NetParameter, path: str | os.PathLike[str]
) -> None:
    """Write a net prototxt: a NetFile or Document as its text stands, a message as Caffe prints it.

    The file appears whole or not at all.
    """
    if isinstance(net, NetFile):
        net = net.document
    data = net.data() if isinstance(net, Document) else prototxt.format_message(net).encode("utf-8")
    with atomic_write(path, "wb") as out:
        out.write(data)
