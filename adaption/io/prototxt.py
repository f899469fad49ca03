"""Read, edit and print prototxt files without losing anything of them.

    document = read("net.prototxt")
    for layer in document.root.all("layer"):
        print(layer.line, layer.block.first("name").string)
    net, notices = document.message(caffe_pb2.NetParameter)

Nothing in a file is executed. Tree: prototxt_tree.py, grammar: prototxt_tokens.py and
prototxt_syntax.py, edits: prototxt_edit.py, typed messages: prototxt_typed.py and
prototxt_values.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from google.protobuf import text_format

from adaption.io.kinds import kind_of, wrong_kind
from adaption.io.prototxt_edit import EDITOR
from adaption.io.prototxt_syntax import parse_block
from adaption.io.prototxt_tokens import quote
from adaption.io.prototxt_tree import Block, Field, Scalar
from adaption.io.prototxt_typed import OPEN_ENUMS, Notice, fill

if TYPE_CHECKING:
    from adaption.proto.caffe_pb2 import Message

__all__ = [
    "Block",
    "Document",
    "Field",
    "Notice",
    "Scalar",
    "debug_string",
    "format_message",
    "parse",
    "quote",
    "read",
]

M = TypeVar("M", bound="Message")


class Document:
    """A parsed prototxt.

    Attributes:
        root: its fields.
        file: path it was read from, None when parsed from a string.
    """

    def __init__(self, root: Block, file: str | os.PathLike[str] | None = None) -> None:
        self.root = root
        self.file = file

    def text(self) -> str:
        """The text; the very one that was parsed when nothing was edited. Bytes that are not
        UTF-8 are surrogate escapes in it: write it with `data()`."""
        return self.root.text()

    def data(self) -> bytes:
        """The bytes of the file."""
        return self.text().encode("utf-8", "surrogateescape")

    def message(
        self,
        message_class: type[M],
        *,
        strict: bool = False,
        open_enums: Collection[str] = OPEN_ENUMS,
    ) -> tuple[M, list[Notice]]:
        """The file as a typed message.

        Args:
            message_class: such as NetParameter or SolverParameter.
            strict: make an unknown name an error.
            open_enums: full names of enum fields in which an unknown name is a Notice and leaves
                the field unset, by default the layer types of V1 nets.
        Returns: the message, and a Notice for every unknown name. The items of a repeated field
            `x` stand in the order of `root.all("x")`.
        Raises: ParseError when a value does not fit its field.
        """
        message = message_class()
        return message, fill(message, self.root, strict=strict, open_enums=open_enums)


def parse(text: str, file: str | os.PathLike[str] | None = None) -> Document:
    """A Document from text.

    Args:
        text: any prototxt; the empty text is an empty document.
        file: its path, for error messages.
    Raises: ParseError with file, line, column, what was found and what was expected.
    """
    return Document(parse_block(text, EDITOR, file), file)


def read(path: str | os.PathLike[str]) -> Document:
    """A Document from a file.

    Raises:
        FileFormatError: it is missing, empty, or no prototxt (HTML page, git-lfs pointer,
            caffemodel, ...).
        ParseError: it does not parse.
    """
    kind = kind_of(path)
    if kind != "text":
        raise wrong_kind(path, kind, "a prototxt", _FIXES.get(kind, "give a text file"))
    return parse(Path(path).read_bytes().decode("utf-8", "surrogateescape"), path)


_FIXES = {
    "binary protobuf": "give the .prototxt here and this file where weights are asked for",
    "hdf5": "give the .prototxt here and this file where weights are asked for",
}


def format_message(message: Message) -> str:
    """A message as pycaffe prints it: two spaces, `name { }`, fields in the order of their numbers,
    floats with the fewest digits that read back to the same float32."""
    text: str = text_format.MessageToString(message, as_utf8=True)
    return text


def debug_string(message: Message) -> str:
    """A message as Caffe logs it: `format_message`, but whole floats without a point."""
    return _FLOAT.sub(_as_cpp, format_message(message))


# Strings are quoted and names are words, so this finds the floats of a printed message.
_FLOAT = re.compile(r"(?<=: )-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$", re.MULTILINE)


def _as_cpp(found: re.Match[str]) -> str:
    """`1` for Python's `1.0`, `1e+08` for `100000000.0`; integers stay."""
    if not set(found[0]) & set(".e"):
        return found[0]
    value = float(found[0])
    short = f"{value:.6g}"
    return short if float(short) == value else found[0]
