"""The bodies of the nets: layers by the papers, names as in the published caffemodels."""

from __future__ import annotations

from models.body import Body, gaussian
from models.recipe_nets import RECIPE_BODIES

__all__ = ["BODIES"]


def lenet(train: bool) -> Body:
    b = Body(train, bias_decay=1)
    b.conv("conv1", 20, 5)
    b.pool("pool1", 2, 2)
    b.conv("conv2", 50, 5)
    b.pool("pool2", 2, 2)
    b.fc("ip1", 500)
    b.relu("relu1")
    b.fc("ip2", 10)
    return b


def cifar10_quick(train: bool) -> Body:
    b = Body(train, gaussian(0.01), bias_decay=1)
    b.conv("conv1", 32, 5, pad=2, filler=gaussian(0.0001))
    b.pool("pool1", 3, 2)
    b.relu("relu1")
    b.conv("conv2", 32, 5, pad=2)
    b.relu("relu2")
    b.pool("pool2", 3, 2, "AVE")
    b.conv("conv3", 64, 5, pad=2)
    b.relu("relu3")
    b.pool("pool3", 3, 2, "AVE")
    b.fc("ip1", 64, filler=gaussian(0.1))
    b.fc("ip2", 10, filler=gaussian(0.1))
    return b


def cifar10_full(train: bool) -> Body:
    b = Body(train, gaussian(0.01))
    within = {"local_size": 3, "alpha": 5e-5, "beta": 0.75, "norm_region": 1}
    b.conv("conv1", 32, 5, pad=2, filler=gaussian(0.0001))
    b.pool("pool1", 3, 2)
    b.relu("relu1")
    b.lrn("norm1", **within)
    b.conv("conv2", 32, 5, pad=2)
    b.relu("relu2")
    b.pool("pool2", 3, 2, "AVE")
    b.lrn("norm2", **within)
    b.conv("conv3", 64, 5, pad=2)
    b.relu("relu3")
    b.pool("pool3", 3, 2, "AVE")
    b.fc("ip1", 10)
    return b


