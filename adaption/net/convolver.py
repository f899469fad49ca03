"""Convolutions in inference: filters packed once, the fastest algorithm for their shape.

Which algorithm a convolution gets depends on its layer and on the size of its bottom, and on
nothing else: the same bottom gives the same bits in every pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adaption.errors import LayerError
from adaption.layers.convolution import Convolution
from adaption.net import winograd

__all__ = ["Convolver"]

Filters = tuple[Tensor, Tensor | None]  # and bias


class Convolver:
    """One Convolution over the last two of four axes, `pad` alike on both sides."""

    def __init__(self, layer: Convolution) -> None:
        self.layer = layer
        self.is_winograd = False
        self._key: object = None
        self._form = layer.geometry(4)
        self._groups = 1
        self._weight: Tensor | None = None
        self._bias: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For a copy, which packs anew: torch cannot copy what is packed for oneDNN."""
        return vars(self) | {"_key": None, "_weight": None, "_bias": None}

    def packed_again(self) -> Convolver:
        """Another one, with the same packed filters in the same memory."""
        made = Convolver(self.layer)
        vars(made).update(vars(self))
        return made

    @staticmethod
    def takes(x: Tensor) -> bool:
        """Whether `x` can be its bottom."""
        is_float = x.dtype == torch.float32 and x.device.type == "cpu"
        return x.dim() == 4 and is_float and x.numel() > 0

    def run(
        self, x: Tensor, made_of: object, filters: Callable[[], Filters], *, relu: bool = False
    ) -> Tensor:
        """The top, new memory, channels last where the bottom is.

        Args:
            made_of: what the filters depend on; they are packed anew when it, compared with ==, or
                the size of `x` changes.
            filters: (K, C / groups, H, W) and (K,); called to pack them.
            relu: apply ReLU in the same pass.
        """
        key = (x.shape, made_of)
        if key != self._key:
            self._groups = self.layer.groups(x.shape[1])
            self._pack(*filters(), x.shape)
            self._key = key
        return self.again(x, relu=relu)

    @property
    def pack(self) -> Tensor | None:
        """The packed filters; another tensor whenever they, or the size they are for, change."""
        return self._weight

    def again(self, x: Tensor, *, relu: bool = False) -> Tensor:
        """As `run` for the size and the filters of the last time, which nobody checks."""
        try:
            return self._convolve(x, relu)
        except (RuntimeError, MemoryError) as error:
            spec = self.layer.spec
            raise LayerError(f"forward failed on a bottom of shape {tuple(x.shape)}: {error}").at(
                layer=spec.name, layer_type=spec.type, line=spec.line
            ) from error

    def _convolve(self, x: Tensor, relu: bool) -> Tensor:
        form = self._form
        assert self._weight is not None
        if self.is_winograd:
            return winograd.convolve(x, self._weight, self._bias, form.pad[0], relu=relu)
        if _ONEDNN is not None:
            y: Tensor = _ONEDNN._convolution_pointwise(
                x,
                self._weight,
                self._bias,
                form.pad,
                form.stride,
                form.dilation,
                self._groups,
                "relu" if relu else "none",
                [],
                "",
            )
            return y
        y = F.conv2d(
            x, self._weight, self._bias, form.stride, form.pad, form.dilation, self._groups
        )
        return y.relu_() if relu else y

    def _pack(self, weight: Tensor, bias: Tensor | None, size: tuple[int, ...]) -> None:
        form, groups = self._form, self._groups
        top = self.layer.top_shape(tuple(size))
        self.is_winograd = _is_plain_3x3(form, groups) and winograd.pays(weight, *top[2:])
        if self.is_winograd:
            weight = winograd.transform_filters(weight)
        elif _ONEDNN is not None:
            weight = _ONEDNN._reorder_convolution_weight(
                weight, form.pad, form.stride, form.dilation, groups, list(size)
            )
        else:
            weight = weight.contiguous(memory_format=torch.channels_last)
        self._weight, self._bias = weight, bias


def _is_plain_3x3(form: Any, groups: int) -> bool:
    return (
        form.kernel == (3, 3)
        and form.stride == form.dilation == (1, 1)
        and form.pad in ((0, 0), (1, 1))
        and groups == 1
    )


def _onednn() -> Any:
    """torch's oneDNN operators, None where this build has none of them."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    operators = torch.ops.mkldnn
    names = ("_convolution_pointwise", "_reorder_convolution_weight")
    return operators if all(hasattr(operators, name) for name in names) else None


_ONEDNN = _onednn()
