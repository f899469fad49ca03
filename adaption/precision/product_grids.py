"""The grid of each weight layer's bottom: with the weights' it makes the grid of the products.

A sum of integer products lies on a grid of as many fractional bits as both factors have together.
Integer hardware adds biases on that grid, as 32-bit integers; so do the int32 biases of ONNX's QDQ
form, and a bias that lies on it makes the simulation's sums equal to those, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adaption.graph import LayerSpec, NetSpec
from adaption.layers.base import traits_of
from adaption.net.plan import layer_formats
from adaption.numerics import FixedPoint

__all__ = ["BIAS_BITS", "bottom_grids"]

BIAS_BITS = 32


def bottom_grids(
    spec: NetSpec, results: Mapping[str, FixedPoint], layers: Sequence[str]
) -> dict[str, int | str]:
    """frac_length of the bottom of each of `layers`, or the layer that made it where none is known.

    Args:
        results: formats of what is rounded, by the name of the layer whose top it is; of an
            input, by its blob.
        layers: names of weight layers.
    """
    latest: dict[str, int | str] = {}
    found: dict[str, int | str] = {}
    for item in spec.layers:
        bottoms = [latest.get(name, name) for name in item.bottoms]
        if item.name in layers:
            found[item.name] = bottoms[0]
        made: int | str = item.name
        fmt = results.get(item.name if item.bottoms else item.tops[0]) or _own_format(item)
        if fmt is not None:
            made = fmt.frac_length
        elif traits_of(item, spec).keeps_grid():
            made = _finest(bottoms, item.name)
        latest.update(dict.fromkeys(item.tops, made))
    return found


def _finest(bottoms: Sequence[int | str], name: str) -> int | str:
    """The grid that holds the values of all bottoms."""
    if len(bottoms) == 1:
        return bottoms[0]
    known = [grid for grid in bottoms if isinstance(grid, int)]
    return max(known) if known and len(known) == len(bottoms) else name


def _own_format(item: LayerSpec) -> FixedPoint | None:
    """The format of an LPAct, or another point, that stands in the net already."""
    fmt = layer_formats(item).activation
    return fmt if isinstance(fmt, FixedPoint) else None
