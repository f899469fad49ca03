"""Where the coordinates of one top lie in another, and crops that line two tops up.

A map is (axis, scale, shift): behind `axis`, coordinate i of the layer's top lies at
(i - shift) / scale of its bottom. Scales and shifts are arrays of exact fractions, one per axis or
one for all, so that a chain of strides leaves no rounding error behind.
Caffe: python/caffe/coord_map.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaption.layers.base import known_types, traits_of_type
from adaption.pycaffe.errors import CropError, FieldError, MapError
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

Fractions = NDArray[Any]  # of Fraction
CoordMap = tuple[int | None, Any, Any]  # axis (None: any), scale, shift; Fractions, or 1 and 0

IDENTITY: CoordMap = (None, 1, 0)

PASS_THROUGH_LAYERS: tuple[str, ...]  # Caffe's name; made when it is asked for


def __getattr__(name: str) -> Any:
    """PASS_THROUGH_LAYERS, the layer types that leave every coordinate where it is."""
    if name != "PASS_THROUGH_LAYERS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return tuple(t for t in known_types() if traits_of_type(t).moves_places() == "kept")


class UndefinedMapException(MapError):
    """A layer of this type, or with these settings, has no coordinate map."""


class AxisMismatchException(MapError):
    """Two maps belong to different axes."""


def coord_map(fn: Function) -> CoordMap:
    """The map from the coordinates of a layer's bottom to those of its top.

    Raises: UndefinedMapException when the layer does not keep places apart (InnerProduct).
    """
    layer = traits_of_type(fn.type_name)
    places = layer.moves_places()
    if places == "kept":
        return IDENTITY
    if not places or layer.param is None:
        raise UndefinedMapException(
            f"layer type {fn.type_name} has no coordinate map", "crop between spatial layers"
        )
    settings = _settings(fn, layer.param)
    if places == "cut":
        return int(settings.get("axis", 2)) - 1, 1, -_fractions(settings.get("offset", 0))
    kernel, stride = _sizes(settings, "kernel", None), _sizes(settings, "stride", 1)
    pad = _sizes(settings, "pad", 0)
    reach = (kernel - 1) * _fractions(settings.get("dilation", 1))  # last tap from the first
    axis = int(settings.get("axis", 1))
    if places == "spread":
        return axis, stride, reach / 2 - pad
    return axis, 1 / stride, (pad - reach / 2) / stride


def compose(base_map: CoordMap, next_map: CoordMap) -> CoordMap:
    """The map that does `next_map` first, then `base_map`. Raises: AxisMismatchException."""
    (base_axis, scale, shift), (axis, next_scale, next_shift) = base_map, next_map
    if base_axis is not None and axis is not None and base_axis != axis:
        raise AxisMismatchException(f"the maps are of axis {base_axis} and of axis {axis}")
    kept = axis if base_axis is None else base_axis
    return kept, scale * next_scale, scale * next_shift + shift


def inverse(coord_map: CoordMap) -> CoordMap:
    """The map the other way round."""
    axis, scale, shift = coord_map
    return axis, Fraction(1) / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> CoordMap:
    """The map from the coordinates of one top to those of another, by way of a common ancestor.

    Raises: LayerError when spatial layers do not connect them.
    """
    from_maps = _maps_to_ancestors(top_from)
    to_maps = {top_to: IDENTITY}
    waiting = [top_to]
    while waiting:
        top = waiting.pop()
        if top in from_maps:
            return compose(to_maps[top], inverse(from_maps[top]))
        waiting += _step(top, to_maps)
    raise MapError(
        f"no coordinate map from a {top_from.fn.type_name} to a {top_to.fn.type_name} top",
        "both have to come from one top through spatial layers",
    )


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer that cuts `top_from` to the part that lies under `top_to`.

    Raises: CropError, an AssertionError, when their scales differ, or the offset is negative or no
        whole number.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    scales, offsets = np.atleast_1d(scale), -np.atleast_1d(shift)
    fix = "choose kernel, stride and pad so that both tops have pixels in the same places"
    if any(s != 1 for s in scales):
        raise CropError(f"scales differ by {_shown(scales)}, a crop needs 1", fix)
    if any(o < 0 for o in offsets):
        raise CropError(f"the crop would start at {_shown(offsets)}, allowed: 0 or more", fix)
    if any(Fraction(o).denominator != 1 for o in offsets):
        raise CropError(f"the crop would start at {_shown(offsets)}, between two pixels", fix)
    settings = {"axis": 2 if axis is None else axis + 1, "offset": [int(o) for o in offsets]}
    made: Top = layers.Crop(top_from, top_to, crop_param=settings)
    return made


def _maps_to_ancestors(top: Top) -> dict[Top, CoordMap]:
    maps = {top: IDENTITY}
    waiting = [top]
    while waiting:
        waiting += _step(waiting.pop(), maps)
    return maps


def _step(top: Top, maps: dict[Top, CoordMap]) -> list[Top]:
    """Add the maps of a top's bottoms, where it has any; gives the bottoms that are new."""
    # The second bottom of a layer that cuts only lends its size.
    is_cut = traits_of_type(top.fn.type_name).moves_places() == "cut"
    bottoms = top.fn.inputs[:1] if is_cut else top.fn.inputs
    fresh = [bottom for bottom in bottoms if bottom not in maps]
    if not fresh:
        return []
    try:
        step = compose(maps[top], coord_map(top.fn))
    except UndefinedMapException:
        return []
    maps.update(dict.fromkeys(fresh, step))
    return fresh


def _settings(fn: Function, field: str) -> Mapping[str, Any]:
    settings: Mapping[str, Any] = fn.params.get(field, fn.params)
    return settings


def _sizes(settings: Mapping[str, Any], name: str, default: int | None) -> Fractions:
    """A size per axis, from the forms that the proto has: kernel_size, or kernel_h and kernel_w."""
    if f"{name}_h" in settings or f"{name}_w" in settings:
        return _fractions([settings.get(f"{name}_{side}", default or 0) for side in "hw"])
    key = "kernel_size" if name == "kernel" else name
    if key not in settings and default is None:
        raise UndefinedMapException(f"{key} is not set, so there is no coordinate map")
    return _fractions(settings.get(key, default))


def _fractions(value: Any) -> Fractions:
    try:
        return np.array([Fraction(int(v)) for v in np.atleast_1d(value)], dtype=object)
    except (TypeError, ValueError):
        raise FieldError("size", value, "whole numbers") from None


def _shown(values: Fractions) -> str:
    return ", ".join(str(v) for v in values)
