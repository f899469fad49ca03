"""From text to the tree of prototxt_tree.py, following protobuf's text format.

Source: protobuf text_format.cc (ParserImpl) and tokenizer.cc. Where those report a bare token, the
messages here also say what would have been right.
"""

from __future__ import annotations

import os
import re
from typing import NoReturn

from adaption.errors import ParseError
from adaption.io.prototxt_tokens import ESCAPE, TOKEN
from adaption.io.prototxt_tree import (
    Block,
    Editor,
    Entry,
    Field,
    FieldList,
    Scalar,
    Source,
    as_text,
)

__all__ = ["MAX_DEPTH", "parse_block", "parse_value"]

MAX_DEPTH = 100  # protobuf's own limit when a message is serialized

_BRACKETED = re.compile(r"\[[ \t]*[A-Za-z_][\w./\- \t]*\]", re.ASCII)
_CLOSERS = {"{": "}", "<": ">"}


def parse_block(
    text: str,
    editor: Editor,
    file: str | os.PathLike[str] | None = None,
    place: tuple[int, int] | None = None,
) -> Block:
    """The fields of a whole text.

    Args:
        text: any text; odd bytes as surrogate escapes.
        editor: what changes the tree when its nodes are asked to.
        file: its path, for error messages.
        place: (line, column) given to every node, for text that is put into another text.
    Raises: ParseError.
    """
    return _Parser(Source(text, editor, file, place)).file()


def parse_value(text: str, editor: Editor, place: tuple[int, int] | None = None) -> Scalar | Block:
    """One value: a scalar or a block in braces. Raises: ParseError."""
    return _Parser(Source(text, editor, "<inserted text>", place)).single_value()


