"""The backends that a comparison can name, or that a file or an object stands for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from adaption.compare.backends import (
    Backend,
    Exact,
    Formats,
    Onnxruntime,
    Recorded,
    Simulation,
    baked,
    in_float,
)
from adaption.compare.c_backend import CProgram
from adaption.compare.opencv import OpenCv
from adaption.compare.sessions import ModelFile
from adaption.errors import UsageError, near_miss
from adaption.exact import ExactOptions
from adaption.exact.selection import select
from adaption.net import Net

__all__ = ["BACKENDS", "Side", "backend_of", "opened"]

Side = str | os.PathLike[str] | Backend | ModelFile

Factory = Callable[[Net, Formats], Backend]

BACKENDS: MappingProxyType[str, Factory] = MappingProxyType(
    {
        "float": lambda net, _: Simulation("float", select(net), in_float),
        "lp": lambda net, _: Simulation("lp", select(net)),
        "lp64": lambda net, _: Simulation("lp64", select(net), in_double=True),
        "baked": lambda net, _: Simulation("baked", select(net), baked),
        "exact": lambda net, formats: Exact("exact", net, ExactOptions(formats)),
        "exact-half-even": lambda net, formats: Exact(
            "exact-half-even", net, ExactOptions(formats, "product", "half_even")
        ),
        "c": CProgram,
        "opencv": lambda net, _: OpenCv(net),
    }
)
"""Backends by name."""


def opened(side: Side) -> Side:
    """The path of an ONNX file as the opened file, which says its style and its input formats."""
    if isinstance(side, str | os.PathLike) and os.fspath(side).endswith(".onnx"):
        return ModelFile(side)
    return side


def backend_of(side: Side, net: Net, formats: Formats) -> Backend:
    """The backend that a name, a file or an object stands for.

    Raises: UsageError on an unknown name.
    """
    side = opened(side)
    if isinstance(side, ModelFile):
        return Onnxruntime(side)
    if not isinstance(side, str | os.PathLike):
        return side
    text = os.fspath(side)
    if text in BACKENDS:
        return BACKENDS[text](net, formats)
    if Path(text).suffix in (".npz", ".npy"):
        return Recorded(text, select(net))
    raise UsageError(
        f"{text!r} is nothing to compare with, allowed: {', '.join(BACKENDS)}, FILE.onnx, FILE.npz",
        near_miss(text, (*BACKENDS, "int32")),
    )
