"""Small low-precision nets with layers that are not linear: tables of codes, LRN, Normalize."""

from __future__ import annotations

from tests.exact.exact_nets import CONV, ENTRY, act, lp
from tests.export.nets import layer

WIDE_ENTRY = act("in", "data", 3, 13)


def between_points(text: str, frac_length: int = 5) -> str:
    """A layer between a point of 8 bits and another."""
    return ENTRY + CONV + act("a", "conv", 4, 4) + layer("f", "conv", "f", text) + act(
        "b", "f", 8 - frac_length, frac_length
    )  # fmt: skip


TABLES = {
    "Sigmoid": between_points('type: "Sigmoid"', 7),
    "TanH": between_points('type: "TanH"', 7),
    "ELU": between_points('type: "ELU" elu_param { alpha: 0.7 }'),
    "Exp": between_points('type: "Exp" exp_param { base: 2 scale: 0.5 shift: 0.1 }'),
    "Exp that saturates": between_points('type: "Exp" exp_param { scale: 400 }'),
    "Log": between_points('type: "Log" log_param { base: 10 scale: 0.5 shift: 9 }'),
    "Power 3": between_points('type: "Power" power_param { power: 3 scale: 0.25 shift: 0.5 }'),
    "Power 0.5": between_points('type: "Power" power_param { power: 0.5 shift: 8 }'),
    "Swish": between_points('type: "Swish" swish_param { beta: 1.5 }'),
    "BNLL": between_points('type: "BNLL"'),
    "Threshold": between_points('type: "Threshold" threshold_param { threshold: 0.3 }'),
    "in place, Dropout behind, 16 bits to 12": WIDE_ENTRY
    + lp("conv", "data", "conv", "num_output: 4 kernel_size: 3", "lpfp_param { bd: 2 ad: 14 }")
    + act("a", "conv", 4, 12)
    + layer("f", "conv", "conv", 'type: "Sigmoid"')
    + layer("drop", "conv", "conv", 'type: "Dropout"')
    + act("b", "conv", 1, 11),
    "the layer's own point, half to even": ENTRY
    + CONV
    + act("a", "conv", 4, 4)
    + layer("f", "conv", "f", 'type: "TanH" precision_param { activation { kind: FIXED'
            " word_length: 8 frac_length: 7 rounding: HALF_EVEN } }")
    + lp("c", "f", "c", "num_output: 2 kernel_size: 3")
    + act("d", "c", 4, 4),
    "layers one behind another are one table": ENTRY
    + layer("s", "data", "s", 'type: "Sigmoid"')
    + layer("p", "s", "p", 'type: "Power" power_param { scale: 2 shift: -1 }')
    + layer("r", "p", "p", 'type: "ReLU" relu_param { negative_slope: 0.1 }')
    + layer("abs", "p", "q", 'type: "AbsVal"')
    + act("b", "q", 1, 9),
    "Split: one function, two points, and ReLU before it": ENTRY
    + CONV
    + act("a", "conv", 4, 4)
    + layer("relu", "conv", "conv", 'type: "ReLU"')
    + layer("f", "conv", "f", 'type: "TanH"')
    + layer("split", "f", "x y", 'type: "Split"')
    + act("bx", "x", 1, 7)
    + act("by", "y", 1, 3)
    + layer("sum", "x y", "sum", 'type: "Eltwise"')
    + act("c", "sum", 2, 5),
    "behind AVE pooling over 9 pixels": ENTRY
    + layer("p", "data", "p", 'type: "Pooling" pooling_param { pool: AVE kernel_size: 3 }')
    + layer("f", "p", "f", 'type: "Sigmoid"')
    + act("b", "f", 1, 9),
}  # fmt: skip
"""Functions of one code, each with a point behind it."""

ALEXNET = 'type: "LRN" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }'
STRONG = 'type: "LRN" lrn_param { local_size: 3 alpha: 5 beta: 0.75 k: 2 }'
WITHIN = (
    'type: "LRN" lrn_param { local_size: 3 alpha: 2 beta: 0.5 norm_region: WITHIN_CHANNEL k: 7 }'
)
SPATIAL = 'type: "Normalize" norm_param { across_spatial: true channel_shared: true }'
CHANNELS = 'type: "Normalize" norm_param { across_spatial: false eps: 0.001 }'


def normed(text: str, bits: int, *between: str) -> str:
    """conv, point, whatever is between, the layer, point; `bits` everywhere."""
    geometry = "num_output: 8 kernel_size: 3 pad: 1"
    return (
        act("in", "data", 3, bits - 3)
        + lp("conv", "data", "conv", geometry, f"lpfp_param {{ bd: 2 ad: {bits - 2} }}")
        + act("a", "conv", 4, bits - 4)
        + "".join(between)
        + layer("norm", "conv", "norm", text)
        + act("b", "norm", 3, bits - 3)
    )


RELU = layer("relu", "conv", "conv", 'type: "ReLU"')
NORMS = {
    f"{name}, {bits} bits": normed(text, bits, *between)
    for bits in (8, 16)
    for name, text, between in (
        ("LRN across channels", STRONG, ()),
        ("LRN behind ReLU", STRONG, (RELU,)),
        ("LRN as in AlexNet", ALEXNET, (RELU,)),
        ("LRN within a channel", WITHIN, ()),
        ("Normalize across space", SPATIAL, ()),
        ("Normalize across channels", CHANNELS, ()),
    )
}
"""LRN and Normalize between two points."""


