"""A float net as Brevitas trains it: rounded in the same places, with Brevitas' own quantizers.

Needs the package brevitas (tried: 0.13.4), which adaption does not need otherwise. Layers: those of
ResNet-20, else ValueError.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

import adaption
from adaption.net.node import Node
from adaption.numerics import FixedPoint

__all__ = ["BrevitasNet", "accuracy_of", "trained"]


class BrevitasNet(nn.Module):
    """Images (N, C, H, W) to class scores (N, K), before the softmax.

    Args:
        net: float, phase TEST, with the weights to begin with.
        bits: of all weights, and of results.
        results: by layer, the format of its rounded result, of which word length and sign count.
        is_power_of_two: whether scales are powers of two; else they are floats.
    """

    def __init__(
        self,
        net: adaption.Net,
        bits: int,
        results: Mapping[str, FixedPoint],
        *,
        is_power_of_two: bool,
    ) -> None:
        super().__init__()
        self.nn = import_module("brevitas.nn")
        self.quantizers = _quantizers(is_power_of_two)
        self.parts = nn.ModuleDict()
        self.wiring: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
        for node in net.nodes:
            spec = node.spec
            if spec.is_input:
                self.image = spec.tops[0]
                continue
            if spec.type == "Softmax":
                break
            self.parts[spec.name] = self._part(node, bits, results.get(spec.name))
            self.wiring.append((spec.name, spec.bottoms, spec.tops))

    def forward(self, images: Tensor) -> Tensor:
        """Class scores."""
        blobs, made = {self.image: images}, images
        for name, bottoms, tops in self.wiring:
            made = self.parts[name](*(blobs[bottom] for bottom in bottoms))
            blobs.update(dict.fromkeys(tops, made))
        return made

    def _part(self, node: Node, bits: int, result: FixedPoint | None) -> nn.Module:
        kind = node.spec.type
        if kind == "ReLU":
            return self._relu(result)
        part = self._unrounded(node, bits)
        return part if result is None else nn.Sequential(part, self._identity(result))

    def _unrounded(self, node: Node, bits: int) -> nn.Module:
        kind, message = node.spec.type, node.spec.message
        blobs = [blob.tensor.detach().clone() for blob in node.masters]
        if kind == "Convolution":
            return self._convolution(message.convolution_param, blobs, bits)
        if kind == "InnerProduct":
            return nn.Sequential(nn.Flatten(), self._inner_product(blobs, bits))
        if kind == "BatchNorm":
            mean, variance, factor = blobs
            part = nn.BatchNorm2d(len(mean), affine=False, momentum=0.1)
            part.running_mean, part.running_var = mean / factor, variance / factor
            return part
        if kind == "Scale":
            return _Scale(*blobs)
        if kind == "Eltwise":
            return _Sum()
        if kind == "Pooling" and message.pooling_param.global_pooling:
            return nn.AdaptiveAvgPool2d(1)
        if kind == "Split":
            return nn.Identity()
        raise ValueError(f"layer {node.spec.name}: no counterpart of {kind}")

    def _convolution(self, param: Any, blobs: Sequence[Tensor], bits: int) -> nn.Module:
        out, inputs, size, _ = blobs[0].shape
        part: nn.Module = self.nn.QuantConv2d(
            inputs,
            out,
            size,
            stride=next(iter(param.stride), 1),
            padding=next(iter(param.pad), 0),
            bias=len(blobs) > 1,
            weight_quant=self.quantizers["weight"],
            weight_bit_width=bits,
        )
        return _having(part, blobs)

    def _inner_product(self, blobs: Sequence[Tensor], bits: int) -> nn.Module:
        out, inputs = blobs[0].shape
        part: nn.Module = self.nn.QuantLinear(
            inputs,
            out,
            len(blobs) > 1,
            weight_quant=self.quantizers["weight"],
            weight_bit_width=bits,
        )
        return _having(part, blobs)

    def _relu(self, result: FixedPoint | None) -> nn.Module:
        if result is None:
            return nn.ReLU()
        made: nn.Module = self.nn.QuantReLU(
            act_quant=self.quantizers["unsigned"], bit_width=result.word_length
        )
        return made

    def _identity(self, result: FixedPoint) -> nn.Module:
        chosen = self.quantizers["signed" if result.is_signed else "unsigned"]
        made: nn.Module = self.nn.QuantIdentity(act_quant=chosen, bit_width=result.word_length)
        return made


def _having(part: nn.Module, blobs: Sequence[Tensor]) -> nn.Module:
    """`part` with the weights and the bias of a layer."""
    state = dict(zip(("weight", "bias"), blobs, strict=False))
    with torch.no_grad():
        for name, parameter in part.named_parameters():
            if name in state:
                parameter.copy_(state[name].reshape(parameter.shape))
    return part


class _Scale(nn.Module):
    """Caffe's Scale layer: a factor and an addend per channel."""

    def __init__(self, factor: Tensor, addend: Tensor) -> None:
        super().__init__()
        self.factor, self.addend = nn.Parameter(factor), nn.Parameter(addend)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor[:, None, None] + self.addend[:, None, None]


class _Sum(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


def trained(
    net: BrevitasNet,
    batches: Iterable[tuple[Tensor, Tensor]],
    calibration: Iterable[Tensor],
    iterations: int,
) -> BrevitasNet:
    """`net`, after training as finetune_bits.py does.

    Args:
        batches: images and their classes, without end.
        calibration: images that scales of results are first taken from.
    """
    calibrate = import_module("brevitas.graph.calibrate")
    net.eval()  # calibration_mode has the quantizers of results learn all the same
    with torch.no_grad(), calibrate.calibration_mode(net):
        for images in calibration:
            net(images)
    net.train()
    scales = [p for name, p in net.named_parameters() if "scaling" in name]
    others = [p for name, p in net.named_parameters() if "scaling" not in name]
    groups = [{"params": others, "weight_decay": 1e-4}, {"params": scales, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [iterations * 3 // 4], 0.1)
    for _, (images, classes) in zip(range(iterations), batches, strict=False):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), classes)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return net


def accuracy_of(net: BrevitasNet, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Top-1 of some batches, in %."""
    net.eval()
    right = total = 0
    with torch.no_grad():
        for images, classes in batches:
            right += int((net(images).argmax(1) == classes).sum())
            total += len(classes)
    return 100 * right / total


def _quantizers(is_power_of_two: bool) -> dict[str, Any]:
    quant = import_module("brevitas.quant")
    kind = "FixedPoint" if is_power_of_two else "Float"
    return {
        "weight": getattr(quant, f"Int8WeightPerTensor{kind}"),
        "signed": getattr(quant, f"Int8ActPerTensor{kind}"),
        "unsigned": getattr(quant, f"Uint8ActPerTensor{kind}"),
    }
