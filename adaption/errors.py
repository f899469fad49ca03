"""One error tree, one message shape: where, which field, what was found, allowed, and to do.

Deep code raises the fact (a field, the value found, what is allowed). The one place that knows
file, line and layer adds them with `at()`. The command line prints `str(error)` and exits with 2.
"""

from __future__ import annotations

import os
from typing import Self

__all__ = [
    "AdaptionError",
    "DataError",
    "FieldError",
    "FileFormatError",
    "LayerError",
    "MissingBottomError",
    "MissingExtraError",
    "ParseError",
    "RankError",
    "ShapeError",
    "UnknownFieldError",
    "UnknownLayerError",
    "UsageError",
    "WeightsError",
]


class AdaptionError(Exception):
    """Bad input, told in one line of fact and one line of fix.

    Args:
        fact: what is wrong, values with `repr`, ends without a full stop.
        fix: what to do about it; empty when the fact already says it.
        file: path of the file at fault.
        line: line in it, counted from 1; `column` likewise.
        layer: name of the layer at fault; `layer_type` its type.
    """

    def __init__(
        self,
        fact: str,
        fix: str = "",
        *,
        file: str | os.PathLike[str] | None = None,
        line: int | None = None,
        column: int | None = None,
        layer: str | None = None,
        layer_type: str | None = None,
    ) -> None:
        super().__init__(fact)
        self.fact = fact
        self.fix = fix
        self.file = file
        self.line = line
        self.column = column
        self.layer = layer
        self.layer_type = layer_type

    def __reduce__(self) -> tuple[object, ...]:
        """Errors of worker processes arrive whole, whatever arguments their class takes."""
        return _remade, (type(self), self.args, self.__dict__)

    def at(
        self,
        *,
        file: str | os.PathLike[str] | None = None,
        line: int | None = None,
        layer: str | None = None,
        layer_type: str | None = None,
    ) -> Self:
        """Fill in what is not known yet and return self; what deeper code has said stays."""
        if self.file is None:
            self.file = file
        if self.line is None and self.file == file:
            self.line = line
        if self.layer is None:
            self.layer = layer
            self.layer_type = layer_type
        return self

    @property
    def where(self) -> str:
        """`file:line:column: layer "name" (Type)`, as much of it as is known."""
        parts = []
        if self.file is not None:
            spot = [os.fspath(self.file)]
            if self.line is not None:
                spot.append(str(self.line))
                if self.column is not None:
                    spot.append(str(self.column))
            parts.append(":".join(spot))
        if self.layer is not None:
            kind = f" ({self.layer_type})" if self.layer_type else ""
            parts.append(f'layer "{self.layer}"{kind}')
        return ": ".join(parts)

    def __str__(self) -> str:
        head = f"{self.where}: {self.fact}" if self.where else self.fact
        return f"{head}\n  fix: {self.fix}" if self.fix else head


class FieldError(AdaptionError):
    """A field holds a value that is not allowed."""

    def __init__(self, field: str, found: object, allowed: str, fix: str = "") -> None:
        super().__init__(f"{field} is {_shown(found)}, allowed: {allowed}", fix)
        self.field = field
        self.found = found
        self.allowed = allowed


class UsageError(AdaptionError):
    """A flag or argument of a public call is wrong."""


class FileFormatError(AdaptionError):
    """A file is missing, truncated, or of another kind than its place asks for."""


class ParseError(AdaptionError):
    """A prototxt does not parse."""


class UnknownFieldError(AdaptionError):
    """A net or solver that is to run holds fields nobody knows, which may change the numbers."""


class LayerError(AdaptionError):
    """A layer does not fit its place in the net (bottoms, tops, wiring)."""


class MissingBottomError(LayerError):
    """A layer reads a blob of a layer that this net state leaves out."""


class UnknownLayerError(LayerError):
    """A net needs layer types that are not known."""


class ShapeError(LayerError):
    """Shapes do not fit."""


class WeightsError(AdaptionError):
    """Weights do not fit the net they are loaded into."""


class DataError(AdaptionError):
    """A data source is empty, unreadable or does not fit the net."""


class RankError(AdaptionError):
    """Another process of a training run has ended, or does not answer."""


class MissingExtraError(AdaptionError):
    """An optional package is needed; names the extra that brings it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed",
            f"pip install 'adaption[{extra}]'",
        )


def _remade(
    kind: type[AdaptionError], args: tuple[object, ...], state: dict[str, object]
) -> AdaptionError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def _shown(value: object) -> str:
    return str(value) if isinstance(value, bool | int | float) else repr(value)
