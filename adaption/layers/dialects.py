"""Dialects: which fork of Caffe a net is read as, where forks disagree about a layer type."""

from __future__ import annotations

from adaption.errors import FieldError
from adaption.layers.base import known_dialects

__all__ = ["check_dialect"]


def check_dialect(dialect: str | None) -> None:
    """Refuse a dialect that no layer type has. Raises: FieldError."""
    if dialect is not None and dialect not in known_dialects():
        raise FieldError("dialect", dialect, ", ".join(known_dialects()))
