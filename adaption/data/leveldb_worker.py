"""Reads a LevelDB in a process of its own, for `leveldb_source`; a script, not a module.

LevelDB maps its tables: one that another program cuts short ends the process that reads it. Here
that is this process, and whoever asked reads the end of a pipe.

A question is a line of JSON. An answer is a number of parts, and each part's length and bytes
(8 bytes, little-endian, each number); a single part behind the number -1 is an error in words.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

NUMBER = struct.Struct("<q")
AT_ONCE = 4 << 20  # bytes of records in one answer


def send(pipe: IO[bytes], parts: list[bytes], *, is_error: bool = False) -> None:
    """Write an answer."""
    pipe.write(NUMBER.pack(-1 if is_error else len(parts)))
    for part in parts:
        pipe.write(NUMBER.pack(len(part)))
        pipe.write(part)
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[list[bytes], bool]:
    """Read an answer: its parts, and whether it is an error. Raises: EOFError."""
    count = NUMBER.unpack(_exactly(pipe, NUMBER.size))[0]
    parts = []
    for _ in range(abs(count)):
        size = NUMBER.unpack(_exactly(pipe, NUMBER.size))[0]
        parts.append(_exactly(pipe, size))
    return parts, count < 0


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    content = pipe.read(count)
    if len(content) < count:
        raise EOFError
    return content


class Reader:
    """The database, and where each pass over it stands."""

    def __init__(self, folder: str) -> None:
        import plyvel

        self.db = plyvel.DB(folder, create_if_missing=False, paranoid_checks=True)
        self.passes: dict[int, Iterator[Any]] = {}

    def begin(self, number: int) -> list[bytes]:
        self.passes[number] = self._records()
        return []

    def end(self, number: int) -> list[bytes]:
        self.passes.pop(number, None)
        return []

    def next(self, number: int, skip: int, step: int) -> list[bytes]:
        """How many records are still to be passed over, then keys and values; none at the end."""
        parts: list[bytes] = []
        size = 0
        for key, value in self.passes[number]:
            if skip:
                skip -= 1
                continue
            parts += [key, value]
            size += len(key) + len(value)
            skip = step - 1
            if size >= AT_ONCE:
                break
        return [str(skip).encode(), *parts]

    def keys(self) -> list[bytes]:
        return list(self._records(include_value=False))

    def get(self, key: str) -> list[bytes]:
        value = self.db.get(bytes.fromhex(key), verify_checksums=True)
        return [] if value is None else [value]

    def _records(self, **settings: bool) -> Iterator[Any]:
        """All records. Raises: plyvel.Error for a damaged one, also at the end."""
        with self.db.iterator(verify_checksums=True, **settings) as records:
            yield from records
            # plyvel takes damage behind the last sound record for the end; a step back raises it.
            with suppress(StopIteration):
                records.prev()


def main() -> None:
    folder, path = sys.argv[1:]
    sys.path[:] = json.loads(path)
    # What libraries print must not get between answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        reader: Any = Reader(folder)
    except Exception as error:
        send(answers, [str(error).encode("utf-8", "replace")], is_error=True)
        return
    send(answers, [])
    for line in sys.stdin.buffer:
        name, *arguments = json.loads(line)
        try:
            send(answers, getattr(reader, name)(*arguments))
        except Exception as error:
            send(answers, [str(error).encode("utf-8", "replace")], is_error=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt, BrokenPipeError):  # the one who asked says it
        main()
