"""Blob: a named array and its gradient, writable through numpy. Caffe: blob.hpp."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from adaption.errors import ShapeError

__all__ = ["Blob", "Master", "SharedBlob"]


class Master(nn.Parameter):
    """A parameter that counts uses of `.data`, torch's way around its own version counter."""

    bypasses = 0

    @property
    def data(self) -> Tensor:
        self.bypasses += 1
        values: Tensor = Tensor.data.__get__(self)  # type: ignore[attr-defined]
        return values

    @data.setter
    def data(self, value: Tensor) -> None:
        self.bypasses += 1
        Tensor.data.__set__(self, value)  # type: ignore[attr-defined]


class Blob:
    """Data and diff of one blob, float32, allocated at first use.

    `data` and `diff` are numpy views of the same memory as `tensor` and `grad`. As under pycaffe
    a view stays valid, and shows new values after each pass, until the blob is reshaped.
    """

    def __init__(self, shape: Sequence[int] = (), tensor: Tensor | None = None) -> None:
        self.shape: tuple[int, ...] = tuple(tensor.shape if tensor is not None else shape)
        self._data = tensor
        self._own_diff: Tensor | None = None
        self._view: weakref.ref[NDArray[np.float32]] | None = None
        self._diff_exposed = False
        self._changes = 0  # how often the data may have changed without torch's knowledge
        self._is_shared = False  # another blob's writes change this one's data
        self._maker: Callable[[], None] | None = None  # of data that follows from another blob's

    def __getstate__(self) -> dict[str, Any]:
        """For a copy: the view that is out shows the memory of this one."""
        return vars(self) | {"_view": None}

    @property
    def device(self) -> torch.device:
        """Where the net computes with this blob; `data` and `diff` are on the host anyway."""
        return torch.device("cpu")

    @property
    def tensor(self) -> Tensor:
        """The values as a torch tensor, zeros when nothing has been written."""
        if self._maker is not None:
            self._make()
        if self._data is None:
            self._data = self._zeros()
        return self._data

    @property
    def grad(self) -> Tensor:
        """The diff as a torch tensor, zeros when nothing has been written."""
        if self._diff is None:
            self._diff = self._zeros()
        diff = self._diff
        assert diff is not None
        return diff

    @property
    def data(self) -> NDArray[np.float32]:
        if self._maker is not None:
            self._make()
        view = self._view() if self._view is not None else None
        if view is None:
            if not self.tensor.is_contiguous():
                self._data = self.tensor.contiguous()
            view = self.tensor.detach().numpy()
            # Slices and torch tensors made of the view keep it alive, so this sees them, too.
            self._view = weakref.ref(view)
        self._changes += 1
        return view

    @property
    def diff(self) -> NDArray[np.float32]:
        if not self._diff_exposed:
            # Autograd may have handed the same memory to the diffs of several blobs.
            self._diff = self.grad.clone(memory_format=torch.contiguous_format)
            self._diff_exposed = True
        view: NDArray[np.float32] = self.grad.detach().numpy()
        return view

    def follow(self, maker: Callable[[], None] | None) -> None:
        """Call `maker`, which writes this blob, whenever somebody asks for its data; None: stop."""
        self._maker = maker

    def _make(self) -> None:
        assert self._maker is not None
        maker = self._maker
        with self.at_rest():
            maker()

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Leave the data as it is, whoever asks for it: its maker does."""
        maker, self._maker = self._maker, None
        try:
            yield
        finally:
            self._maker = maker

    @property
    def is_exposed(self) -> bool:
        """Whether somebody holds a numpy view of the data, which can change it unseen."""
        return self._view is not None and self._view() is not None

    @property
    def may_change_unseen(self) -> bool:
        """Whether somebody else holds the memory of the data, and can write it."""
        return self.is_exposed or self._is_shared

    def stamp(self) -> object:
        """Equal stamps mean equal data, whether numpy or torch wrote it; compare with ==."""
        if self.may_change_unseen:
            return object()
        tensor = self.tensor
        return self._changes, tensor._version, getattr(tensor, "bypasses", 0)

    def stamp_at_rest(self) -> object:
        """`stamp` of the data as it is, without asking its maker."""
        with self.at_rest():
            return self.stamp()

    @property
    def _diff(self) -> Tensor | None:
        """A parameter's diff is its `grad`, so that torch.optim sees it and can clear it."""
        return self._data.grad if isinstance(self._data, Master) else self._own_diff

    @_diff.setter
    def _diff(self, value: Tensor | None) -> None:
        if isinstance(self._data, Master):
            self._data.grad = value
        else:
            self._own_diff = value

    def set(self, value: Tensor) -> None:
        """Take `value` as the data; memory that a numpy view shows is written, not replaced."""
        if self.is_exposed and value.shape == self.shape:
            with torch.no_grad():
                self.tensor.copy_(value)
            return
        self.shape = tuple(value.shape)
        self._data = value
        self._view = None
        self._changes += 1
        if self._diff is not None and self._diff.shape != value.shape:
            self._diff, self._diff_exposed = None, False

    def release(self) -> None:
        """Give the memory back before new values are made, which can take it: memory that was not
        touched before costs more than many a layer. Until `set` the blob then shows zeros."""
        if not (self.may_change_unseen or isinstance(self._data, Master)):
            self._data = None

    def write(self, values: NDArray[np.float32]) -> None:
        """Copy values of the same count into the data, straight from a mapped file if need be."""
        np.copyto(self.tensor.detach().numpy(), values.reshape(self.shape))
        self._changes += 1

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

    def as_parameter(self) -> Master:
        """The data as an nn.Parameter, whose `grad` is the diff from now on."""
        if not isinstance(self._data, Master):
            diff = self._own_diff
            self._data = Master(self.tensor, requires_grad=False)
            self._diff, self._own_diff = diff, None
        return self._data

    def reshape(self, *shape: int) -> None:
        """Give the blob another shape; contents become zeros when the shape changes."""
        shape = tuple(index(d) for d in shape)
        if any(d < 0 for d in shape):
            raise ShapeError(f"blob shape is {shape}, allowed: sizes of 0 or more")
        if tuple(shape) == self.shape:
            return
        self.shape = tuple(shape)
        self._diff, self._diff_exposed = None, False
        if isinstance(self._data, Master):
            self._data.data = self._zeros()  # still the parameter that an optimizer holds
        else:
            self._data = None
        self._view = None
        self._changes += 1

    def share_data(self, owner: Blob) -> None:
        """Show the data of `owner` from now on; the diff stays this blob's own.

        Raises: ShapeError when the shapes differ. Caffe: Blob::ShareData.
        """
        if owner.shape != self.shape:
            raise ShapeError(f"the blobs to share have shapes {self.shape} and {owner.shape}")
        if owner is self:
            return
        owner.settle()
        if isinstance(self._data, Master):
            self._data.data = owner.tensor.detach()  # still the parameter an optimizer holds
        else:
            self._data = owner.tensor.detach()
        self._view = None
        self.mark_shared()
        owner.mark_shared()

    def settle(self) -> None:
        """Move the data for the last time: a view needs contiguous memory."""
        _ = self.data

    def sync(self) -> None:
        """Let torch see what numpy wrote; nothing to do where both work on one memory."""

    def mark_shared(self) -> None:
        """Take the data as changed whenever somebody asks: several blobs write it."""
        self._is_shared = True

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

    def held_again(self) -> Blob:
        """Another object for the same data in the same memory; no maker writes it through this."""
        made = copy.copy(self)
        made._maker = None
        return made

    def _zeros(self) -> Tensor:
        # Blobs are float32 and writable whatever mode torch is in when they are first used.
        with torch.inference_mode(False):
            return torch.zeros(self.shape, dtype=torch.float32)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        """np.asarray(blob): the data, in the memory of the blob where the type stays.

        Raises: ValueError when a copy is forbidden and needed.
        """
        values = self.data
        if dtype is None or np.dtype(dtype) == values.dtype:
            return values.copy() if copy else values
        if copy is False:
            raise ValueError(f"the data is {values.dtype}: {np.dtype(dtype)} needs a copy")
        return values.astype(dtype)

    def __repr__(self) -> str:
        return f"Blob{self.shape}"