SQUEEZE = (
    layer("p", "conv", "p", 'type: "Pooling" pooling_param { pool: AVE global_pooling: true }')
    + lp("c", "p", "c", "num_output: 4 kernel_size: 1")
    + act("ca", "c", 4, 4)
    + layer("gate", "c", "c", 'type: "Sigmoid"')
    + act("cb", "c", 1, 7)
)
BN = (
    ENTRY + CONV + act("a", "conv", 4, 4)
    + 'layer { name: "bn" type: "BN" bottom: "conv" top: "bn" bn_param { '
)  # fmt: skip
OTHERS = {
    "squeeze and excitation by Axpy": ENTRY
    + CONV
    + act("a", "conv", 4, 4)
    + SQUEEZE
    + layer("res", "c conv conv", "res", 'type: "Axpy"')
    + act("b", "res", 5, 3),
    "squeeze and excitation by Scale of two bottoms, a point behind it": ENTRY
    + CONV
    + act("a", "conv", 4, 4)
    + SQUEEZE
    + layer("flat", "c", "flat", 'type: "Flatten"')
    + layer("scale", "conv flat", "res", 'type: "Scale" scale_param { axis: 0 }')
    + act("b", "res", 4, 4),
    "factors (N, C) of Axpy": ENTRY
    + CONV
    + act("a", "conv", 4, 4)
    + SQUEEZE
    + layer("flat", "c", "flat", 'type: "Flatten"')
    + layer("res", "flat conv conv", "res", 'type: "Axpy"')
    + act("b", "res", 5, 3),
    "Upsample of 8 bits": ENTRY
    + layer("up", "data", "up", 'type: "Upsample" upsample_param { scale: 2 }')
    + lp("c", "up", "c", "num_output: 2 kernel_size: 3")
    + act("b", "c", 4, 4),
    "Upsample of 40 bits, CropCenter": WIDE_ENTRY
    + lp("c", "data", "c", "num_output: 2 kernel_size: 3", "lpfp_param { bd: 2 ad: 20 }")
    + layer("up", "c", "up", 'type: "Upsample" upsample_param { scale: 3 }')
    + layer("crop", "up", "crop", 'type: "CropCenter" crop_center_param { crop_size: 0'
            " crop_size: 0 crop_size: 2 crop_size: 1 }")
    + act("b", "crop", 4, 12),
    "AVE pooling that leaves padding out": ENTRY
    + layer("p", "data", "p", 'type: "Pooling" pooling_param { pool: AVE_EXC_PAD kernel_size: 3'
            " stride: 2 pad: 1 }")
    + act("b", "p", 3, 5),
    "BN by moving statistics": BN + "eps: 0.001 frozen: true } }\n" + act("b", "bn", 5, 3),
    "BN in SegNet's INFERENCE": BN + "bn_mode: INFERENCE } }\n" + act("b", "bn", 5, 3),
    "BN of CTPN": BN + "moving_average: true var_eps: 0.01 } }\n" + act("b", "bn", 5, 3),
}  # fmt: skip
"""Layers that multiply blobs, repeat values, or normalize by fixed statistics."""


def alexnet(bits: int, behind: str = "") -> str:
    """AlexNet small: LRN and pooling between convolutions, by default with no point behind LRN."""
    fmt = f"lpfp_param {{ bd: 2 ad: {bits - 2} }}"
    pool = 'type: "Pooling" pooling_param { kernel_size: 3 stride: 2 }'
    return (
        act("in", "data", 3, bits - 3)
        + lp("conv1", "data", "conv1", "num_output: 8 kernel_size: 3 stride: 2 pad: 1", fmt)
        + act("a1", "conv1", 4, bits - 4)
        + layer("relu1", "conv1", "conv1", 'type: "ReLU"')
        + layer("norm1", "conv1", "norm1", STRONG)
        + behind
        + layer("pool1", "norm1", "pool1", pool)
        + lp("conv2", "pool1", "conv2", "num_output: 6 kernel_size: 3 pad: 1 group: 2", fmt)
        + act("a2", "conv2", 4, bits - 4)
        + layer("relu2", "conv2", "conv2", 'type: "ReLU"')
        + layer("norm2", "conv2", "norm2", ALEXNET)
        + layer("pool2", "norm2", "pool2", pool)
        + layer("fc6", "pool2", "fc6", 'type: "LPInnerProduct" inner_product_param {'
                f" num_output: 10 }} {fmt}")
        + act("a6", "fc6", 4, bits - 4)
        + layer("relu6", "fc6", "fc6", 'type: "ReLU"')
        + layer("drop6", "fc6", "fc6", 'type: "Dropout"')
        + layer("fc7", "fc6", "fc7", 'type: "LPInnerProduct" inner_product_param {'
                f" num_output: 5 }} {fmt}")
        + layer("prob", "fc7", "prob", 'type: "Softmax"')
    )  # fmt: skip
