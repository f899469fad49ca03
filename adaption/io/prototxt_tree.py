"""The lossless syntax tree of a prototxt: every byte of the text belongs to exactly one node.

A field is `lead` + `label` + `value` + `tail`. In "  # why\\n  pad : 3 ,":

    lead   "  # why\\n  "   spaces, line ends and comments since the token before
    label  "pad : "
    value  "3"
    tail   " ,"            a separator, where there is one

so joining all parts gives the text back. Lines and columns are those of the text that was parsed;
they do not move when the tree is edited. A list `dim: [1, 3]` shows as two fields named `dim`.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Literal, Protocol

from adaption.errors import ParseError, one_line
from adaption.io.prototxt_tokens import unescape
from adaption.io.text import decode

__all__ = ["Block", "Editor", "Entry", "Field", "FieldList", "Scalar", "Source", "as_text"]

ScalarKind = Literal["string", "number", "word"]


class Editor(Protocol):
    """What changes a tree. It parses the text that it inserts: it needs the parser, which needs the
    tree. Implemented by prototxt_edit.TextEditor."""

    def set_value(self, field: Field, text: str) -> None:
        """See Field.set."""

    def remove(self, field: Field) -> None:
        """See Field.remove."""

    def insert(self, block: Block, index: int, text: str, *, after: bool = False) -> None:
        """Insert the fields of `text` before entry `index`; `after` says that the place is meant
        as behind the entry before it."""

    def index_of(self, block: Block, field: Field) -> int:
        """Index of the entry of a block that holds a field. Raises: UsageError."""


class Source:
    """The text a node was parsed from; turns offsets into lines and columns, both from 1.

    Args:
        text: the whole text.
        editor: what changes the tree.
        file: its path, for error messages.
        place: fixed (line, column) of every node, for text inserted into another text.
    """

    def __init__(
        self,
        text: str,
        editor: Editor,
        file: str | os.PathLike[str] | None = None,
        place: tuple[int, int] | None = None,
    ) -> None:
        self.text = text
        self.editor = editor
        self.file = file
        self.place = place

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        find = self.text.find
        while end := find("\n", starts[-1]) + 1:
            starts.append(end)
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """(line, column) of a character."""
        if self.place is not None:
            return self.place
        line = bisect_right(self._line_starts, offset)
        start = self._line_starts[line - 1]
        if line == 1 and self.text.startswith("\ufeff"):  # a byte order mark has no width
            start = 1
        return line, max(offset - start, 0) + 1

    def error(self, offset: int, fact: str, fix: str = "") -> ParseError:
        """A ParseError at a character."""
        line, column = self.position(offset)
        file = "<text>" if self.file is None else self.file
        return ParseError(fact, fix, file=file, line=line, column=column)


class Scalar:
    """A value that is not a block: `3`, `-0.5`, `TRAIN`, `"data"`, `"da" "ta"`."""

    __slots__ = ("kind", "offset", "source", "text")

    def __init__(self, text: str, kind: ScalarKind, offset: int, source: Source) -> None:
        self.text = text
        self.kind = kind
        self.offset = offset
        self.source = source

    @property
    def line(self) -> int:
        """Line of its first character."""
        return self.source.position(self.offset)[0]

    @property
    def column(self) -> int:
        """Column of its first character."""
        return self.source.position(self.offset)[1]

    @property
    def string(self) -> str:
        """Content of a string without quotes and escapes; number or word as written."""
        if self.kind != "string":
            return self.text
        return decode(self.data)

    @property
    def data(self) -> bytes:
        """Content of a string as bytes."""
        return unescape(self.text)

    def __repr__(self) -> str:
        return f"Scalar({self.text!r}, line {self.line})"


class Entry:
    """One name with what follows it, as written; see Field and FieldList."""

    __slots__ = ("label", "lead", "name", "offset", "parent", "source", "tail")

    parent: Block | FieldList | None

    def __init__(self, name: str, lead: str, label: str, offset: int, source: Source) -> None:
        self.name = name
        self.lead = lead
        self.label = label
        self.tail = ""
        self.offset = offset
        self.source = source
        self.parent = None

    @property
    def line(self) -> int:
        """Line of the name, from 1."""
        return self.source.position(self.offset)[0]

    @property
    def column(self) -> int:
        """Column of the name, from 1, in characters."""
        return self.source.position(self.offset)[1]

    def fields(self) -> Iterator[Field]:
        """The fields it stands for: itself, or the items of a list."""
        raise NotImplementedError

    def pieces(self) -> Iterator[str]:
        """Its text in parts."""
        raise NotImplementedError


class Field(Entry):
    """A name and its value, a Scalar or a Block."""

    __slots__ = ("value",)

    value: Scalar | Block

    def fields(self) -> Iterator[Field]:
        yield self

    def pieces(self) -> Iterator[str]:
        yield self.lead
        yield self.label
        if isinstance(self.value, Scalar):
            yield self.value.text
        else:
            yield from self.value.pieces()
        yield self.tail

    @property
    def text(self) -> str:
        """`name: value` as written; of an item of a list only the value."""
        value = self.value
        return self.label + (value.text if isinstance(value, Scalar) else value.text())

    @property
    def string(self) -> str:
        """Content of a string value; number or word as written. ParseError for a block."""
        if isinstance(self.value, Scalar):
            return self.value.string
        raise self.source.error(self.offset, f"{self.name} is a block, allowed: a single value")

    @property
    def block(self) -> Block:
        """The value as a block. ParseError for a scalar."""
        if isinstance(self.value, Block):
            return self.value
        fact = f"{self.name} is {as_text(self.value.text)}, allowed: a block"
        raise self.source.error(self.offset, fact, f"write {self.name} {{ ... }}")

    def set(self, text: str) -> None:
        """Replace the value by `text`, one value as it would stand in a prototxt: `3`, `"a"`,
        `{ bd: 2 ad: 14 }`. A block of several lines gets the indentation of its place.

        Raises: ParseError when it is not one value.
        """
        self.source.editor.set_value(self, text)

    def remove(self) -> None:
        """Take the field out; when its lines hold nothing else they go too, with the comment that
        ends its last line.

        Raises: UsageError when it was removed already.
        """
        self.source.editor.remove(self)

    def __repr__(self) -> str:
        return f"Field({self.text!r}, line {self.line})"


class FieldList(Entry):
    """`name: [value, value]`."""

    __slots__ = ("close_lead", "items")

    def __init__(self, name: str, lead: str, label: str, offset: int, source: Source) -> None:
        super().__init__(name, lead, label, offset, source)
        self.items: list[Field] = []
        self.close_lead = ""

    def fields(self) -> Iterator[Field]:
        yield from self.items

    def pieces(self) -> Iterator[str]:
        yield self.lead
        yield self.label  # with the bracket
        for item in self.items:
            yield from item.pieces()
        yield self.close_lead
        yield "]"
        yield self.tail


class Block:
    """Fields between braces, or a whole file (`open` and `close` are then empty)."""

    __slots__ = ("close", "close_lead", "entries", "offset", "open", "parent", "source")

    def __init__(self, open: str, close: str, offset: int, source: Source) -> None:
        self.open = open
        self.close = close
        self.close_lead = ""
        self.entries: list[Entry] = []
        self.offset = offset
        self.source = source
        self.parent: Field | None = None

    @property
    def line(self) -> int:
        """Line of the opening brace."""
        return self.source.position(self.offset)[0]

    @property
    def column(self) -> int:
        """Column of the opening brace."""
        return self.source.position(self.offset)[1]

    @property
    def fields(self) -> list[Field]:
        """All fields in the order of the file."""
        return [field for entry in self.entries for field in entry.fields()]

    def all(self, name: str) -> list[Field]:
        """All fields of that name, in the order of the file."""
        return [field for e in self.entries if e.name == name for field in e.fields()]

    def first(self, name: str) -> Field | None:
        """The first field of that name."""
        for entry in self.entries:
            if entry.name == name:
                for field in entry.fields():
                    return field
        return None

    def pieces(self) -> Iterator[str]:
        """Its text in parts."""
        yield self.open
        for entry in self.entries:
            yield from entry.pieces()
        yield self.close_lead
        yield self.close

    def text(self) -> str:
        """Its text, braces included."""
        return "".join(self.pieces())

    def append(self, text: str) -> None:
        """Insert fields at the end of the block.

        Like the other two: `text` is any number of fields and comments, it gets the indentation
        of its place, and stays on one line when its neighbours do.

        Raises: ParseError when `text` does not parse.
        """
        self.source.editor.insert(self, len(self.entries), text)

    def insert_before(self, field: Field, text: str) -> None:
        """Insert fields before one of this block; comments right above it stay with it.

        Raises: UsageError when the field is not in this block.
        """
        editor = self.source.editor
        editor.insert(self, editor.index_of(self, field), text)

    def insert_after(self, field: Field, text: str) -> None:
        """Insert fields after one of this block; a comment that ends its line stays with it.

        Raises: UsageError when the field is not in this block.
        """
        editor = self.source.editor
        editor.insert(self, editor.index_of(self, field) + 1, text, after=True)

    def __repr__(self) -> str:
        return f"Block({len(self.entries)} fields, line {self.line})"


def as_text(text: str, limit: int = 60) -> str:
    """Text of a file made safe and short for a message."""
    clean = one_line(text)
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."
