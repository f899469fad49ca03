"""What else the files of a net need: data, solver settings, and fixed-point formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["RECIPES", "Formats", "Recipe"]


@dataclass(frozen=True)
class Formats:
    """Qm.f of weights and results: one for all, or one per layer, "" where it stays float."""

    weight: str | tuple[str, ...]
    activation: str | tuple[str, ...]
    stochastic: bool = False


@dataclass(frozen=True)
class Recipe:
    """Data as LMDBs of Datum; transform as written in transform_param, crop and mirror apart."""

    title: str
    shape: tuple[int, int, int]
    batch: tuple[int, int]  # TRAIN, TEST
    transform: str
    solver: Mapping[str, object]
    # Of the nets that ADaPTION published in fixed point, by what the files' names end in: "lp" for
    # net_lp.prototxt. For the others README.md of the model has a command of `adaption rewrite`.
    low: Mapping[str, Formats] = field(default_factory=dict)
    source: str = "data/ilsvrc12_{}_lmdb"
    top5: bool = True
    mirror: bool = True  # training images
    pad: int = 0  # of zeros around training images, from which random crops are taken
    losses: Mapping[str, float] = field(default_factory=lambda: {"": 1.0})  # prefix -> weight


IMAGENET_MEAN = "mean_value: 104 mean_value: 117 mean_value: 123"  # BGR

_SGD = {"momentum": 0.9, "weight_decay": 0.0005, "snapshot": 10000, "display": 20}
# Krizhevsky 2012: 0.01, divided by 10 where accuracy stands still; about 90 epochs of batch 256.
_ALEXNET_SOLVER = {
    "test_iter": 1000, "test_interval": 1000, "base_lr": 0.01, "lr_policy": "step", "gamma": 0.1,
    "stepsize": 100000, "max_iter": 450000, **_SGD,
}  # fmt: skip
# Simonyan and Zisserman 2014: batch 256, 0.01 divided by 10 three times, 74 epochs.
_VGG_SOLVER = {
    "test_iter": 1000, "test_interval": 1000, "base_lr": 0.01, "lr_policy": "step", "gamma": 0.1,
    "stepsize": 100000, "max_iter": 370000, "iter_size": 8, **_SGD,
}  # fmt: skip

# The tables of ADaPTION's own files: specs of the re-creation, section 7.
_VGG16_RESULTS = (
    "7.9 9.7 10.6 10.6 11.5 11.5 11.5 10.6 9.7 8.8 8.8 7.9 5.11 4.12 3.13".split()
)  # LP_VGG16_16_bit_train: pixels 0..255
_VGG16_RESULTS_SCALED = (
    "3.13 6.10 7.9 8.8 8.8 9.7 9.7 8.8 8.8 7.9 6.10 5.11 5.11 5.11 4.12".split()
)  # LP_VGG16_16_bit_deploy: pixels times 1/255
_VGG19_RESULTS = (
    "3.13 6.10 6.10 7.9 8.8 8.8 8.8 9.7 9.7 9.7 9.7 8.8 7.9 6.10 5.11 5.11 4.12 4.12".split()
)
_ALEXNET_RESULTS = "8.8 6.10 6.10 6.10 5.11 4.12 2.14".split()

_CIFAR: dict[str, Any] = {
    "source": "data/cifar10_{}_lmdb",
    "top5": False,
}
_CIFAR_MEAN = 'mean_file: "data/cifar10_mean.binaryproto"'

# 0.4914, 0.4822, 0.4465 and 1 / 0.2 of pixels up to 255, in the order of the LMDBs, RGB
_CIFAR_MEAN_VALUES = "scale: 0.0196 mean_value: 125.3 mean_value: 123 mean_value: 113.9"
# Sakr and Shanbhag, as released: plain SGD, 200 epochs of 200 batches, a tenth from epoch 100 on.
_SAKR_SOLVER: dict[str, Any] = {
    "test_iter": 100, "test_interval": 1000, "base_lr": 0.01, "lr_policy": "step", "gamma": 0.1,
    "stepsize": 20000, "momentum": 0, "weight_decay": 0, "display": 100, "max_iter": 40000,
    "snapshot": 10000,
}  # fmt: skip

RECIPES = {
    "lenet": Recipe(
        "LeNet",
        (1, 28, 28),
        (64, 100),
        "scale: 0.00390625",
        {
            "test_iter": 100, "test_interval": 500, "base_lr": 0.01, "lr_policy": "inv",
            "gamma": 0.0001, "power": 0.75, "momentum": 0.9, "weight_decay": 0.0005,
            "display": 100, "max_iter": 10000, "snapshot": 5000,
        },
        {"lp": Formats("2.2", "2.2")},  # as ADaPTION's MNIST example has it
        source="data/mnist_{}_lmdb",
        top5=False,
        mirror=False,
    ),
    "cifar10_quick": Recipe(
        "CIFAR10_quick",
        (3, 32, 32),
        (100, 100),
        _CIFAR_MEAN,
        {
            "test_iter": 100, "test_interval": 500, "base_lr": 0.001, "lr_policy": "multistep",
            "gamma": 0.1, "stepvalue": (4000,), "momentum": 0.9, "weight_decay": 0.004,
            "display": 100, "max_iter": 5000, "snapshot": 1000,
        },
        mirror=False,
        **_CIFAR,
    ),
    "cifar10_full": Recipe(
        "CIFAR10_full",
        (3, 32, 32),
        (100, 100),
        _CIFAR_MEAN,
        {
            "test_iter": 100, "test_interval": 1000, "base_lr": 0.001, "lr_policy": "multistep",
            "gamma": 0.1, "stepvalue": (60000, 65000), "momentum": 0.9, "weight_decay": 0.004,
            "display": 200, "max_iter": 70000, "snapshot": 10000,
        },
        **_CIFAR,
    ),
    "cifar10_resnet20": Recipe(
        "ResNet-20",
        (3, 32, 32),
        (128, 100),
        _CIFAR_MEAN,
        {  # He et al. 2015, section 4.2
            "test_iter": 100, "test_interval": 1000, "base_lr": 0.1, "lr_policy": "multistep",
            "gamma": 0.1, "stepvalue": (32000, 48000), "momentum": 0.9, "weight_decay": 0.0001,
            "display": 100, "max_iter": 64000, "snapshot": 16000,
        },
        **_CIFAR,
    ),
    "alexnet": Recipe(
        "AlexNet",
        (3, 227, 227),
        (256, 50),
        IMAGENET_MEAN,
        _ALEXNET_SOLVER,
        {
            "lp": Formats(
                ("1.15", "1.15", "1.15", "1.15", "2.14", "1.15", "1.15", "1.15"),
                (*_ALEXNET_RESULTS, ""),
                stochastic=True,
            )
        },
    ),
    "caffenet": Recipe(
        "CaffeNet", (3, 227, 227), (256, 50), IMAGENET_MEAN, _ALEXNET_SOLVER
    ),
    "vgg16": Recipe(
        "VGG16",
        (3, 224, 224),
        (32, 50),
        IMAGENET_MEAN,
        _VGG_SOLVER,
        {
            "lp": Formats(
                ("3.13", *["1.15"] * 11, "5.11", "1.15", "2.14", "1.15"),
                (*_VGG16_RESULTS, ""),
                stochastic=True,
            ),
            "lp_scaled": Formats("2.14", (*_VGG16_RESULTS_SCALED, "")),
        },
    ),
    "vgg19": Recipe(
        "VGG19",
        (3, 224, 224),
        (32, 50),
        IMAGENET_MEAN,
        _VGG_SOLVER,
        {
            "lp": Formats(
                ("2.14", *["1.15"] * 13, "2.14", "5.11", "1.15", "2.14", "1.15"),
                (*_VGG19_RESULTS, ""),
                stochastic=True,
            )
        },
    ),
    "googlenet": Recipe(
        "GoogLeNet",
        (3, 224, 224),
        (32, 50),
        IMAGENET_MEAN,
        {
            "test_iter": 1000, "test_interval": 4000, "base_lr": 0.01, "lr_policy": "poly",
            "power": 0.5, "momentum": 0.9, "weight_decay": 0.0002, "max_iter": 2400000,
            "display": 40, "snapshot": 40000,
        },
        losses={"loss1/": 0.3, "loss2/": 0.3, "loss3/": 1.0},  # section 5 of the paper
    ),
    "resnet50": Recipe(
        "ResNet-50",
        (3, 224, 224),
        (32, 25),
        IMAGENET_MEAN,
        {  # He et al. 2015, section 3.4: batch 256
            "test_iter": 2000, "test_interval": 5000, "base_lr": 0.1, "lr_policy": "step",
            "gamma": 0.1, "stepsize": 200000, "momentum": 0.9, "weight_decay": 0.0001,
            "max_iter": 600000, "iter_size": 8, "display": 20, "snapshot": 10000,
        },
    ),
    "resnet152": Recipe(
        "ResNet-152",
        (3, 224, 224),
        (16, 25),
        IMAGENET_MEAN,
        {  # as ResNet-50
            "test_iter": 2000, "test_interval": 5000, "base_lr": 0.1, "lr_policy": "step",
            "gamma": 0.1, "stepsize": 200000, "momentum": 0.9, "weight_decay": 0.0001,
            "max_iter": 600000, "iter_size": 16, "display": 20, "snapshot": 10000,
        },
    ),
    "resnet34": Recipe(
        "ResNet-34",
        (3, 224, 224),
        (64, 50),
        IMAGENET_MEAN,
        {  # He et al. 2015, section 3.4: batch 256
            "test_iter": 1000, "test_interval": 5000, "base_lr": 0.1, "lr_policy": "step",
            "gamma": 0.1, "stepsize": 200000, "momentum": 0.9, "weight_decay": 0.0001,
            "max_iter": 600000, "iter_size": 4, "display": 20, "snapshot": 10000,
        },
    ),
    "squeezenet": Recipe(
        "SqueezeNet-1.1",
        (3, 227, 227),
        (32, 25),
        IMAGENET_MEAN,
        {
            "test_iter": 2000, "test_interval": 1000, "base_lr": 0.04, "lr_policy": "poly",
            "power": 1.0, "momentum": 0.9, "weight_decay": 0.0002, "max_iter": 170000,
            "iter_size": 16, "display": 40, "snapshot": 1000,
        },
    ),
    "mobilenet": Recipe(
        "MobileNet",
        (3, 224, 224),
        (32, 50),
        "scale: 0.017 mean_value: 103.94 mean_value: 116.78 mean_value: 123.68",
        {
            "test_iter": 1000, "test_interval": 5000, "base_lr": 0.1, "lr_policy": "poly",
            "power": 1.0, "momentum": 0.9, "weight_decay": 0.00004, "max_iter": 500000,
            "iter_size": 8, "display": 100, "snapshot": 10000,
        },
    ),
    "cifar10_preresnet20": Recipe(
        "Pre-activation ResNet-20",
        (3, 32, 32),
        (128, 100),
        _CIFAR_MEAN_VALUES,
        {  # the schedule of WRPN in distiller, June 2018: epochs 80, 120 and 160 of 200
            "test_iter": 100, "test_interval": 1000, "base_lr": 0.1, "lr_policy": "multistep",
            "gamma": 0.1, "stepvalue": (31280, 46920, 62560), "momentum": 0.9,
            "weight_decay": 0.0002, "display": 100, "max_iter": 78200, "snapshot": 15640,
        },
        pad=4,
        **_CIFAR,
    ),
    "cifar10_resnet20_wide": Recipe(
        "ResNet-20, 8 times as wide",
        (3, 32, 32),
        (250, 100),
        "scale: 0.00390625",
        _SAKR_SOLVER,
        pad=4,
        **_CIFAR,
    ),
    "cifar10_convnet_sakr": Recipe(
        "ConvNet of Sakr and Shanbhag",
        (3, 32, 32),
        (250, 100),
        "scale: 0.00390625",
        _SAKR_SOLVER,
        pad=4,
        **_CIFAR,
    ),
    "cifar10_alexnet": Recipe(
        "AlexNet for CIFAR-10",
        (3, 32, 32),
        (128, 100),
        _CIFAR_MEAN_VALUES,
        {  # AdaPT: batch 128 four times, 100 epochs; the rate falls when the loss stands still
            "test_iter": 100, "test_interval": 500, "base_lr": 0.1, "lr_policy": "multistep",
            "gamma": 0.1, "stepvalue": (4900, 7350), "iter_size": 4, "momentum": 0.9,
            "weight_decay": 0.00000001, "display": 100, "max_iter": 9800, "snapshot": 4900,
        },
        pad=4,
        **_CIFAR,
    ),
    "lenet5": Recipe(
        "LeNet-5",
        (1, 32, 32),
        (64, 100),
        "scale: 0.012728 mean_value: 33.32",  # 0.1307 and 1 / 0.3081 of pixels up to 255
        {  # AdaPT: batch 64 four times, 15 epochs, the rate falls at the last but one
            "test_iter": 100, "test_interval": 235, "base_lr": 0.1, "lr_policy": "multistep",
            "gamma": 0.1, "stepvalue": (3290,), "iter_size": 4, "momentum": 0.9,
            "weight_decay": 0.0001, "display": 50, "max_iter": 3525, "snapshot": 3525,
        },
        source="data/mnist32_{}_lmdb",
        top5=False,
        mirror=False,
    ),
}  # fmt: skip
