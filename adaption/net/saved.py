"""What autograd keeps of a layer's forward pass: less than the tensors that it has read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

__all__ = ["Alias", "saving_instead"]


@contextmanager
def saving_instead(remade: Mapping[int, Callable[[], Tensor]]) -> Iterator[None]:
    """Let autograd keep, of tensors in the memory at these addresses, only what makes them again.

    The tensors must stay alive in the meantime, or their memory may become another's.
    """
    if not remade:
        yield
        return

    def pack(saved: Tensor) -> Tensor | Callable[[], Tensor]:
        again = remade.get(saved.untyped_storage().data_ptr())
        if again is None:
            return saved
        form = saved.size(), saved.stride(), saved.storage_offset()
        return lambda: again().as_strided(*form)

    def unpack(kept: Tensor | Callable[[], Tensor]) -> Tensor:
        return kept if isinstance(kept, Tensor) else kept()

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield


class Alias(torch.autograd.Function):
    """The same memory, no leaf any more."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.detach()

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        return grad[0]
