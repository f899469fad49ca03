"""Errors that are also the built-in exceptions which Caffe's Python raises in their place.

Scripts, and Caffe's own tests, catch those: ValueError of an array that does not fit, RuntimeError
of a file that does not open, TypeError of a bottom that is none, whatever a Python layer raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from adaption.errors import AdaptionError, LayerError, UsageError, remade
from adaption.errors import FieldError as CoreFieldError
from adaption.errors import ShapeError as CoreShapeError

__all__ = [
    "CropError",
    "FieldError",
    "InputError",
    "MapError",
    "ShapeError",
    "also",
    "also_raised_as",
]


class ShapeError(CoreShapeError, ValueError):
    """Shapes do not fit."""


class FieldError(CoreFieldError, AttributeError, TypeError, ValueError):
    """A message has no such field, or the field takes no such value."""


class InputError(UsageError, TypeError):
    """The input of a layer is no Top."""


class MapError(LayerError, RuntimeError):
    """There is no coordinate map between two tops."""


class CropError(LayerError, AssertionError):
    """Two tops do not line up."""


def also(error: AdaptionError, kind: type[Exception]) -> AdaptionError:
    """The same error, of which `except kind` gets hold, too; unchanged where that cannot be."""
    if not isinstance(error, kind):
        key = type(error), kind
        if key not in _mixes:
            _mixes[key] = _mixed(*key)
        error.__class__ = _mixes[key] or type(error)
    return error


@contextmanager
def also_raised_as(kind: type[Exception]) -> Iterator[None]:
    """Also a decorator: AdaptionErrors that come out can be caught as `kind`."""
    try:
        yield
    except AdaptionError as error:
        raise also(error, kind) from error.__cause__


_mixes: dict[tuple[type[AdaptionError], type[Exception]], type[AdaptionError] | None] = {}


def _mixed(own: type[AdaptionError], kind: type[Exception]) -> type[AdaptionError] | None:
    def plain(self: AdaptionError) -> tuple[object, ...]:
        """Another process gets the error without the built-in kind."""
        return remade, (own, self.args, self.__dict__)

    body = {"__module__": own.__module__, "__init__": own.__init__, "__reduce__": plain}
    try:
        made = type(own.__name__, (own, kind), body)
        trial = own.__new__(own)
        trial.__class__ = made
    except TypeError:  # OSError and UnicodeError hold more than their attributes
        return None
    return made
