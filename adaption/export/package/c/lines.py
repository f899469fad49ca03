"""Lines: indented C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Lines"]


class Lines:
    """C code that grows."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._depth = 0

    def add(self, *lines: str) -> None:
        self.lines += ["    " * self._depth + line if line else "" for line in lines]

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """What follows stands in braces behind `head`."""
        self.add(f"{head} {{".lstrip())
        with self.indented():
            yield
        self.add("}")

    @contextmanager
    def indented(self) -> Iterator[None]:
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def loop(self, name: str, count: int | str) -> Iterator[None]:
        """A loop from 0 on."""
        with self.block(f"for (ptrdiff_t {name} = 0; {name} < {count}; ++{name})"):
            yield

    def __str__(self) -> str:
        return "\n".join(self.lines)
