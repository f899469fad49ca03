"""Names of layers and blobs where only some letters are allowed: C programs, their output, files.

A Caffe name may be any text: with spaces, in any script, hundreds of letters long.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import quote

__all__ = ["comment", "identifier", "printed"]

_PLAIN = "/:;,.<>=+-_()[]{}|!@#$^&~'*`"
_LONGEST = 100  # characters of an identifier, which names a file, too


def printed(name: str) -> str:
    """A name as one word of ASCII, as in an address: `%20` for a space, `%` and hexadecimal digits
    for each byte of other letters. urllib.parse.unquote gives the name back."""
    return quote(name, safe=_PLAIN, encoding="utf-8", errors="surrogatepass")


def comment(name: str) -> str:
    """A name that ends neither a C string nor a comment."""
    return re.sub(r'[^ -~]|["\\*?]', "_", name)


def identifier(name: str, taken: Collection[str]) -> str:
    """A C identifier made of a name, no other than those taken, whatever the case of letters.

    Args:
        taken: in lower case.
    """
    stem = re.sub(r"\W", "_", name, flags=re.ASCII)[:_LONGEST]
    stem = f"c_{stem}" if stem[:1].isdigit() or not stem else stem
    made, count = stem, 1
    while made.lower() in taken:
        count += 1
        made = f"{stem}_{count}"
    return made
