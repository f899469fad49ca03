"""Sizes along spatial axes, shared by the convolution family and pooling."""

from __future__ import annotations

from collections.abc import Sequence

from adaption.errors import FieldError

__all__ = ["per_axis"]


def per_axis(
    name: str,
    repeated: Sequence[int],
    hw: tuple[int | None, int | None],
    axes: int,
    default: int | None,
    least: int,
) -> tuple[int, ...]:
    """One value per spatial axis from `name: v`, repeated `name: v`, or `name_h` and `name_w`.

    Raises: FieldError when the forms are mixed, the number of values does not fit the axes, or a
        value is below `least`. Caffe: base_conv_layer.cpp, LayerSetUp.
    """
    if any(v is not None for v in hw):
        if repeated:
            raise FieldError(name, list(repeated), f"{name}_h and {name}_w, or {name}, not both")
        if axes != 2:
            raise FieldError(f"{name}_h", hw[0], f"2 spatial axes, this blob has {axes}")
        values: tuple[int | None, ...] = tuple(default if v is None else v for v in hw)
    elif len(repeated) == axes:
        values = tuple(repeated)
    elif len(repeated) in (0, 1):
        values = (repeated[0] if repeated else default,) * axes
    else:
        raise FieldError(name, list(repeated), f"one value, or one per spatial axis ({axes})")
    for value in values:
        if value is None or value < least:
            raise FieldError(name, "missing" if value is None else value, f"{least} or more")
    return tuple(v for v in values if v is not None)
