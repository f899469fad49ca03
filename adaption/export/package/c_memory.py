"""Memory: where values are in an array of a C program; they share places once they are read."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Memory"]


class Memory:
    """Offsets in one array: each value at the lowest place that is free while it lives.

    Args:
        name: of the array. sizes: of the values. live: for each the operations that first and last
            use it.
    """

    def __init__(
        self, name: str, sizes: Mapping[str, int], live: Mapping[str, tuple[int, int]]
    ) -> None:
        self.name = name
        self.size = 0
        self._offsets: dict[str, int] = {}
        for value, (first, last) in live.items():
            if value in sizes:
                self._place(value, first, last, sizes, live)

    def _place(
        self,
        value: str,
        first: int,
        last: int,
        sizes: Mapping[str, int],
        live: Mapping[str, tuple[int, int]],
    ) -> None:
        size, offset = sizes[value], 0
        taken = sorted(
            (start, start + sizes[other])
            for other, start in self._offsets.items()
            if live[other][0] <= last and first <= live[other][1]
        )
        for start, end in taken:
            if offset + size <= start:
                break
            offset = max(offset, end)
        self._offsets[value] = offset
        self.size = max(self.size, offset + size)

    def __contains__(self, value: str) -> bool:
        return value in self._offsets

    def at(self, value: str) -> str:
        """The C expression of a value's first element."""
        return f"{self.name} + {self._offsets[value]}"
