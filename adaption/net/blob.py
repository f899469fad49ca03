"""Blob: a named array and its gradient, writable through numpy. Caffe: blob.hpp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adaption.errors import ShapeError

__all__ = ["Blob"]


class Blob:
    """Data and diff of one blob, float32, allocated at first use.

    `data` and `diff` are numpy views of the same memory as `tensor` and `grad`. A view stays
    valid, and shows new values after each pass, until the blob is reshaped, as under pycaffe.
    """

    def __init__(self, shape: Sequence[int] = (), tensor: Tensor | None = None) -> None:
        self.shape: tuple[int, ...] = tuple(tensor.shape if tensor is not None else shape)
        self._data = tensor
        self._diff: Tensor | None = None
        self.is_exposed = False  # a numpy view of the data is out: it can change unseen
        self._diff_exposed = False

    @property
    def tensor(self) -> Tensor:
        """The values as a torch tensor, zeros when nothing has been written."""
        if self._data is None:
            self._data = torch.zeros(self.shape)
        return self._data

    @property
    def grad(self) -> Tensor:
        """The diff as a torch tensor, zeros when nothing has been written."""
        if self._diff is None:
            self._diff = torch.zeros(self.shape)
        return self._diff

    @property
    def data(self) -> NDArray[np.float32]:
        self.is_exposed = True
        view: NDArray[np.float32] = self.tensor.detach().numpy()
        return view

    @property
    def diff(self) -> NDArray[np.float32]:
        self._diff_exposed = True
        view: NDArray[np.float32] = self.grad.detach().numpy()
        return view

    def set(self, value: Tensor) -> None:
        """Take `value` as the data; memory that a numpy view shows is written, not replaced."""
        if self.is_exposed and value.shape == self.shape:
            with torch.no_grad():
                self.tensor.copy_(value)
            return
        self.shape = tuple(value.shape)
        self._data = value
        self.is_exposed = False
        if self._diff is not None and self._diff.shape != value.shape:
            self._diff, self._diff_exposed = None, False

    def write(self, values: NDArray[np.float32]) -> None:
        """Copy values of the same count into the data, straight from a mapped file if need be."""
        np.copyto(self.tensor.detach().numpy(), values.reshape(self.shape))
        torch.autograd.graph.increment_version(self.tensor)

    def set_grad(self, value: Tensor | None) -> None:
        """Take `value` as the diff; None means zeros."""
        if self._diff_exposed and (value is None or value.shape == self.shape):
            with torch.no_grad():
                self.grad.zero_() if value is None else self.grad.copy_(value)
        else:
            self._diff, self._diff_exposed = value, False

    def add_grad(self, value: Tensor) -> None:
        """Accumulate into the diff, as Caffe's parameter gradients do."""
        with torch.no_grad():
            if self._diff is None:
                self._diff = value.detach().clone()
            else:
                self._diff.add_(value)

    def adopt(self, tensor: Tensor) -> None:
        """Hold `tensor` instead of the present one; it must show the same memory."""
        self._data = tensor

    def viewed_as(self, shape: Sequence[int]) -> Blob:
        """A blob of another shape and the same count that shares data and diff with this one."""
        view = Blob(tensor=self.tensor.detach().view(*shape))
        if self._diff is None:
            self._diff = torch.zeros(self.shape)
        self._diff_exposed = view._diff_exposed = True  # written in place from now on, by both
        view._diff = self._diff.view(*shape)
        return view

    def reshape(self, *shape: int) -> None:
        """Give the blob another shape; contents become zeros when the shape changes."""
        if any(d < 0 for d in shape):
            raise ShapeError(f"blob shape is {shape}, allowed: sizes of 0 or more")
        if tuple(shape) == self.shape:
            return
        self.shape = tuple(shape)
        self._data = self._diff = None
        self.is_exposed = self._diff_exposed = False

    @property
    def count(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def legacy_axis(self, axis: int) -> int:
        """Size of axis 0..3 under Caffe's 4-D view of a blob of up to four axes."""
        if len(self.shape) > 4:
            raise ShapeError(
                f"num, channels, height and width need a blob of at most 4 axes, this has"
                f" {len(self.shape)}",
                "use .shape",
            )
        return self.shape[axis] if axis < len(self.shape) else 1

    num = property(lambda self: self.legacy_axis(0))
    channels = property(lambda self: self.legacy_axis(1))
    height = property(lambda self: self.legacy_axis(2))
    width = property(lambda self: self.legacy_axis(3))

    def __repr__(self) -> str:
        return f"Blob{self.shape}"
