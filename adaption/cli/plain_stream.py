"""A text stream that lets no control characters through.

What verbs print holds names and messages of files. Whatever a verb forgets to spell out would reach
the terminal: escape sequences retitle it, move the cursor, hide lines.
"""

from __future__ import annotations

from typing import Any, TextIO

from adaption.errors import plain_text

__all__ = ["PlainStream"]


class PlainStream:
    """`stream`, with control characters spelled out.

    `trusted` is the stream itself, for what draws on a terminal on purpose.
    """

    def __init__(self, stream: TextIO) -> None:
        self.trusted = stream

    def write(self, text: str) -> int:
        self.trusted.write(plain_text(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.trusted, name)
