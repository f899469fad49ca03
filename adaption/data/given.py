"""Data that the caller holds: arrays, arrays by name, or batches of them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adaption.data.arrays import ArraySource
from adaption.data.base import Array, Source
from adaption.data.source import open_source
from adaption.errors import UsageError
from adaption.later import np

__all__ = ["GivenSource", "is_path", "source_of"]

_LABEL = "label"
_FORMS = "a path, an array, arrays by blob name, or an iterable of such batches or (x, labels)"


class GivenSource(ArraySource):
    """Arrays in memory, whose first axis is the sample."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        super().__init__(Path("arrays given"), "arrays", [arrays])
        self.arrays = arrays

    @property
    def origin(self) -> str:
        """Tells these values from others."""
        value = 0
        for name, array in sorted(self.arrays.items()):
            value = zlib.crc32(f"{name}{array.shape}{array.dtype}".encode(), value)
            value = zlib.crc32(np.ascontiguousarray(array).tobytes(), value)
        return f"arrays {value:08x}"


def is_path(data: object) -> bool:
    """Whether data is given by where it lies."""
    return isinstance(data, str | os.PathLike)


def source_of(
    data: Any,
    inputs: Sequence[str],
    *,
    is_color: bool | None = None,
    root: str | os.PathLike[str] | None = None,
) -> Source:
    """The source of data in any form.

    Args:
        data: a path (see `open_source`); an array or tensor for a net of one input; arrays by blob
            name, `label` for labels; or an iterable of batches, each of these or (array, labels).
        inputs: names of the net's inputs.
        is_color, root: as `open_source` takes them.
    Raises: UsageError on anything else; DataError when the arrays do not fit together.
    """
    if is_path(data):
        return open_source(data, root=root, is_color=is_color)
    return GivenSource(_gathered(data, inputs))


def _gathered(data: Any, inputs: Sequence[str]) -> dict[str, Array]:
    if isinstance(data, Mapping) or hasattr(data, "__array__"):
        return _batch(data, inputs)
    if not isinstance(data, Iterable):
        raise UsageError(f"data is {type(data).__name__}, allowed: {_FORMS}")
    batches = [_batch(one, inputs) for one in data]
    if not batches:
        raise UsageError("data is an iterable without batches", f"give {_FORMS}")
    for number, batch in enumerate(batches):
        if batch.keys() != batches[0].keys():
            raise UsageError(
                f"batch {number} of the data holds {', '.join(batch)}, the first one"
                f" {', '.join(batches[0])}",
                "give every batch the same arrays",
            )
    try:
        return {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
    except ValueError as error:
        raise UsageError(f"the batches of the data do not fit together: {error}") from None


def _batch(given: Any, inputs: Sequence[str]) -> dict[str, Array]:
    """The arrays of one batch by name."""
    if isinstance(given, Mapping):
        return {str(name): _array(values) for name, values in given.items()}
    is_pair = isinstance(given, tuple | list) and len(given) == 2
    x, *labels = given if is_pair else (given,)
    if len(inputs) != 1:
        raise UsageError(
            f"an array is given, and the net has inputs {', '.join(inputs)}",
            "give arrays by blob name: {'data': ..., 'info': ...}",
        )
    made = {inputs[0]: _array(x)}
    if labels:
        made[_LABEL] = _array(labels[0])
    return made


def _array(values: Any) -> Array:
    if hasattr(values, "detach"):  # a tensor of torch, on any device
        values = values.detach().cpu()
    try:
        made = np.asarray(values)
    except ValueError:
        made = np.empty(0, object)
    if made.dtype.kind not in "buif" or made.ndim < 1:
        raise UsageError(
            f"data holds a {type(values).__name__} that is no array of numbers with samples along"
            " its first axis",
            f"give {_FORMS}",
        )
    return made
