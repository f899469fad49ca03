"""A second memory that behaves as a CUDA device, for tests on machines without one.

Within `pretended_cuda()` a tensor counts as lying on cuda:0 when it was made or moved there, or
computed from tensors there; its values lie in host memory of its own. What CUDA refuses is
refused: operations on tensors of both devices, numpy arrays of a tensor on the device, and a
generator of the other device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["CUDA", "pretended_cuda"]

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")

_aten = torch.ops.aten
_MOVES = {_aten.copy_.default}  # the operations that take tensors of two devices
# These take indices on the host, too; index 1 of their arguments.
_INDEXED = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default}


class _Memory:
    """Which storages lie on the device. Weak references keep their addresses from being reused."""

    def __init__(self) -> None:
        self._there: dict[int, StorageWeakRef] = {}

    def device_of(self, tensor: Tensor) -> torch.device:
        if tensor.is_mkldnn:  # oneDNN's own layout, without a storage
            return CPU
        return CUDA if tensor.untyped_storage()._cdata in self._there else CPU

    def put(self, made: Any, device: torch.device) -> Any:
        for tensor in _tensors(made):
            storage = tensor.untyped_storage()
            if device.type == "cuda":
                self._there[storage._cdata] = StorageWeakRef(storage)
            else:
                self._there.pop(storage._cdata, None)
        return made


_memory = _Memory()  # one for the process, since tensors may be kept from block to block


class _Calls(TorchFunctionMode):
    """Calls from Python: what names a device, and what only the host can do."""

    def __init__(self, memory: _Memory) -> None:
        super().__init__()
        self.memory = memory

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if name == "__get__" and first is not None:
            asked = getattr(getattr(func, "__self__", None), "__name__", "")
            device = self.memory.device_of(first)
            if asked in ("device", "is_cuda", "is_cpu"):
                return {"device": device}.get(asked, asked == f"is_{device.type}")
        if name in ("numpy", "__array__") and first is not None:
            if self.memory.device_of(first) == CUDA:
                raise TypeError(
                    "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy"
                    " the tensor to host memory first."
                )
        if name in ("to", "cpu", "cuda") and first is not None:
            return self._move(name, first, args[1:], kwargs)
        return self._call(func, name, args, kwargs)

    def _call(self, func: Callable[..., Any], name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        device = kwargs.pop("device", None)
        made = func(*args, **kwargs)
        if device is not None:
            self.memory.put(made, torch.device(device))
        elif name.startswith("new_"):
            self.memory.put(made, self.memory.device_of(args[0]))
        generator = kwargs.get("generator")
        if generator is not None:
            for tensor in _tensors(made):
                found, wanted = generator.device, self.memory.device_of(tensor)
                if found != wanted:
                    raise RuntimeError(
                        f"Expected a {wanted.type!r} device type for generator but found"
                        f" {found.type!r}"
                    )
        return made

    def _move(self, name: str, tensor: Tensor, args: Any, kwargs: dict[str, Any]) -> Tensor:
        here = self.memory.device_of(tensor)
        copy = kwargs.pop("copy", False)
        device = {"cpu": CPU, "cuda": CUDA}.get(name)
        dtype = tensor.dtype
        if name == "to" and args and isinstance(args[0], Tensor):
            device, dtype = self.memory.device_of(args[0]), args[0].dtype
        elif name == "to":
            # torch's own parser knows every spelling; it must not see that there is no CUDA.
            device, parsed, _, _ = torch._C._nn._parse_to(*args, **kwargs)
            dtype = parsed or dtype
        device = here if device is None else torch.device(device)
        if device == here and dtype == tensor.dtype and not copy:
            return tensor
        return self.memory.put(tensor.to(dtype, copy=True), device)  # type: ignore[no-any-return]


class _Operations(TorchDispatchMode):
    """Operations of the kernels, those of the backward pass too: where their results lie."""

    def __init__(self, memory: _Memory) -> None:
        super().__init__()
        self.memory = memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():
            given = list(_tensors((args, kwargs)))
            is_there = any(self.memory.device_of(t) == CUDA for t in given)
            if is_there and func not in _MOVES:
                self._check(func, args, kwargs)
            made = func(*args, **(kwargs or {}))
            if is_there and func not in _MOVES:
                self.memory.put(made, CUDA)
            return made

    def _check(self, func: Any, args: Any, kwargs: Any) -> None:
        if func in _INDEXED:
            args = (args[0], *args[2:])
        # Single values may come from the host.
        given = [t for t in _tensors((args, kwargs)) if t.dim()]
        if len({self.memory.device_of(t) for t in given}) > 1:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices,"
                f" cuda:0 and cpu! ({func})"
            )


class _Generator(torch.Generator):
    """A generator that says it is the device's; its numbers are the host's."""

    _device = CPU

    def __new__(cls, device: torch.device | str = CPU) -> _Generator:
        made: _Generator = super().__new__(cls)
        made._device = torch.device(device)
        return made

    def __init__(self, device: torch.device | str = CPU) -> None:
        super().__init__()

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self._device


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _backward_within(calls: _Calls) -> AbstractContextManager[Any]:
    """Check the calls of backward passes, too: those within torch.autograd.grad are not seen."""

    def within(run: Callable[..., Any]) -> Callable[..., Any]:
        def backward(*args: Any, **kwargs: Any) -> Any:
            with calls:
                return run(*args, **kwargs)

        return backward

    autograd: Any = torch.autograd
    if hasattr(autograd, "_engine_run_backward"):
        run = within(autograd._engine_run_backward)
        return mock.patch.object(autograd, "_engine_run_backward", run)
    run = within(autograd.Variable._execution_engine.run_backward)  # torch 2.2
    engine = SimpleNamespace(run_backward=run)
    return mock.patch.object(autograd.Variable, "_execution_engine", engine)


@contextmanager
def pretended_cuda() -> Iterator[None]:
    """torch has one CUDA device, cuda:0, until the end of the block."""
    calls = _Calls(_memory)
    cuda = {"is_available": lambda: True, "device_count": lambda: 1, "current_device": lambda: 0}
    cuda["is_current_stream_capturing"] = lambda: False
    # An optimizer asks it for CUDA's current stream, which is not pretended.
    accelerator = getattr(torch, "accelerator", SimpleNamespace())  # torch 2.2 has none
    with (
        mock.patch.multiple(torch.cuda, **cuda),
        mock.patch.object(
            accelerator, "current_accelerator", lambda check_available=False: None, create=True
        ),
        mock.patch.object(torch, "Generator", _Generator),
        _backward_within(calls),
        _Operations(_memory),
        calls,
    ):
        yield
