"""Inference passes: a convolution and the layers that run in place behind it, in one operation.

Where nobody looks at the values in between, a convolution takes batch norm and scale into its
filters and bias (in float64, rounded once), and ReLU into the same pass over memory; the filters
are packed once for oneDNN. Results differ from the layers run one by one as float32 sums in
another order do, so only float nets are run like this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adaption.layers.batch_norm import BatchNorm
from adaption.layers.convolution import Convolution
from adaption.layers.relu import ReLU
from adaption.layers.scale import Scale
from adaption.net import winograd
from adaption.net.node import Node
from adaption.net.plan import LayerFormats

__all__ = ["Chain", "find_chains"]


@dataclass
class Chain:
    """A convolution, then at most one batch norm, one scale and one ReLU, all in place."""

    nodes: list[Node]
    _key: object = None
    _weight: Tensor | None = None
    _bias: Tensor | None = None
    _is_winograd: bool = False

    @property
    def bottom(self) -> str:
        return self.nodes[0].spec.bottoms[0]

    @property
    def top(self) -> str:
        return self.nodes[0].spec.tops[0]

    @property
    def has_relu(self) -> bool:
        return isinstance(self.nodes[-1].layer, ReLU)

    def can_run(self, x: Tensor) -> bool:
        """False where a numpy view of a parameter is out, so that it may change unseen."""
        if x.dim() != 4 or x.dtype != torch.float32 or x.device.type != "cpu":
            return False
        return not any(blob.is_exposed for node in self.nodes for blob in node.blobs)

    @property
    def before_relu(self) -> Node:
        """The last layer but for a ReLU at the end: the one whose top is the whole sum."""
        return self.nodes[-2] if self.has_relu else self.nodes[-1]

    def run(self, x: Tensor, *, relu: bool = True) -> Tensor:
        """The top of the last layer, given the bottom of the first; `relu` False: before ReLU."""
        relu = relu and self.has_relu
        conv = self.nodes[0].layer
        assert isinstance(conv, Convolution)
        form = conv.geometry(4)
        groups = conv.groups(x.shape[1])
        key = (tuple(x.shape), [blob.stamp() for node in self.nodes for blob in node.masters])
        if key != self._key:
            weight, bias = self._folded([blob.tensor for blob in self.nodes[0].masters])
            self._is_winograd = _is_plain_3x3(form, groups) and winograd.pays(
                weight, *conv.top_shape(tuple(x.shape))[2:]
            )
            if self._is_winograd:
                weight = winograd.transform_filters(weight)
            elif _ONEDNN is not None:
                weight = _ONEDNN._reorder_convolution_weight(
                    weight, form.pad, form.stride, form.dilation, groups, list(x.shape)
                )
            else:
                weight = weight.contiguous(memory_format=torch.channels_last)
            self._weight, self._bias, self._key = weight, bias, key
        assert self._weight is not None
        if self._is_winograd:
            pad = form.pad[0]
            return winograd.convolve(x, self._weight, self._bias, pad, relu=relu)
        if _ONEDNN is not None:
            y: Tensor = _ONEDNN._convolution_pointwise(
                x,
                self._weight,
                self._bias,
                form.pad,
                form.stride,
                form.dilation,
                groups,
                "relu" if relu else "none",
                [],
                "",
            )
            return y
        y = F.conv2d(x, self._weight, self._bias, form.stride, form.pad, form.dilation, groups)
        return y.relu_() if relu else y

    def _folded(self, blobs: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Filters and bias of the convolution with batch norm and scale folded in."""
        weight, bias = blobs[0].detach(), blobs[1].detach() if len(blobs) > 1 else None
        affine = [n for n in self.nodes[1:] if isinstance(n.layer, BatchNorm | Scale)]
        if not affine:
            return weight, bias
        slope = torch.ones(weight.shape[0], dtype=torch.float64)
        shift = torch.zeros_like(slope) if bias is None else bias.double()
        for node in affine:
            values = [b.tensor.detach().double() for b in node.masters]
            if isinstance(node.layer, BatchNorm):
                mean, variance, factor = values
                scale = 0.0 if float(factor) == 0 else 1.0 / float(factor)
                a = (variance * scale + node.layer.eps).rsqrt()
                slope, shift = slope * a, (shift - mean * scale) * a
            else:
                slope, shift = slope * values[0], shift * values[0]
                if len(values) > 1:
                    shift = shift + values[1]
        folded = weight.double() * slope.view(-1, 1, 1, 1)
        return folded.float(), shift.float()


def find_chains(nodes: Sequence[Node]) -> dict[int, Chain]:
    """The chains of a float net, by the index of their convolution.

    A net in which anything is rounded has none: where a sum in another order meets a rounding tie
    a code flips, and whether somebody looks at the values in between must not decide that.
    """
    if any(node.formats != LayerFormats() for node in nodes):
        return {}
    found = {}
    for i, node in enumerate(nodes):
        if not _can_start(node):
            continue
        chain = [node]
        for follower in nodes[i + 1 :]:
            if not _is_in_place_on(follower, node.spec.tops[0]) or not _fits(follower, chain):
                break
            chain.append(follower)
            if isinstance(follower.layer, ReLU):
                break
        found[i] = Chain(chain)
    return found


def _is_plain_3x3(form: Any, groups: int) -> bool:
    return (
        form.kernel == (3, 3)
        and form.stride == form.dilation == (1, 1)
        and form.pad in ((0, 0), (1, 1))
        and groups == 1
    )


def _can_start(node: Node) -> bool:
    layer = node.layer
    return (
        type(layer) is Convolution
        and len(node.spec.bottoms) == 1
        and layer.axis == 1
        and len(node.masters[0].shape) == 4
        and layer.geometry(4).is_even
    )


def _is_in_place_on(node: Node, blob: str) -> bool:
    return node.spec.bottoms == (blob,) and node.spec.tops == (blob,)


def _fits(node: Node, chain: list[Node]) -> bool:
    """Whether a layer can join: one slope and shift per channel, each kind of layer once."""
    layer = node.layer
    if any(isinstance(n.layer, type(layer)) for n in chain):
        return False
    if isinstance(layer, ReLU):
        return not layer.negative_slope and not layer.relu6
    channels = chain[0].masters[0].shape[0]
    if isinstance(layer, BatchNorm):
        training = node.runtime.training if layer.use_global_stats is None else False
        return not training and layer.use_global_stats is not False
    if isinstance(layer, Scale):
        return layer.axis == 1 and node.masters[0].shape == (channels,)
    return False


def _onednn() -> Any:
    """torch's oneDNN operators, None where this build has none of them."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    operators = torch.ops.mkldnn
    names = ("_convolution_pointwise", "_reorder_convolution_weight")
    return operators if all(hasattr(operators, name) for name in names) else None


_ONEDNN = _onednn()