class SharedBlob(Blob):
    """Data and diff of another blob in another shape of the same count (share_mode PERMISSIVE)."""

    def __init__(self, owner: Blob, shape: Sequence[int]) -> None:
        super().__init__(shape)
        self.owner = owner

    @property
    def device(self) -> torch.device:
        return self.owner.device

    @property
    def tensor(self) -> Tensor:
        return self.owner.tensor.detach().view(self.shape)

    @property
    def grad(self) -> Tensor:
        return self.owner.grad.view(self.shape)

    @property
    def data(self) -> NDArray[np.float32]:
        return self.owner.data.reshape(self.shape)

    @property
    def diff(self) -> NDArray[np.float32]:
        return self.owner.diff.reshape(self.shape)

    @property
    def is_exposed(self) -> bool:
        return self.owner.is_exposed

    def stamp(self) -> object:
        return self.owner.stamp()

    def share_data(self, owner: Blob) -> None:
        """Nothing to do: the blob that this one shows is shared under its own layer's name."""

    def settle(self) -> None:
        self.owner.settle()

    def sync(self) -> None:
        self.owner.sync()

    def mark_shared(self) -> None:
        self.owner.mark_shared()

    def set(self, value: Tensor) -> None:
        self.owner.set(value.reshape(self.owner.shape))

    def write(self, values: NDArray[np.float32]) -> None:
        self.owner.write(values)

    def set_grad(self, value: Tensor | None) -> None:
        self.owner.set_grad(None if value is None else value.reshape(self.owner.shape))

    def add_grad(self, value: Tensor) -> None:
        self.owner.add_grad(value.reshape(self.owner.shape))
