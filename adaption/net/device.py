"""Devices: which one a net computes on, and float32 that is float32 there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from adaption.errors import UsageError, bad_choice

__all__ = ["as_device", "true_float32"]


def as_device(device: str | torch.device) -> torch.device:
    """The device of that name, with its number: "cpu", "cuda", "cuda:1".

    Raises: UsageError when there is no such device.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise bad_choice("device", str(device), ("cpu", "cuda", "cuda:0", "cuda:1"), ", ...")
    if found.type == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageError(
            "no CUDA device: torch.cuda.is_available() is False",
            "compute on the CPU, or install torch with CUDA and the driver of the GPU",
        )
    index = torch.cuda.current_device() if found.index is None else found.index
    count = torch.cuda.device_count()
    if index >= count:
        raise UsageError(
            f"no CUDA device {index}: torch.cuda.device_count() is {count}",
            f"give a number in 0..{count - 1}",
        )
    return torch.device("cuda", index)


@contextmanager
def true_float32(device: torch.device) -> Iterator[None]:
    """Within it, convolutions on a GPU keep the 24 bits of float32; torch lets cuDNN keep 11.

    Matrix products keep them by default, and follow torch's own switch.
    """
    if device.type == "cpu":
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
