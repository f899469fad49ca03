"""Weights and biases of products: codes, how large sums can grow, where a bias is added."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from adaption.errors import FieldError, LayerError
from adaption.exact.constants import WeightCodes, weight_codes
from adaption.layers.base import Layer, Shape
from adaption.layers.convolution import Convolution
from adaption.layers.inner_product import InnerProduct
from adaption.numerics import Format

__all__ = ["bias_per_output", "codes_or_end", "sums_per_output"]


def sums_per_output(layer: Layer, weight: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Sum of the weights that meet in one value of the top, for each of its channels.

    Args:
        weight: codes of any integer type.
    """
    if isinstance(layer, InnerProduct):
        return np.asarray(weight.sum(0 if layer.transpose else 1, dtype=np.int64))
    if isinstance(layer, Convolution) and layer.is_transposed:
        grouped = weight.reshape(layer.group, -1, *weight.shape[1:])
        axes = (1, *range(3, grouped.ndim))
        return np.asarray(grouped.sum(axes, dtype=np.int64)).ravel()
    return np.asarray(weight.sum(tuple(range(1, weight.ndim)), dtype=np.int64))


def bias_per_output(
    layer: Layer, bias: npt.NDArray[np.float32], bottom: Shape
) -> npt.NDArray[np.float64]:
    """A bias as an array that broadcasts over the top."""
    top = layer.top_shape(bottom)
    behind = 0
    if isinstance(layer, Convolution):
        behind = len(top) - (layer.axis % len(top)) - 1
    return bias.astype(np.float64).reshape(-1, *[1] * behind)


def codes_or_end(
    values: npt.NDArray[np.float32], fmt: Format | None, *, is_behind: bool
) -> WeightCodes:
    """A layer's weights as codes.

    Args:
        is_behind: whether sums of codes come before, so that the net may end in floats here.
    Raises: LayerError on float weights behind such sums; FieldError, see weight_codes, on others.
    """
    try:
        return weight_codes(values, fmt)
    except FieldError:
        if fmt is None and is_behind:
            raise LayerError("its weights are float", "give them a format") from None
        raise
