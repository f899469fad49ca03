"""Whole files of a user as text or bytes: plain files only, of a size that can be meant."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from adaption.errors import FileFormatError, system_error
from adaption.io.kinds import kind_of, wrong_kind
from adaption.io.limits import check_size

__all__ = ["read_bytes", "read_json", "read_text"]


def read_bytes(path: str | os.PathLike[str], what: str, *, fix: str = "") -> bytes:
    """The content of a plain file.

    Args:
        what: what is expected, as in "an image list".
        fix: what to give instead of a folder or a device.
    Raises: FileFormatError when it is missing, no plain file, or cannot be read; ResourceError
        when it is too large.
    """
    kind = kind_of(path)
    if kind in ("missing", "directory", "unreadable", "special"):
        raise wrong_kind(path, kind, what, fix)
    try:
        with Path(path).open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            # As text it takes up to four times its bytes, and its lines as much again.
            check_size(4 * size, f"{what} of {size} bytes", error=FileFormatError)
            return stream.read(size + 1)
    except FileFormatError as error:
        raise error.at(file=path) from None
    except OSError as error:
        raise system_error(error, "cannot be read", file=path) from None


def read_text(
    path: str | os.PathLike[str], what: str, *, errors: str = "strict", fix: str = ""
) -> str:
    """The content of a text file in UTF-8, a byte order mark left out.

    Args:
        errors: as `bytes.decode` takes it.
    Raises: FileFormatError as `read_bytes`, and when it is no text.
    """
    content = read_bytes(path, what, fix=fix)
    try:
        return content.decode("utf-8-sig", errors).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise FileFormatError(
            f"is no text in UTF-8, {what} is", fix or "save it as UTF-8", file=path
        ) from None


def read_json(path: str | os.PathLike[str], what: str, *, fix: str = "") -> Any:
    """The value in a JSON file.

    Raises: FileFormatError as `read_text`, and when it is something else.
    """
    kind = kind_of(path)
    if kind != "text":
        raise wrong_kind(path, kind, what, fix)
    text = read_text(path, what, fix=fix)
    import json

    try:
        return json.loads(text)
    except RecursionError:
        reason = "it nests too deep"
    except ValueError as error:  # also of an integer with more digits than Python takes
        reason = str(error)
    raise FileFormatError(f"is no JSON, {what} is: {reason}", fix, file=path)
