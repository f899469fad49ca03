"""What callers of Net give in several forms, in the one that it works with."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adaption.errors import ShapeError, UsageError, near_and_all
from adaption.graph import NetSpec, NetState, build_spec
from adaption.io.caffemodel import Weights
from adaption.io.netfile import NetFile, read_net
from adaption.net.blob import Blob

__all__ = ["PathLike", "as_spec", "each", "fill_inputs", "place_of"]

PathLike = str | os.PathLike[str]


def as_spec(
    net: PathLike | NetFile | NetSpec, state: NetState, dialect: str | None
) -> tuple[NetSpec, list[str]]:
    """The net in this state, and what its file holds that is unknown."""
    if isinstance(net, NetSpec):
        return net if dialect is None else replace(net, dialect=dialect), []
    if not isinstance(net, NetFile):
        net = read_net(net)
    spec = build_spec(
        net.message,
        state,
        file=net.file,
        lines=net.lines,
        dialect=dialect,
        unknown=net.unknown,
    )
    return spec, [str(notice) for notice in net.notices]


def _own_copy(name: str, value: Any, device: torch.device) -> Tensor:
    """`value` as a float32 tensor on the device that shares no memory with it."""
    if isinstance(value, Tensor):
        return value.detach().to(device, torch.float32, copy=True).contiguous()
    try:
        return torch.from_numpy(np.array(value, np.float32, order="C")).to(device)
    except (TypeError, ValueError) as error:
        raise UsageError(f'input "{name}" is no array of numbers: {error}') from None


def fill_inputs(
    blobs: Mapping[str, Blob],
    values: Mapping[str, Any],
    spec: NetSpec,
    device: torch.device,
) -> None:
    """Write arrays or tensors to the blobs of these names, copied.

    Raises: UsageError on an unknown name; ShapeError on another number of axes.
    """
    for name, value in values.items():
        if name not in blobs:
            fix = near_and_all(name, spec.inputs, "its inputs:")
            raise UsageError(f"the net has no blob {name!r}", fix)
        tensor = _own_copy(name, value, device)
        blob = blobs[name]
        if tensor.dim() != len(blob.shape):
            raise ShapeError(
                f'input "{name}" has shape {tuple(tensor.shape)}, the net has {blob.shape}'
            ).at(file=spec.file)
        blob.set(tensor)


def are_finite(blobs: Iterable[Blob]) -> bool:
    """Whether the blobs that lie on the host hold neither NaN nor infinity, and no values so large
    that their sum is infinite. If not, layers run one by one: oneDNN's ReLU makes 0 of NaN."""
    tensors = (blob.tensor for blob in blobs)
    return all(x.device.type != "cpu" or math.isfinite(float(x.sum())) for x in tensors)


def each(
    weights: PathLike | Weights | Sequence[PathLike | Weights] | None,
) -> Sequence[PathLike | Weights]:
    """The weights, one after the other."""
    if weights is None:
        return ()
    if isinstance(weights, str | os.PathLike | Weights):
        return (weights,)
    return weights


def place_of(layer: str | int, names: Sequence[str]) -> int:
    """Place of a layer among all, by its name or that place. Raises: UsageError."""
    if isinstance(layer, int):
        if not 0 <= layer < len(names):
            raise UsageError(f"the net has no layer {layer}", f"it has {len(names)}, from 0 on")
        return layer
    if layer not in names:
        fix = near_and_all(layer, names, "its layers:")
        raise UsageError(f"the net has no layer {layer!r}", fix)
    return names.index(layer)
