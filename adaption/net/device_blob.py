"""DeviceBlob: a blob whose values lie on a GPU, and are lent to numpy. Caffe: syncedmem.cpp."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adaption.net.blob import Blob

__all__ = ["DeviceBlob", "new_blob"]


class Mirror:
    """The copy on the host of one tensor, from when numpy asks for it until nobody holds it.

    What is on the host counts as newer, since it may have been written there unseen (Caffe:
    mutable_cpu_data); unless torch has written the tensor since the two were last the same.
    """

    def __init__(self) -> None:
        self._tensor: Tensor | None = None
        self._host: Tensor | None = None
        self._view: weakref.ref[NDArray[np.float32]] | None = None
        self._stamp: object = None

    def __getstate__(self) -> dict[str, Any]:
        """For the mirror of a copy: the array that is lent is this one's."""
        return vars(Mirror())

    @property
    def has_copy(self) -> bool:
        """Whether values on the host may be newer."""
        return self._host is not None

    @property
    def is_held(self) -> bool:
        """Whether somebody holds the array, or something made of it."""
        return self._view is not None and self._view() is not None

    def lend(self, tensor: Tensor) -> NDArray[np.float32]:
        """An array of the tensor's values, to read and to write."""
        if self._host is None or self._host.shape != tensor.shape:
            self._host, self._view = torch.empty(tensor.shape, dtype=tensor.dtype), None
            self._copy_from(tensor)
        elif not self._is_copy_of(tensor):
            self._copy_from(tensor)
        view = self._view() if self._view is not None else None
        if view is None:
            view = self._host.numpy()
            # Slices and torch tensors made of the view keep it alive, so this sees them, too.
            self._view = weakref.ref(view)
        return view

    def push(self, tensor: Tensor) -> None:
        """Bring what may have been written on the host to the tensor."""
        if self._host is None:
            return
        if self._is_copy_of(tensor):
            # As numpy does on the CPU, it writes unseen by torch: what a pass has kept stays valid.
            bare: Tensor = Tensor.data.__get__(tensor)  # type: ignore[attr-defined]
            bare.copy_(self._host)
            if not self.is_held:
                self._host = self._tensor = None
        else:
            self.follow(tensor)

    def follow(self, tensor: Tensor) -> None:
        """Show what `tensor` holds; what was written on the host before is void."""
        if self._host is not None and self.is_held:
            self._copy_from(tensor)
        else:
            self._host = self._tensor = None

    def _copy_from(self, tensor: Tensor) -> None:
        assert self._host is not None
        self._host.copy_(tensor.detach())
        self._tensor, self._stamp = tensor, _stamp(tensor)

    def _is_copy_of(self, tensor: Tensor) -> bool:
        """Whether torch has not written since the copy, nor given other memory to the tensor."""
        known = self._tensor
        return known is not None and _is_same(known, tensor) and self._stamp == _stamp(known)


class DeviceBlob(Blob):
    """A blob on another device than the CPU.

    `data` and `diff` are arrays on the host. Whatever is written into them reaches the device
    before the net uses the blob again, and as long as one is held it shows what the net writes.
    Holding one costs a copy at each use of the blob. What torch writes into `tensor` or `grad` by
    itself, an optimizer's step say, shows up when `data` or `diff` is asked for.
    """

    def __init__(
        self, device: torch.device, shape: Sequence[int] = (), tensor: Tensor | None = None
    ) -> None:
        super().__init__(shape, tensor)
        self._device = device
        self._source = self  # whose data this one shares
        self._data_mirror = Mirror()
        self._diff_mirror = Mirror()

    def __getstate__(self) -> dict[str, Any]:
        self.sync()
        return super().__getstate__()

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def tensor(self) -> Tensor:
        if self._data_mirror.has_copy:
            self._data_mirror.push(self._mirrored)
        return super().tensor

    @property
    def _mirrored(self) -> Tensor:
        """The tensor whose writes are counted: of blobs that share data, that of the first."""
        own, first = super().tensor, self._source._data
        return first if first is not None and _is_same(first, own) else own

    @property
    def grad(self) -> Tensor:
        grad = super().grad
        self._diff_mirror.push(grad)
        return grad

    @property
    def data(self) -> NDArray[np.float32]:
        self._changes += 1
        if not super().tensor.is_contiguous():
            self._data = self.tensor.contiguous()
        return self._data_mirror.lend(self._mirrored)

    @property
    def diff(self) -> NDArray[np.float32]:
        if not self._diff_exposed:
            self._diff = super().grad.clone(memory_format=torch.contiguous_format)  # see Blob.diff
            self._diff_exposed = True
        return self._diff_mirror.lend(super().grad)

    @property
    def is_exposed(self) -> bool:
        return self._data_mirror.is_held

    def set(self, value: Tensor) -> None:
        if value is self._data:  # a constant top, which keeps what numpy wrote into it
            _ = self.tensor
            return
        if self.is_exposed and value.shape == self.shape:
            tensor = super().tensor
            with torch.no_grad():
                tensor.copy_(value)
            self._data_mirror.follow(self._mirrored)
            return
        self._source, self._data_mirror = self, Mirror()
        super().set(value)

    def release(self) -> None:
        """Nothing to do: torch hands a device's memory on by itself."""

    def write(self, values: NDArray[np.float32]) -> None:
        host = torch.empty(self.shape)
        np.copyto(host.numpy(), values.reshape(self.shape))
        super().tensor.detach().copy_(host)
        self._data_mirror.follow(self._mirrored)
        self._changes += 1

    def set_grad(self, value: Tensor | None) -> None:
        super().set_grad(value)
        self._follow_diff()

    def add_grad(self, value: Tensor) -> None:
        self._diff_mirror.push(super().grad)
        super().add_grad(value)
        self._follow_diff()

    def _follow_diff(self) -> None:
        if self._diff_exposed:
            self._diff_mirror.follow(super().grad)
        else:
            self._diff_mirror = Mirror()

    def reshape(self, *shape: int) -> None:
        before = self.shape
        super().reshape(*shape)
        if self.shape != before:
            self._source, self._data_mirror, self._diff_mirror = self, Mirror(), Mirror()

    def share_data(self, owner: Blob) -> None:
        super().share_data(owner)
        if isinstance(owner, DeviceBlob) and owner is not self:
            self._source, self._data_mirror = owner._source, owner._data_mirror

    def sync(self) -> None:
        """Bring what numpy wrote to the device, for torch code that has `tensor` or its `grad`."""
        if self._data is not None:
            self._data_mirror.push(self._mirrored)
        if self._diff is not None:
            self._diff_mirror.push(self._diff)

    def settle(self) -> None:
        """Nothing to do: numpy never sees the memory of the tensor."""

    def _zeros(self) -> Tensor:
        with torch.inference_mode(False):
            return torch.zeros(self.shape, dtype=torch.float32, device=self._device)


def new_blob(device: torch.device, shape: Sequence[int] = ()) -> Blob:
    """A blob of zeros on that device."""
    return Blob(shape) if device.type == "cpu" else DeviceBlob(device, shape)


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Whether both are all of one memory."""
    return bool(one.untyped_storage()._cdata == other.untyped_storage()._cdata)


def _stamp(tensor: Tensor) -> object:
    return tensor._version, getattr(tensor, "bypasses", 0)