class _Parser:
    """Recursive descent with one token of look-ahead: `kind`, `token`, `start`, `end`."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.kind = ""
        self.token = ""
        self.start = self.end = self.last_end = 0
        self.depth = 0

    def file(self) -> Block:
        mark = "\ufeff" if self.text.startswith("\ufeff") else ""
        self.end = len(mark)
        self.advance()
        block = Block(mark, "", 0, self.source)
        self.entries(block)
        return block

    def single_value(self) -> Scalar | Block:
        self.advance()
        if self.token in _CLOSERS:
            value: Scalar | Block = self.block("")
        else:
            value = self.scalar("a value")
        if self.kind != "end":
            self.fail("nothing after the value")
        return value

    def advance(self) -> None:
        self.last_end = self.end
        match = TOKEN.match(self.text, self.end)
        assert match is not None  # `bad` takes any character
        self.kind = kind = match.lastgroup or ""
        self.start, self.end = match.span(kind)
        self.token = match[kind]

    def entries(self, block: Block) -> None:
        """Fields up to the closing mark of the block, which becomes the current token."""
        text = self.text
        append = block.entries.append
        while True:
            if self.kind == "word":
                lead, start, name = text[self.last_end : self.start], self.start, self.token
                self.advance()
            elif self.token == "[" and (match := _BRACKETED.match(text, self.start)):
                lead, start, name = text[self.last_end : self.start], self.start, match[0]
                self.end = match.end()
                self.advance()
            elif self.token == block.close and self.kind in ("mark", "end"):
                block.close_lead = text[self.last_end : self.start]
                return
            else:
                self.fail_in(block)
            entry = self.entry(name, lead, start)
            if self.token in (",", ";"):
                entry.tail = text[self.last_end : self.end]
                self.advance()
            entry.parent = block
            append(entry)

    def entry(self, name: str, lead: str, start: int) -> Entry:
        colon = self.token == ":"
        if colon:
            self.advance()
        if self.kind == "mark" and self.token == "[":
            return self.field_list(name, lead, start)
        if not colon and self.token not in _CLOSERS:
            self.fail(f"':' or '{{' after \"{as_text(name)}\"", _fix_for_name(self.kind, name))
        field = Field(name, lead, self.text[start : self.start], start, self.source)
        self.value(field, f'a value after "{as_text(name)}:"')
        return field

    def field_list(self, name: str, lead: str, start: int) -> FieldList:
        label = self.text[start : self.end]
        result = FieldList(name, lead, label, start, self.source)
        opened = self.start
        self.advance()
        while self.token != "]" or result.items:
            gap = self.text[self.last_end : self.start]
            item = Field(name, gap, "", self.start, self.source)
            self.value(item, f'a value in the list "{as_text(name)}: ["')
            item.parent = result
            result.items.append(item)
            if self.token == "]":
                break
            if self.token != ",":
                line = self.source.position(opened)[0]
                self.fail(f"',' or ']' in the list \"{as_text(name)}: [\" opened at line {line}")
            item.tail = self.text[self.last_end : self.end]
            self.advance()
        result.close_lead = self.text[self.last_end : self.start]
        self.advance()
        return result

    def value(self, field: Field, expected: str) -> None:
        if self.kind == "mark" and self.token in _CLOSERS:
            field.value = self.block(field.name)
            field.value.parent = field
        else:
            field.value = self.scalar(expected)

    def block(self, name: str) -> Block:
        if self.depth == MAX_DEPTH:
            fact = f"blocks are nested more than {MAX_DEPTH} deep"
            raise self.source.error(self.start, fact)
        self.depth += 1
        block = Block(self.token, _CLOSERS[self.token], self.start, self.source)
        # Only for messages: `fail_in` names the block that is open.
        block.parent = Field(name, "", "", self.start, self.source)
        self.advance()
        self.entries(block)
        self.advance()
        self.depth -= 1
        block.parent = None
        return block

    def scalar(self, expected: str) -> Scalar:
        start, kind = self.start, self.kind
        if kind == "string":
            while self.kind == "string":
                self.advance()
            return Scalar(self.text[start : self.last_end], "string", start, self.source)
        if kind == "minus":
            self.advance()
            if self.kind != "number" and self.token.lower() not in ("inf", "infinity", "nan"):
                self.fail("a number after '-'")
            kind = self.kind
        if kind == "placeholder":
            self.advance()
            return Scalar(self.text[start : self.last_end], "word", start, self.source)
        if kind == "number":
            self.advance()
            return Scalar(self.text[start : self.last_end], "number", start, self.source)
        if kind == "word":
            word = self.token
            self.advance()
            if self.token == ":" or self.token in _CLOSERS:  # the value is missing: `a: b: 3`
                raise self.error(start, f'"{word}{self.token}"', expected)
            return Scalar(self.text[start : self.last_end], "word", start, self.source)
        self.fail(expected)

    def fail(self, expected: str, fix: str = "") -> NoReturn:
        raise self.error(self.start, self.found(), expected, fix)

    def fail_in(self, block: Block) -> NoReturn:
        """The current token is neither a field name nor the end of the block."""
        if not block.close:
            surplus = self.token in ("}", ">")
            expected = "a field name" + (" (no block is open)" if surplus else "")
            self.fail(expected, f"remove one {self.token!r} here or above" if surplus else "")
        assert block.parent is not None
        line, column = self.source.position(block.offset)
        opened = f'"{as_text(block.parent.name)} {block.open}" opened at {line}:{column}'
        if self.kind == "end" or self.token in ("}", ">"):
            self.fail(f"{block.close!r} to close {opened}")
        self.fail(f"a field name or {block.close!r} in {opened}")

    def error(self, offset: int, found: str, expected: str, fix: str = "") -> ParseError:
        if self.kind == "bad" and self.start == offset and self.token in ("'", '"'):
            offset, found, expected, fix = self.bad_string()
        return self.source.error(offset, f"found {found}, expected {expected}", fix)

    def found(self) -> str:
        """The current token, in words."""
        if self.kind == "end":
            return "end of file"
        if self.kind == "string":
            return as_text(self.token)
        if self.kind == "bad" and len(self.token) == 1 and not self.token.isascii():
            return f"{self.token!a} (U+{ord(self.token):04X})"
        return f"'{as_text(self.token)}'"

    def bad_string(self) -> tuple[int, str, str, str]:
        """Offset, found, expected, fix for a string that has no end or holds a wrong escape."""
        literal = re.compile(rf"(?:[^{self.token}\\\n]+|{ESCAPE})*").match(self.text, self.end)
        assert literal is not None
        stop = literal.end()
        if self.text[stop : stop + 1] == "\\" and self.text[stop + 1 : stop + 2] not in ("\n", ""):
            shown = as_text(self.text[stop : stop + 2])
            return (
                stop,
                f"{shown} in a string",
                r"an escape such as \n, \t, \" or \\",
                r'for a backslash write "\\", in paths write "/"',
            )
        shown = as_text(self.text[self.start : stop].rstrip("\r"))
        return self.start, f"{shown} without a closing quote", f"{self.token} on the same line", ""


def _fix_for_name(kind: str, name: str) -> str:
    return f"write {name}: VALUE" if kind in ("word", "number", "string", "minus") else ""