def cifar10_resnet20(train: bool) -> Body:
    """Three stages of three blocks; where a stage begins, the shortcut is a 1 x 1 convolution."""
    b = Body(train, {"type": "msra"})

    def unit(name: str, outputs: int, kernel: int, stride: int, bottom: object = None) -> None:
        b.conv(name, outputs, kernel, stride, kernel // 2, bias=None, bottom=bottom)
        b.norm_scale(f"{name}_bn", f"{name}_scale")

    unit("conv1", 16, 3, 1)
    b.relu("conv1_relu")
    for stage, outputs in enumerate((16, 32, 64), 2):
        for letter in "abc":
            name, bottom = f"res{stage}{letter}", b.top
            stride = 2 if stage > 2 and letter == "a" else 1
            shortcut = bottom
            if stride == 2:
                unit(f"{name}_shortcut", outputs, 1, 2, bottom)
                shortcut = b.top
            unit(f"{name}_conv1", outputs, 3, stride, bottom)
            b.relu(f"{name}_relu1")
            unit(f"{name}_conv2", outputs, 3, 1)
            b.add(name, "Eltwise", shortcut, b.top)
            b.relu(f"{name}_relu")
    b.global_pool("pool")
    b.fc("ip", 10)
    return b


def _alexnet(train: bool, pool_first: bool, bias: float) -> Body:
    b = Body(train, gaussian(0.01))

    def shrink(i: int) -> None:
        steps = [lambda: b.lrn(f"norm{i}"), lambda: b.pool(f"pool{i}", 3, 2)]
        for step in reversed(steps) if pool_first else steps:
            step()

    b.conv("conv1", 96, 11, 4)
    b.relu("relu1")
    shrink(1)
    b.conv("conv2", 256, 5, pad=2, group=2, bias=bias)
    b.relu("relu2")
    shrink(2)
    b.conv("conv3", 384, 3, pad=1)
    b.relu("relu3")
    b.conv("conv4", 384, 3, pad=1, group=2, bias=bias)
    b.relu("relu4")
    b.conv("conv5", 256, 3, pad=1, group=2, bias=bias)
    b.relu("relu5")
    b.pool("pool5", 3, 2)
    for i in (6, 7):
        b.fc(f"fc{i}", 4096, bias=bias, filler=gaussian(0.005))
        b.relu(f"relu{i}")
        b.dropout(f"drop{i}")
    b.fc("fc8", 1000)
    return b


def alexnet(train: bool) -> Body:
    return _alexnet(train, pool_first=False, bias=0.1)


def caffenet(train: bool) -> Body:
    return _alexnet(train, pool_first=True, bias=1.0)


def _vgg(train: bool, depths: tuple[int, ...]) -> Body:
    b = Body(train)
    for i, (depth, outputs) in enumerate(zip(depths, (64, 128, 256, 512, 512), strict=True), 1):
        for j in range(1, depth + 1):
            b.conv(f"conv{i}_{j}", outputs, 3, pad=1)
            b.relu(f"relu{i}_{j}")
        b.pool(f"pool{i}", 2, 2)
    for i in (6, 7):
        b.fc(f"fc{i}", 4096)
        b.relu(f"relu{i}")
        b.dropout(f"drop{i}")
    b.fc("fc8", 1000)
    return b


def vgg16(train: bool) -> Body:
    return _vgg(train, (2, 2, 3, 3, 3))


def vgg19(train: bool) -> Body:
    return _vgg(train, (2, 2, 4, 4, 4))


# Outputs of 1x1, 3x3_reduce, 3x3, 5x5_reduce, 5x5, pool_proj: table 1 of the paper.
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(train: bool) -> Body:
    b = Body(train)

    def unit(block: str, part: str, outputs: int, kernel: int, bottom: object = None) -> object:
        b.conv(f"{block}/{part}", outputs, kernel, pad=kernel // 2, bias=0.2, bottom=bottom)
        b.relu(f"{block}/relu_{part}")
        return b.top

    b.conv("conv1/7x7_s2", 64, 7, 2, 3, bias=0.2)
    b.relu("conv1/relu_7x7")
    b.pool("pool1/3x3_s2", 3, 2)
    b.lrn("pool1/norm1")
    unit("conv2", "3x3_reduce", 64, 1)
    unit("conv2", "3x3", 192, 3)
    b.lrn("conv2/norm2")
    b.pool("pool2/3x3_s2", 3, 2)
    for name, (one, three_in, three, five_in, five, proj) in INCEPTIONS.items():
        block, bottom = f"inception_{name}", b.top
        parts = [unit(block, "1x1", one, 1, bottom)]
        unit(block, "3x3_reduce", three_in, 1, bottom)
        parts.append(unit(block, "3x3", three, 3))
        unit(block, "5x5_reduce", five_in, 1, bottom)
        parts.append(unit(block, "5x5", five, 5))
        b.add(f"{block}/pool", "Pooling", bottom, pool=0, kernel_size=3, stride=1, pad=1)
        parts.append(unit(block, "pool_proj", proj, 1))
        output = b.add(f"{block}/output", "Concat", *parts)
        if train and name in ("4a", "4d"):
            _auxiliary(b, "loss1" if name == "4a" else "loss2")
            b.top = output
        if name in ("3b", "4e"):
            b.pool(f"pool{name[0]}/3x3_s2", 3, 2)
    b.pool("pool5/7x7_s1", 7, 1, "AVE")
    b.dropout("pool5/drop_7x7_s1", 0.4)
    b.fc("loss3/classifier", 1000)
    return b


def _auxiliary(b: Body, name: str) -> None:
    """A classifier in the middle, that only training has."""
    b.pool(f"{name}/ave_pool", 5, 3, "AVE")
    b.conv(f"{name}/conv", 128, 1, bias=0.2)
    b.relu(f"{name}/relu_conv")
    b.fc(f"{name}/fc", 1024, bias=0.2)
    b.relu(f"{name}/relu_fc")
    b.dropout(f"{name}/drop_fc", 0.7)
    b.fc(f"{name}/classifier", 1000)


def resnet50(train: bool) -> Body:
    return _bottlenecks(train, (3, 4, 6, 3))


def resnet152(train: bool) -> Body:
    return _bottlenecks(train, (3, 8, 36, 3))


def _bottlenecks(train: bool, counts: tuple[int, ...]) -> Body:
    """`counts`: blocks of each stage. They are called a, b, c, ..., or a, b1, b2, ... where letters
    do not suffice, as in the published caffemodels."""
    b = Body(train, {"type": "msra"})

    def unit(part: str, outputs: int, kernel: int, stride: int = 1, bottom: object = None) -> None:
        b.conv(f"res{part}", outputs, kernel, stride, kernel // 2, bias=None, bottom=bottom)
        b.norm_scale(f"bn{part}", f"scale{part}")

    b.conv("conv1", 64, 7, 2, 3)
    b.norm_scale("bn_conv1", "scale_conv1")
    b.relu("conv1_relu")
    b.pool("pool1", 3, 2)
    for stage, blocks in enumerate(counts, 2):
        width = 64 << (stage - 2)
        names = "abcdef"[:blocks] if blocks <= 6 else ("a", *(f"b{i}" for i in range(1, blocks)))
        for letter in names:
            name, bottom = f"{stage}{letter}", b.top
            stride = 2 if stage > 2 and letter == "a" else 1
            shortcut = bottom
            if letter == "a":
                unit(f"{name}_branch1", 4 * width, 1, stride, bottom)
                shortcut = b.top
            unit(f"{name}_branch2a", width, 1, stride, bottom)
            b.relu(f"res{name}_branch2a_relu")
            unit(f"{name}_branch2b", width, 3)
            b.relu(f"res{name}_branch2b_relu")
            unit(f"{name}_branch2c", 4 * width, 1)
            b.add(f"res{name}", "Eltwise", shortcut, b.top)
            b.relu(f"res{name}_relu")
    b.pool("pool5", 7, 1, "AVE")
    b.fc("fc1000", 1000)
    return b


def resnet34(train: bool) -> Body:
    """Two 3 x 3 convolutions a block; shortcuts that change the size are 1 x 1 convolutions."""
    b = Body(train, {"type": "msra"})

    def unit(
        part: str, outputs: int, kernel: int, stride: int = 1, bottom: object = None
    ) -> object:
        b.conv(f"res{part}", outputs, kernel, stride, kernel // 2, bias=None, bottom=bottom)
        return b.norm_scale(f"bn{part}", f"scale{part}")

    b.conv("conv1", 64, 7, 2, 3, bias=None)
    b.norm_scale("bn_conv1", "scale_conv1")
    b.relu("conv1_relu")
    b.pool("pool1", 3, 2)
    for stage, blocks in enumerate((3, 4, 6, 3), 2):
        width = 64 << (stage - 2)
        for letter in "abcdef"[:blocks]:
            name, bottom = f"{stage}{letter}", b.top
            stride = 2 if stage > 2 and letter == "a" else 1
            shortcut = unit(f"{name}_branch1", width, 1, 2, bottom) if stride == 2 else bottom
            unit(f"{name}_branch2a", width, 3, stride, bottom)
            b.relu(f"res{name}_branch2a_relu")
            unit(f"{name}_branch2b", width, 3)
            b.add(f"res{name}", "Eltwise", shortcut, b.top)
            b.relu(f"res{name}_relu")
    b.pool("pool5", 7, 1, "AVE")
    b.fc("fc1000", 1000)
    return b


def squeezenet(train: bool) -> Body:
    """Version 1.1."""
    b = Body(train)

    def fire(i: int, squeeze: int, expand: int) -> None:
        name = f"fire{i}"
        b.conv(f"{name}/squeeze1x1", squeeze, 1)
        bottom = b.relu(f"{name}/relu_squeeze1x1")
        parts = []
        for kernel in ("1x1", "3x3"):
            size = int(kernel[0])
            b.conv(f"{name}/expand{kernel}", expand, size, pad=size // 2, bottom=bottom)
            parts.append(b.relu(f"{name}/relu_expand{kernel}"))
        b.add(f"{name}/concat", "Concat", *parts)

    b.conv("conv1", 64, 3, 2)
    b.relu("relu_conv1")
    for i in range(2, 10):
        if i in (2, 4, 6):
            b.pool(f"pool{i - 1}", 3, 2)
        squeeze = 16 * (i // 2)
        fire(i, squeeze, 4 * squeeze)
    b.dropout("drop9")
    b.conv("conv10", 1000, 1, filler=gaussian(0.01))
    b.relu("relu_conv10")
    b.global_pool("pool10")
    return b


def mobilenet(train: bool) -> Body:
    b = Body(train, {"type": "msra"})

    def unit(name: str, outputs: int, kernel: int, stride: int, group: int = 1) -> None:
        b.conv(name, outputs, kernel, stride, kernel // 2, group=group, bias=None)
        b.norm_scale(f"{name}/bn", f"{name}/scale")
        b.relu(name.replace("conv", "relu"))

    unit("conv1", 32, 3, 2)
    inputs = 32
    steps = [("2_1", 64, 1), ("2_2", 128, 2), ("3_1", 128, 1), ("3_2", 256, 2), ("4_1", 256, 1),
             ("4_2", 512, 2), *((f"5_{i}", 512, 1) for i in range(1, 6)), ("5_6", 1024, 2),
             ("6", 1024, 1)]  # fmt: skip
    for name, outputs, stride in steps:
        unit(f"conv{name}/dw", inputs, 3, stride, group=inputs)
        unit(f"conv{name}/sep", outputs, 1, 1)
        inputs = outputs
    b.global_pool("pool6")
    b.conv("fc7", 1000, 1)
    return b


BODIES = {
    "lenet": lenet,
    "cifar10_quick": cifar10_quick,
    "cifar10_full": cifar10_full,
    "cifar10_resnet20": cifar10_resnet20,
    "alexnet": alexnet,
    "caffenet": caffenet,
    "vgg16": vgg16,
    "vgg19": vgg19,
    "googlenet": googlenet,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet152": resnet152,
    "squeezenet": squeezenet,
    "mobilenet": mobilenet,
    **RECIPE_BODIES,
}
