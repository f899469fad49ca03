"""Where the coordinates of one top lie in another, and crops that line two tops up.

Scales and shifts are exact fractions: a chain of strides leaves no rounding error behind.
Caffe: python/caffe/coord_map.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaption.errors import FieldError, LayerError, UsageError
from adaption.pycaffe.net_spec import Function, Top, layers

__all__ = [
    "PASS_THROUGH_LAYERS",
    "AxisMismatchException",
    "UndefinedMapException",
    "compose",
    "coord_map",
    "coord_map_from_to",
    "crop",
    "inverse",
]

PASS_THROUGH_LAYERS = (
    *("AbsVal", "BNLL", "BatchNorm", "Bias", "Clip", "Dropout", "ELU", "Eltwise", "Exp", "LPAct"),
    *("LRN", "Log", "MVN", "PReLU", "Power", "ReLU", "ReLU6", "Scale", "Sigmoid", "Split"),
    *("Swish", "TanH", "Threshold"),
)
"""Layers that leave every coordinate where it is."""

Numbers = NDArray[np.float64]
Coordinates = tuple[int | None, Any, Any]  # axis before the first mapped one, scale, shift


class UndefinedMapException(LayerError):
    """A layer type has no coordinate map."""


class AxisMismatchException(LayerError):
    """Two maps belong to different axes."""
