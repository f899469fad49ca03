"""What a comparison runs on: the caller's samples, or random ones, in pieces that fit the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adaption.errors import ShapeError, UsageError, listed, near_miss
from adaption.exact.reference import run_layers
from adaption.exact.selection import members
from adaption.export.onnx.model import Model
from adaption.net import Net
from adaption.numerics import FixedPoint

__all__ = ["given_or_random", "on_grids", "pieces"]

CHUNK_BYTES = 2**26  # of blobs that are compared at once
SAMPLES = 4


def given_or_random(
    net: Net, model: Model, inputs: Mapping[str, npt.ArrayLike] | None, seed: int
) -> dict[str, Tensor]:
    """Values for the model's inputs, float32.

    Without `inputs`, one batch of the net's data layers, and random values for Input layers: in
    the range of the first activation point, else of variance 1.

    Raises: UsageError when an input is missing or unknown; ShapeError when one does not fit.
    """
    if inputs is None:
        return {**_random(net, model, seed), **_from_data_layers(net, model)}
    missing = [name for name in model.inputs if name not in inputs]
    unknown = [name for name in inputs if name not in net.blobs]
    if missing or unknown:
        near = near_miss(unknown[0], missing) if unknown else ""
        raise UsageError(
            f"inputs are given for {', '.join(map(repr, inputs)) or 'no blob'}",
            f"{near} give one array for each of {listed(map(repr, model.inputs))}".lstrip(),
        )
    values = {}
    for name in model.inputs:
        value = torch.as_tensor(np.asarray(inputs[name], np.float32))
        own = tuple(net.blobs[name].shape)
        free = int(name in model.batched)  # axes whose size may differ
        if value.dim() != len(own) or tuple(value.shape[free:]) != own[free:] or not value.numel():
            raise ShapeError(
                f'input "{name}" has shape {tuple(value.shape)}, the net has {own}',
                "the first axis counts the samples; for other sizes, forward the net on them and"
                " export it again"
                if free
                else "",
            )
        values[name] = value
    lengths = {len(values[name]) for name in model.batched}
    if len(lengths) > 1:
        raise ShapeError(f"inputs have {sorted(lengths)} samples, allowed: as many each")
    return values


def on_grids(
    values: Mapping[str, npt.NDArray[Any]], formats: Mapping[str, FixedPoint]
) -> dict[str, npt.NDArray[Any]]:
    """The values by input blob, rounded where an input has a format."""
    return {
        name: formats[name].quantize(torch.from_numpy(np.array(x))).numpy()
        if name in formats
        else x
        for name, x in values.items()
    }


def _from_data_layers(net: Net, model: Model) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for member in members(net):
        wanted = set(member.spec.tops) & set(model.inputs)
        if member.node.layer.is_source and not member.spec.is_input and wanted:
            tops = member.node.forward([], record=False)
            named = zip(member.spec.tops, tops, strict=True)
            found.update((name, top) for name, top in named if name in wanted)
    return found


def _random(net: Net, model: Model, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    samples = model.batch or max(1, min(SAMPLES, CHUNK_BYTES // _sample_bytes(net, model)))
    values = {}
    for name in model.inputs:
        shape = tuple(net.blobs[name].shape)
        if name in model.batched:
            shape = (samples, *shape[1:])
        values[name] = torch.randn(shape, generator=generator)
    if any(m.node.formats.activation for m in model.selection.members):
        for run in run_layers(model.selection, values):
            fmt = run.member.node.formats.activation
            if isinstance(fmt, FixedPoint):
                peak = max(float(x.abs().max()) for x in run.before)
                steps = np.log2(fmt.max_value / peak) if peak > 0 else 0.0
                scale = 2.0 ** float(np.clip(np.floor(steps), -10, 10))
                return {name: value * scale for name, value in values.items()}
    return values


def pieces(
    net: Net, model: Model, values: Mapping[str, Tensor]
) -> Iterator[tuple[dict[str, Tensor], int]]:
    """The values in pieces of a batch each, and how many samples of each piece are new.

    A model of fixed batch size gets its last piece filled up with samples from the front.
    """
    if not model.batched:
        yield dict(values), 1
        return
    samples = len(values[model.batched[0]])
    batch = model.batch
    if batch is None:
        batch = max(1, CHUNK_BYTES // _sample_bytes(net, model))
    for start in range(0, samples, batch):
        end = min(start + batch, samples)
        index = torch.arange(start, start + model.batch if model.batch else end) % samples
        piece = {n: v[index] if n in model.batched else v for n, v in values.items()}
        yield piece, end - start


def _sample_bytes(net: Net, model: Model) -> int:
    """Size of all blobs for one sample."""
    own = net.blobs[model.batched[0]].shape[0] if model.batched else 1
    return max(1, 4 * sum(b.count for b in net.blobs.values()) // max(1, own))
