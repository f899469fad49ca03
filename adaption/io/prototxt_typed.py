"""From the tree to a typed message, with Caffe's (protobuf C++ TextFormat::Parse) idea of a value.

Laxer than Caffe in one place: a field or layer type nobody knows is a Notice, not an error, because
the file can still be shown, edited and converted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from adaption.errors import ParseError
from adaption.io.prototxt_tree import Block, Field, FieldList, Scalar, as_text
from adaption.io.prototxt_values import Misfit, converter
from adaption.nearest import nearest_name

if TYPE_CHECKING:
    from adaption.proto.caffe_pb2 import Message

__all__ = ["OPEN_ENUMS", "Notice", "fill"]

M = TypeVar("M", bound="Message")

OPEN_ENUMS = frozenset({"caffe.V1LayerParameter.type"})
"""Enum fields whose unknown names are Notices: forks named their own V1 layer types there."""

_LAYERS = ("layer", "layers")


@dataclass(frozen=True)
class Notice:
    """Something in a prototxt that the typed message cannot hold; it stays in the tree.

    Attributes:
        line, column: where, from 1.
        path: which field, as in `layer "conv1".convolution_param.foo`.
        name: the name nobody knows: of a field, or of an enum value.
        nearest: the known name most like it, if one is.
        is_value: whether an enum value is unknown rather than the field.
        file: path of the file.
        layer: the `layer` or `layers` block around it; None outside of layers.
        is_setting: whether it stands inside a message that is known: one of a layer's parameter
            messages, or the solver itself. Such a field may change what is computed.
    """

    line: int
    column: int
    path: str
    name: str
    nearest: str | None = None
    is_value: bool = False
    file: str | os.PathLike[str] | None = field(default=None, compare=False)
    layer: Field | None = field(default=None, compare=False, repr=False)
    is_setting: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        where = "" if self.file is None else f"{os.fspath(self.file)}:"
        what = f"unknown value {self.name} of" if self.is_value else "unknown field"
        hint = f", did you mean {self.nearest}?" if self.nearest else ""
        return f"{where}{self.line}:{self.column}: {what} {self.path}{hint}"


def fill(
    message: M, root: Block, *, strict: bool = False, open_enums: Collection[str] = OPEN_ENUMS
) -> list[Notice]:
    """Set the fields of an empty message from a tree.

    Args:
        message: filled in place.
        root: all its fields.
        strict: make every Notice a ParseError.
        open_enums: full names of enum fields whose unknown names are Notices; such a field is
            left unset.
    Returns: one Notice per unknown name and block, in the order of the file.
    Raises: ParseError at the first value that does not fit its field.
    """
    filler = _Filler(strict, open_enums)
    filler.block(message, root, message.DESCRIPTOR)
    missing = message.FindInitializationErrors()
    if missing:
        raise root.source.error(root.offset, f"required fields are not set: {', '.join(missing)}")
    return filler.notices


@dataclass(frozen=True, slots=True)
class _Known:
    """What a field of a message takes."""

    name: str
    full_name: str
    repeated: bool
    message: Any  # Descriptor of the message type; None for a scalar
    convert: Callable[[Scalar], object]
    names: dict[str, int] | None  # of its enum


class _Filler:
    def __init__(self, strict: bool, open_enums: Collection[str]) -> None:
        self.strict = strict
        self.open_enums = open_enums
        self.notices: list[Notice] = []
        self.path: list[Field] = []  # the fields around the current block

    def block(self, message: Message, block: Block, descriptor: Descriptor) -> None:
        known_fields = _known_fields(descriptor)
        seen: dict[str, Field] = {}
        for entry in block.entries:
            known = known_fields.get(entry.name)
            for item in entry.fields():
                if known is not None and known.repeated:
                    self.field(message, item, known)
                elif entry.name not in seen:
                    seen[entry.name] = item
                    if known is not None:
                        self.field(message, item, known)
                    else:
                        self.notice(item, item.name, tuple(known_fields))
                elif known is not None:
                    first = seen[entry.name].line
                    fact = f"{self.inner_path(item)} is specified multiple times"
                    raise self.error(item, f"{fact}, first at line {first}", "keep one of them")

    def field(self, message: Message, item: Field, known: _Known) -> None:
        value = item.value
        if known.message is not None:
            if isinstance(value, Scalar):
                raise self.misfit(item, Misfit("a block", f"write {item.name} {{ ... }}"))
            slot = getattr(message, known.name)
            if known.repeated:
                slot = slot.add()
            else:
                slot.SetInParent()
            self.path.append(item)
            self.block(slot, value, known.message)
            self.path.pop()
            return
        if isinstance(value, Block):
            raise self.misfit(item, Misfit("a single value", f"write {item.name}: VALUE"))
        try:
            found = known.convert(value)
        except Misfit as misfit:
            is_name = value.kind == "word" or value.text.isdecimal()
            if not is_name or known.full_name not in self.open_enums:
                raise self.misfit(item, misfit) from None
            self.notice(item, value.text, tuple(known.names or ()), is_value=True)
            return
        if known.repeated:
            getattr(message, known.name).append(found)
        else:
            setattr(message, known.name, found)

    def notice(
        self, item: Field, name: str, names: tuple[str, ...], *, is_value: bool = False
    ) -> None:
        nearest = nearest_name(name, names)
        if self.strict:
            what = f"unknown value {name} of" if is_value else "unknown field"
            fix = f"did you mean {nearest}?" if nearest else ""
            raise self.error(item, f"{what} {self.inner_path(item)}", fix)
        line, column = item.source.position(item.offset)
        path = ".".join([*map(_titled, self.path), item.name])
        depth = next((i for i, f in enumerate(self.path) if f.name in _LAYERS), None)
        layer = None if depth is None else self.path[depth]
        # In a layer's own block an unknown name may be the message of a type nobody knows.
        is_setting = not is_value and (depth is None or len(self.path) > depth + 1)
        file = item.source.file
        self.notices.append(
            Notice(line, column, path, name, nearest, is_value, file, layer, is_setting)
        )

    def misfit(self, item: Field, misfit: Misfit) -> ParseError:
        value = item.value
        found = as_text(value.text) if isinstance(value, Scalar) else "a block"
        fact = f"{self.inner_path(item)} is {found}, allowed: {misfit.allowed}"
        fix = "put a value in place of the placeholder" if found[0] == "$" else misfit.fix
        return self.error(value, fact, fix)

    def layer_depth(self) -> int:
        """How many of the fields around lead to the layer and into it; 0 outside of layers."""
        for depth, each in enumerate(self.path, 1):
            if each.name in _LAYERS and _plain(each, "name") is not None:
                return depth
        return 0

    def inner_path(self, item: Field) -> str:
        """The path inside the layer, whose name the error tells by itself."""
        return ".".join([*(each.name for each in self.path[self.layer_depth() :]), item.name])

    def error(self, spot: Field | Scalar | Block, fact: str, fix: str) -> ParseError:
        error = spot.source.error(spot.offset, fact, fix)
        if depth := self.layer_depth():
            layer = self.path[depth - 1]
            error.at(layer=_plain(layer, "name"), layer_type=_plain(layer, "type"))
        return error


def _plain(outer: Field, name: str) -> str | None:
    """The first value of that name in a block, safe for a message."""
    item = outer.block.first(name)
    if item is None or not isinstance(item.value, Scalar):
        return None
    return as_text(item.value.string)


def _titled(outer: Field) -> str:
    """`layer "conv1"`; without a name inside `layer[2]`, its index from 0 among its likes."""
    if (name := _plain(outer, "name")) is not None:
        return f'{outer.name} "{name}"'
    above = outer.parent.parent if isinstance(outer.parent, FieldList) else outer.parent
    likes = above.all(outer.name) if isinstance(above, Block) else []
    if len(likes) < 2:
        return outer.name
    return f"{outer.name}[{next(i for i, each in enumerate(likes) if each is outer)}]"


@cache
def _known_fields(descriptor: Descriptor) -> dict[str, _Known]:
    known = {}
    for each in descriptor.fields:
        is_message = each.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE
        # A group is written under the name of its type.
        group = each.type == FieldDescriptor.TYPE_GROUP
        repeated = each.is_repeated if hasattr(each, "is_repeated") else each.label == 3
        names = None
        if each.enum_type is not None:
            names = {value.name: value.number for value in each.enum_type.values}
        known[each.message_type.name if group else each.name] = _Known(
            each.name,
            each.full_name,
            repeated,
            each.message_type if is_message else None,
            _no_scalar if is_message else converter(each, names),
            names,
        )
    return known


def _no_scalar(value: Scalar) -> object:
    raise Misfit("a block")
