"""Strings of files that are not UTF-8: paths and names in GBK, Latin-1, ..., kept byte for byte.

protobuf holds strings in UTF-8 only. So each byte that is none stands as one private character,
U+10F700 plus the byte, in messages, names and wherever they go; files get the byte back, and so
does the operating system.
"""

from __future__ import annotations

import codecs
import os
import re

__all__ = ["SHOWN", "as_path", "decode", "encode", "shown"]

SHOWN = "shown"  # errors= of a text file or a stream that is to show such strings

_ESCAPED = re.compile("[\udc80-\udcff]")  # Python's own escapes, which protobuf refuses
_PRIVATE = re.compile("[\U0010f780-\U0010f7ff]")
_OFFSET = 0x10F700 - 0xDC00


def decode(data: bytes) -> str:
    """Text of a file: UTF-8, and bytes that are none as private characters."""
    text = data.decode("utf-8", "surrogateescape")
    return _ESCAPED.sub(lambda m: chr(ord(m[0]) + _OFFSET), text)


def encode(text: str) -> bytes:
    """The bytes that `decode` was given."""
    return as_path(text).encode("utf-8", "surrogateescape")


def as_path(text: str) -> str:
    """The text as Python's file functions take it, in surrogate escapes (os.fsencode)."""
    return _PRIVATE.sub(lambda m: chr(ord(m[0]) - _OFFSET), text)


def shown(text: str | os.PathLike[str]) -> str:
    """The text for a message or a terminal: a byte that is no text as \\xb5."""
    plain = _ESCAPED.sub(lambda m: f"\\x{ord(m[0]) - 0xDC00:02x}", as_path(os.fspath(text)))
    return plain.encode("utf-8", "backslashreplace").decode("utf-8")


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler SHOWN: what a text file or a terminal cannot hold, as \\x.. or \\u.."""
    assert isinstance(error, UnicodeEncodeError)  # the handler is for writing only
    bad = shown(error.object[error.start : error.end])
    return bad.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(SHOWN, _stand_in)
