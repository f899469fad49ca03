"""Tokens of protobuf's text format, and what a string literal holds.

Source: protobuf tokenizer.cc.
"""

from __future__ import annotations

import re

from adaption.io.text import as_path

__all__ = ["ESCAPE", "TOKEN", "quote", "unescape"]

_GAP = r"(?:[ \t\r\n\f\v]++|\#[^\n]*+)*+"
_HEX = r"[0-9a-fA-F]"
ESCAPE = (
    r"\\(?:[abfnrtv\\?'\"]|[0-7]{1,3}"
    rf"|[xX]{_HEX}{{1,2}}|u{_HEX}{{4}}|U00(?:0{_HEX}|10){_HEX}{{4}})"
)
# `bad` keeps a malformed number whole, so that the message can show it. A placeholder such as
# `${NUM_LABELS}` is for a script to fill in: the tree keeps it, no typed field takes it.
TOKEN = re.compile(
    _GAP
    + r"(?:(?P<word>[A-Za-z_]\w*+)"
    + r"|(?P<mark>[{}<>:,;\[\]])"
    + rf'|(?P<string>"(?:[^"\\\n]++|{ESCAPE})*+"|'
    + rf"'(?:[^'\\\n]++|{ESCAPE})*+')"
    + r"|(?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[fF]?)(?![\w.]))"
    + r"|(?P<minus>-)"
    + r"|(?P<placeholder>\$\{\w+\}|\$\w+)"
    + r"|(?P<end>\Z)"
    + r"|(?P<bad>\.?\d[\w.]*|.))",
    re.ASCII,
)
_SIMPLE_ESCAPES = {b"a": 7, b"b": 8, b"f": 12, b"n": 10, b"r": 13, b"t": 9, b"v": 11}
_ESCAPE_BYTES = re.compile(ESCAPE.encode())


def quote(text: str) -> str:
    """A string literal with this content."""
    escaped = as_path(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\{ord(m[0]):03o}", escaped) + '"'


def unescape(literals: str) -> bytes:
    """Content of one or more string literals, with gaps and comments between them."""
    if "\\" not in literals and literals.count(literals[0]) == 2 and literals[-1] == literals[0]:
        return literals[1:-1].encode("utf-8", "surrogateescape")
    parts = []
    position = 0
    while (token := TOKEN.match(literals, position)) and token.lastgroup == "string":
        raw = token["string"][1:-1].encode("utf-8", "surrogateescape")
        parts.append(_ESCAPE_BYTES.sub(_unescape_one, raw))
        position = token.end()
    return b"".join(parts)


def _unescape_one(match: re.Match[bytes]) -> bytes:
    code = match[0][1:]
    if code in _SIMPLE_ESCAPES:
        return bytes([_SIMPLE_ESCAPES[code]])
    if code[:1].isdigit():
        return bytes([int(code, 8) & 0xFF])
    if code[:1] in b"xX":
        return bytes([int(code[1:], 16)])
    if code[:1] in b"uU":
        return chr(int(code[1:], 16)).encode("utf-8", "surrogatepass")
    return code
