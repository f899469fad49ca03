"""What a file is, told from its first bytes, so that a reader can name the wrong one it was given.

A model downloaded with a browser is often an HTML page, one from a git clone a git-lfs pointer.
"""

from __future__ import annotations

import os
from pathlib import Path

from adaption.errors import FileFormatError, ResourceError, near_miss, system_error

__all__ = [
    "KINDS",
    "is_folder",
    "is_plain_file",
    "is_there",
    "kind_of",
    "kind_of_bytes",
    "near_file",
    "wrong_kind",
]

MOST_NAMES = 1000  # of a folder that are compared with a name that is not there

# kind: (what to call it, what to do about it)
KINDS: dict[str, tuple[str, str]] = {
    "missing": ("no such file", "check the path"),
    "directory": ("a directory", "give a file in it"),
    "unreadable": ("not readable", "check its permissions"),
    "special": ("a device or pipe", "give a plain file"),
    "empty": ("an empty file", "the download or copy has failed, get it again"),
    "html": (
        "an HTML page",
        "the browser or script saved a web page in its place, download the raw file",
    ),
    "xml": (
        "an XML document",
        "a server may have answered with an error in its place, download the file again",
    ),
    "git-lfs pointer": (
        "a git-lfs pointer, the real file is not here yet",
        "run `git lfs pull` in its repository",
    ),
    "text": ("text", ""),
    "utf-16 text": ("text in UTF-16", "save it as UTF-8"),
    "binary protobuf": ("a binary protobuf, as caffemodel and binaryproto files are", ""),
    "hdf5": ("an HDF5 file", ""),
    "npy": ("a numpy array", ""),
    "zip": ("a zip archive", "unpack it first"),
    "gzip": ("a gzip archive", "unpack it first"),
    "bzip2": ("a bzip2 archive", "unpack it first"),
    "xz": ("an xz archive", "unpack it first"),
    "7z": ("a 7z archive", "unpack it first"),
    "rar": ("a rar archive", "unpack it first"),
    "tar": ("a tar archive", "unpack it first"),
    "image": ("an image", ""),
    "pickle": ("a Python pickle", "pickles can run code and are never read"),
    "binary": ("binary data of no known kind", ""),
}

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/spec/", "git-lfs pointer"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF87a", "image"),
    (b"GIF89a", "image"),
    (b"II*\x00", "image"),
    (b"MM\x00*", "image"),
    (b"\xff\xfe", "utf-16 text"),
    (b"\xfe\xff", "utf-16 text"),
    *((bytes([0x80, protocol]), "pickle") for protocol in range(2, 6)),
)
_HEAD_BYTES = 64 * 1024
_NOT_TEXT = bytes(byte for byte in range(32) if byte not in b"\t\n\v\f\r\x1b")


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether there is a file or folder of this name; False, too, for what cannot be a name."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def is_plain_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is a plain file of this name; False, too, for what cannot be a name."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there is a folder of this name; False, too, for what cannot be a name."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def kind_of(path: str | os.PathLike[str]) -> str:
    """Kind of the file at a path, a key of KINDS. Reads at most its first 64 KiB."""
    path = Path(path)
    try:
        if path.is_dir():
            return "directory"
        if not path.exists():
            return "missing"
        if not path.is_file():
            return "special"
        with path.open("rb") as file:
            return kind_of_bytes(file.read(_HEAD_BYTES))
    except OSError:
        return "unreadable"


def kind_of_bytes(head: bytes) -> str:
    """Kind of a file that starts with these bytes; 64 KiB of them are enough."""
    if not head:
        return "empty"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return "tar"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "image"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image"
    start = head[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script")):
        return "html"
    if start.startswith(b"<!--") and b"<html" in head.lower():
        return "html"
    if start.startswith(b"<?xml"):
        return "html" if b"<html" in start else "xml"
    if len(head[:4096].translate(None, _NOT_TEXT)) == len(head[:4096]):
        return "text"
    return "binary protobuf" if _walks_as_protobuf(head) else "binary"


def wrong_kind(
    path: str | os.PathLike[str], kind: str, wanted: str, fix: str = ""
) -> FileFormatError:
    """The error for a file that is not what its place asks for.

    Args:
        kind: what it is, a key of KINDS.
        wanted: what it should be, as in "a prototxt".
        fix: used where the kind brings none of its own.
    """
    what, own_fix = KINDS[kind]
    if kind == "unreadable" and (refusal := _refusal(path)) is not None:
        what, own_fix = f"{what}: {refusal.fact}", refusal.fix or own_fix
    facts = {
        "missing": f"{what}, {wanted} was expected",
        "unreadable": f"the file is {what}",
    }
    fact = facts.get(kind, f"this is {what}, not {wanted}")
    near = near_file(path) if kind == "missing" else ""
    return FileFormatError(fact, near or own_fix or fix, file=path)


def near_file(path: str | os.PathLike[str]) -> str:
    """`did you mean ...?` with the name that is most like a missing file's in its folder, or ""."""
    try:
        names = sorted(entry.name for entry in Path(path).parent.iterdir())
    except (OSError, ValueError):  # also where the path cannot be a name
        return ""
    return near_miss(Path(path).name, names[:MOST_NAMES])


def _refusal(path: str | os.PathLike[str]) -> ResourceError | None:
    """Why the system does not let a file be read."""
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        return None
    except OSError as error:
        return system_error(error)
    return None


def _walks_as_protobuf(head: bytes) -> bool:
    """Whether the bytes are a run of protobuf fields, the last one possibly cut."""
    position = 0
    try:
        while position < len(head):
            tag, position = _varint(head, position)
            field, wire = tag >> 3, tag & 7
            if not 0 < field < 1 << 16 or wire not in (0, 1, 2, 5):
                return False
            if wire == 0:
                _, position = _varint(head, position)
            elif wire == 2:
                length, position = _varint(head, position)
                position += length
            else:
                position += 8 if wire == 1 else 4
    except IndexError:
        pass
    return True


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Value and the position after it; IndexError where the data ends in it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position + shift // 7]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + shift // 7 + 1
    return 0, position  # longer than any varint: field 0, which the caller refuses
