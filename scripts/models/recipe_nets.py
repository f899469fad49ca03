"""The nets that papers on training in low precision use, beside the well-known ones."""

from __future__ import annotations

from typing import Any

from models.body import Body

__all__ = ["RECIPE_BODIES"]

GLOROT = {"type": "xavier", "variance_norm": 2}  # by the average of both fans


def cifar10_preresnet20(train: bool) -> Body:
    """Pre-activation: batch norm and ReLU stand before each convolution, the sum is bare."""
    b = Body(train, {"type": "msra"})

    def active(name: str, bottom: Any) -> Any:
        b.add(f"{name}_bn", "BatchNorm", bottom, **b.fixed(3))
        b.add(f"{name}_scale", "Scale", in_place=True, bias_term=True, **b.free(2))
        return b.relu(f"{name}_relu")

    b.conv("conv1", 16, 3, pad=1, bias=None)
    for stage, outputs in enumerate((16, 32, 64), 2):
        for letter in "abc":
            name, shortcut = f"res{stage}{letter}", b.top
            stride = 2 if stage > 2 and letter == "a" else 1
            bottom = active(f"{name}_1", shortcut)
            if stride == 2:
                shortcut = b.conv(f"{name}_shortcut", outputs, 1, 2, bias=None)
            b.conv(f"{name}_conv1", outputs, 3, stride, 1, bias=None, bottom=bottom)
            active(f"{name}_2", b.top)
            b.conv(f"{name}_conv2", outputs, 3, pad=1, bias=None)
            b.add(name, "Eltwise", shortcut, b.top)
    active("last", b.top)
    b.global_pool("pool")
    b.fc("ip", 10)
    return b


def _clipped(b: Body, name: str) -> Any:
    """The activation function of Sakr and Shanbhag."""
    return b.add(name, "Clip", in_place=True, min=0.0, max=2.0)


def cifar10_resnet20_wide(train: bool) -> Body:
    """8 times the channels; 3 x 3 shortcuts with stride 2; dropout within each block."""
    b = Body(train, GLOROT)

    def unit(name: str, outputs: int, stride: int = 1, bottom: Any = None) -> Any:
        b.conv(name, outputs, 3, stride, 1, bias=None, bottom=bottom)
        return b.norm_scale(f"{name}_bn", f"{name}_scale")

    unit("conv1", 128)
    _clipped(b, "conv1_clip")
    for stage, outputs in enumerate((128, 256, 512), 2):
        for letter in "abc":
            name, bottom = f"res{stage}{letter}", b.top
            stride = 2 if stage > 2 and letter == "a" else 1
            unit(f"{name}_conv1", outputs, stride, bottom)
            _clipped(b, f"{name}_clip1")
            b.dropout(f"{name}_drop", 0.2)
            branch = unit(f"{name}_conv2", outputs)
            shortcut = unit(f"{name}_shortcut", outputs, 2, bottom) if stride == 2 else bottom
            b.add(name, "Eltwise", shortcut, branch)
            _clipped(b, f"{name}_clip")
    b.pool("pool", 8, 1, "AVE")
    b.fc("ip", 10)
    return b


def cifar10_convnet_sakr(train: bool) -> Body:
    """2x(64C3) MP2 2x(128C3) MP2 2x(256C3) 2x(512FC) 10, without padding."""
    b = Body(train, GLOROT)
    for stage, outputs in enumerate((64, 128, 256), 1):
        for i in (1, 2):
            name = f"conv{stage}_{i}"
            b.conv(name, outputs, 3, bias=None)
            b.norm_scale(f"{name}_bn", f"{name}_scale")
            _clipped(b, f"{name}_clip")
        if stage < 3:
            b.pool(f"pool{stage}", 2, 2)
    for i in (1, 2):
        b.fc(f"fc{i}", 512)
        _clipped(b, f"fc{i}_clip")
    b.fc("fc3", 10)
    return b


def cifar10_alexnet(train: bool) -> Body:
    b = Body(train, {"type": "msra"})

    def unit(i: int, outputs: int, kernel: int, stride: int = 1, pad: int = 1) -> None:
        b.conv(f"conv{i}", outputs, kernel, stride, pad)
        b.relu(f"relu{i}")

    unit(1, 64, 11, 4, 5)
    b.pool("pool1", 2, 2)
    unit(2, 192, 5, pad=2)
    b.pool("pool2", 2, 2)
    unit(3, 384, 3)
    unit(4, 256, 3)
    unit(5, 256, 3)
    b.pool("pool5", 2, 2)
    b.fc("fc6", 10)
    return b


def lenet5(train: bool) -> Body:
    """LeCun et al. 1998, with tanh and average pooling, all maps connected."""
    b = Body(train)

    def tanh(name: str) -> None:
        b.add(name, "TanH", in_place=True)

    b.conv("conv1", 6, 5)
    tanh("tanh1")
    b.pool("pool1", 2, 2, "AVE")
    b.conv("conv2", 16, 5)
    tanh("tanh2")
    b.pool("pool2", 2, 2, "AVE")
    b.conv("conv3", 120, 5)
    tanh("tanh3")
    b.fc("fc4", 84)
    tanh("tanh4")
    b.fc("fc5", 10)
    return b


RECIPE_BODIES = {
    "cifar10_preresnet20": cifar10_preresnet20,
    "cifar10_resnet20_wide": cifar10_resnet20_wide,
    "cifar10_convnet_sakr": cifar10_convnet_sakr,
    "cifar10_alexnet": cifar10_alexnet,
    "lenet5": lenet5,
}
