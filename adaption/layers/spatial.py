"""Sizes along spatial axes, shared by the convolution family and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from adaption.errors import FieldError
from adaption.later import Tensor, torch

__all__ = ["gather_windows", "per_axis", "window_text"]


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


def gather_windows(x: Tensor, picks: Tensor, read: Sequence[Tensor]) -> Tensor:
    """The windows that some values of a top see, as rows.

    Args:
        x: (N, C, spatial axes ...).
        picks: (M,), which values of one channel of the top, counted over samples and places.
        read: per spatial axis (places of the top, size of the kernel): the place of `x` that is
            read there, -1 where none is.
    Returns: (M, C, values of the kernel).
    """
    sizes = x.shape[2:]
    n, *places = torch.unravel_index(picks, (x.shape[0], *(len(one) for one in read)))
    at = n.new_zeros(len(picks), 1)
    is_outside = torch.zeros_like(at, dtype=torch.bool)
    reaches_out = any(bool((one < 0).any()) for one in read)
    for size, one, place in zip(sizes, read, places, strict=True):
        along = one[place].unsqueeze(1)
        at = (at.unsqueeze(2) * size + along).flatten(1)
        if reaches_out:
            is_outside = (is_outside.unsqueeze(2) | (along < 0)).flatten(1)
    at += n.unsqueeze(1) * prod(sizes)
    rows = x.flatten(2).transpose(1, 2).reshape(-1, x.shape[1])
    if reaches_out:  # one more row holds zeros
        at.masked_fill_(is_outside, len(rows))
        rows = torch.cat([rows, rows.new_zeros(1, x.shape[1])])
    return rows[at].transpose(1, 2)


def window_text(param: Any) -> list[str]:
    """Kernel, stride and pad as far as they are set: ["5x5", "stride 2", "pad 1"]."""
    kernel = _sides(param, "kernel", "kernel_size")
    if len(kernel) == 1:
        kernel *= 2  # one number stands for both sides
    shown = ["x".join(str(side) for side in kernel)] if kernel else []
    for name, neutral in (("stride", 1), ("pad", 0), ("dilation", 1)):
        sides = _sides(param, name, name)
        if any(side != neutral for side in sides):
            shown.append(f"{name} {'x'.join(str(side) for side in sides)}")
    return shown


def _sides(param: Any, name: str, field: str) -> list[int]:
    known = param.DESCRIPTOR.fields_by_name
    if f"{name}_h" in known and (param.HasField(f"{name}_h") or param.HasField(f"{name}_w")):
        return [getattr(param, f"{name}_h"), getattr(param, f"{name}_w")]
    if field not in known:
        return []
    value = getattr(param, field)
    sides = [value] if isinstance(value, int) else list(value)
    return sides[:1] if len(set(sides)) == 1 else sides
