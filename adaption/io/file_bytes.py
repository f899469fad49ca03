"""The bytes of a file, read where they are asked for.

A memory map would look simpler. But a page of it is gone when another program cuts the file short,
and touching it ends the process without a word (SIGBUS); and what is written into the file shows up
in arrays that were checked before. Here both are an error that names the file.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from typing import Any, overload

from adaption.errors import FileFormatError, system_error
from adaption.later import np, npt

__all__ = ["FileBytes", "FileValues"]

_WINDOW = 4096  # bytes around a position that are read at once; headers are short
_CHUNK = 1 << 22


class FileBytes:
    """A file as a read-only sequence of bytes; its size is that at opening.

    The file stays open while this object lives, so a file that is replaced by renaming another one
    over it goes on to be read as it was.

    Raises: FileFormatError when it is missing or empty; on any access, when the file has changed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise FileFormatError(
                f"cannot be read: {error.strerror}", "check the path", file=path
            ) from None
        weakref.finalize(self, os.close, self._descriptor)
        self._stamp = self._now()
        if not len(self):
            raise FileFormatError(
                "is empty", "the download or copy broke off; fetch the file again", file=path
            )
        self._window = (0, b"")

    def __len__(self) -> int:
        return self._stamp[0]

    @overload
    def __getitem__(self, key: int) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    def __getitem__(self, key: int | slice) -> int | bytes:
        if isinstance(key, slice):
            start, stop, _ = key.indices(len(self))
            return self._read(start, max(stop - start, 0))
        base, window = self._window
        if not 0 <= key - base < len(window):
            if not 0 <= key < len(self):
                raise IndexError(key)
            base, window = key, self._read(key, min(_WINDOW, len(self) - key))
            self._window = base, window
        return window[key - base]

    def array(self, dtype: npt.DTypeLike, count: int, start: int) -> npt.NDArray[Any]:
        """`count` values that begin at byte `start`, in new memory."""
        values = np.empty(count, dtype)
        self._read_into(values.view(np.uint8).data, start)
        return values

    def chunks(self) -> Iterator[bytes]:
        """All bytes, a few MB at a time."""
        for start in range(0, len(self), _CHUNK):
            yield self[start : start + _CHUNK]

    def _read(self, start: int, count: int) -> bytes:
        try:
            content = os.pread(self._descriptor, count, start)
            while len(content) < count:  # a single call gives at most 2 GiB
                more = os.pread(self._descriptor, count - len(content), start + len(content))
                if not more:
                    break
                content += more
        except OSError as error:
            raise system_error(error, "cannot be read", file=self.path) from None
        self._check(len(content), count)
        return content

    def _read_into(self, out: memoryview, start: int) -> None:
        done = 0
        try:
            while done < len(out):
                read = os.preadv(self._descriptor, [out[done : done + (1 << 30)]], start + done)
                if not read:
                    break
                done += read
        except OSError as error:
            raise system_error(error, "cannot be read", file=self.path) from None
        self._check(done, len(out))

    def _check(self, read: int, wanted: int) -> None:
        now = self._now()
        if read < wanted or now != self._stamp:
            size = f"it had {self._stamp[0]} bytes, now {now[0]}"
            raise FileFormatError(
                f"has changed while it was read ({size})",
                "leave a file as it is while it is used; write a new one beside it and rename it",
                file=self.path,
            )

    def _now(self) -> tuple[int, int]:
        state = os.fstat(self._descriptor)
        return state.st_size, state.st_mtime_ns


class FileValues:
    """A run of numbers in a file: like a one-dimensional array, but read where it is sliced.

    Args:
        code: type of the values, as numpy writes it in dtype.str: "<f4".
        start: byte of the first value; `step`: bytes from one value to the next.
    """

    def __init__(self, source: FileBytes, code: str, size: int, start: int, step: int = 0) -> None:
        self.source = source
        self.code = code
        self.width = int(code[2:])
        self.size = size
        self.start = start
        self.step = step or self.width

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.code)

    def __getitem__(self, key: slice) -> npt.NDArray[Any]:
        """The values of a slice without a step, contiguous, in new memory."""
        first, stop, _ = key.indices(self.size)
        count = max(stop - first, 0)
        start, width = self.start + first * self.step, self.width
        if self.step == width or not count:
            return self.source.array(self.dtype, count, start)
        raw = self.source.array(np.uint8, (count - 1) * self.step + width, start)
        spread: npt.NDArray[Any] = np.ndarray((count,), self.dtype, raw.data, 0, (self.step,))
        return np.ascontiguousarray(spread)
