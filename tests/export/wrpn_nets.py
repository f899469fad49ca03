"""Nets with WRPN's formats that meet every operation of exact arithmetic, on codes and floats."""

from __future__ import annotations

from tests.export.nets import input_layer, layer

DATA = input_layer("data", 2, 4, 9, 9)


def point(bits: int, kind: str = "activation") -> str:
    return f"precision_param {{ {kind} {{ kind: WRPN word_length: {bits} is_signed: false }} }}"


def act(name: str, blob: str, bits: int = 4, top: str = "") -> str:
    return layer(name, blob, top or blob, f'type: "LPAct" {point(bits)}')


def weight(bits: int, more: str = "") -> str:
    return f"precision_param {{ weight {{ kind: WRPN word_length: {bits} {more} }} }}"


def conv(name: str, bottom: str, geometry: str, precision: str = "", kind: str = "") -> str:
    kind = kind or "Convolution"
    text = f'type: "{kind}" convolution_param {{ {geometry} }} {precision}'
    return layer(name, bottom, name, text)


def norm(blob: str) -> str:
    return layer(f"{blob}_bn", blob, blob, 'type: "BatchNorm"') + layer(
        f"{blob}_scale", blob, blob, 'type: "Scale" scale_param { bias_term: true }'
    )


def ip(name: str, bottom: str, form: str = "num_output: 3", precision: str = "") -> str:
    text = f'type: "InnerProduct" inner_product_param {{ {form} }} {precision}'
    return layer(name, bottom, name, text)


def pool(name: str, bottom: str, text: str) -> str:
    return layer(name, bottom, name, f'type: "Pooling" pooling_param {{ {text} }}')


FIRST = DATA + conv("c0", "data", "num_output: 4 kernel_size: 3 pad: 1") + norm("c0")
ENTRY = FIRST + act("a0", "c0")
BY_FILTER = weight(1, "per_filter: true")
UP = "num_output: 4 group: 2 kernel_size: 4 stride: 2 pad: 1"
W4, FIXED = weight(4), "precision_param { weight { kind: FIXED word_length: 6 frac_length: 4 } }"
THIN = "num_output: 4 kernel_size: 1"
NETS = {
    "float layer of groups, strides, dilation": DATA
    + conv("c0", "data", "num_output: 6 kernel_size: 3 pad: 2 stride: 2 dilation: 2 group: 2")
    + norm("c0")
    + act("a0", "c0")
    + conv("c1", "c0", "num_output: 4 kernel_size: 3 group: 2", W4)
    + norm("c1")
    + act("a1", "c1"),
    "uneven kernel, no bias, MAX pooling of floats": DATA
    + conv("c0", "data", "num_output: 4 kernel_h: 1 kernel_w: 3 pad_w: 1 bias_term: false")
    + pool("p0", "c0", "kernel_size: 3 stride: 2 pad: 1")
    + act("a0", "p0")
    + conv("c1", "p0", THIN, weight(3))
    + act("a1", "c1", 3),
    "AVE pooling of floats, then a point": FIRST
    + pool("p0", "c0", "pool: AVE kernel_size: 3 stride: 2 pad: 1")
    + act("a0", "p0", 5)
    + conv("c1", "p0", THIN, W4)
    + pool("p1", "c1", "pool: AVE global_pooling: true")
    + act("a1", "p1", 5),
    "AVE pooling of codes into weights, and into a point": ENTRY
    + pool("p0", "c0", "pool: AVE kernel_size: 3 stride: 2")
    + conv("c1", "p0", THIN, W4)
    + act("a1", "c1")
    + pool("p1", "c1", "pool: AVE kernel_size: 2 stride: 1")
    + act("a2", "p1", 3)
    + ip("ip", "p1", precision=weight(2)),
    "residual sum of sums and codes, after the activation": ENTRY
    + conv("c1", "c0", "num_output: 4 kernel_size: 3 pad: 1", weight(2))
    + norm("c1")
    + layer("sum", "c1 c0", "sum", 'type: "Eltwise"')
    + act("a1", "sum", 4)
    + conv("c2", "sum", THIN, weight(2))
    + norm("c2")
    + layer("sum2", "sum c2", "sum2", 'type: "Eltwise" eltwise_param { coeff: 1 coeff: -0.7 }')
    + layer("clip", "sum2", "sum2", 'type: "Clip" clip_param { min: 0 max: 1 }')
    + ip("ip", "sum2"),
    "residual sums before the activation": DATA
    + conv("c0", "data", "num_output: 4 kernel_size: 3 pad: 1")
    + layer("b1", "c0", "b1", 'type: "BatchNorm"')
    + act("a1", "b1")
    + conv("c1", "b1", "num_output: 4 kernel_size: 3 pad: 1", W4)
    + layer("s1", "c0 c1", "s1", 'type: "Eltwise"')
    + layer("b2", "s1", "b2", 'type: "BatchNorm"')
    + act("a2", "b2")
    + conv("c2", "b2", "num_output: 4 kernel_size: 3 pad: 1", W4)
    + layer("s2", "s1 c2", "s2", 'type: "Eltwise"')
    + act("a3", "s2", 6),
    "weights of one bit": ENTRY
    + conv("c1", "c0", "num_output: 4 kernel_size: 3", weight(1))
    + norm("c1")
    + act("a1", "c1", 1)
    + conv("c2", "c1", "num_output: 6 kernel_size: 3 bias_term: false", BY_FILTER)
    + norm("c2")
    + act("a2", "c2", 2)
    + ip("ip", "c2", precision=BY_FILTER),
    "depthwise, and a deconvolution": ENTRY
    + conv("dw", "c0", "num_output: 4 group: 4 kernel_size: 3 pad: 1", weight(2))
    + norm("dw")
    + act("a1", "dw")
    + conv("up", "dw", UP, W4, "Deconvolution")
    + act("a2", "up"),
    "branches of floats and codes, joined, moved, cut": ENTRY
    + conv("c1", "c0", THIN, W4)
    + layer("join", "c1 c0", "join", 'type: "Concat"')
    + layer("order", "join", "order", 'type: "Permute" permute_param { order: 0 order: 2 order: 1'
            " order: 3 }")
    + act("a1", "order", 4)
    + layer("cut", "order", "left right", 'type: "Slice" slice_param { axis: 1 slice_point: 3 }')
    + layer("flat", "left", "flat", 'type: "Flatten"')
    + ip("ip", "flat", "num_output: 5 transpose: true", weight(4))
    + act("a2", "ip", 3)
    + pool("p", "right", "kernel_size: 2 stride: 2"),
    "slopes, bounds, products and maxima of floats": ENTRY
    + conv("c1", "c0", THIN, W4)
    + layer("leak", "c1", "leak", 'type: "ReLU" relu_param { negative_slope: 0.1 }')
    + layer("prelu", "c1", "prelu", 'type: "PReLU"')
    + layer("six", "c1", "six", 'type: "ReLU6"')
    + layer("power", "c1", "power", 'type: "Power" power_param { scale: 0.3 shift: 0.1 }')
    + layer("prod", "leak prelu", "prod", 'type: "Eltwise" eltwise_param { operation: PROD }')
    + layer("max", "prod six power", "max", 'type: "Eltwise" eltwise_param { operation: MAX }')
    + act("a1", "max", 6)
    + ip("ip", "max", "num_output: 4 axis: 2", weight(3))
    + act("a2", "ip"),
    "quantized weights on the net's input": DATA
    + conv("c0", "data", "num_output: 4 kernel_size: 3", weight(2))
    + norm("c0")
    + act("a0", "c0")
    + ip("ip", "c0", "num_output: 5 bias_term: false", weight(1)),
    "a rounded view of the bottom": FIRST
    + conv("c1", "c0", THIN, "precision_param { weight { kind: WRPN word_length: 4 } bottom {"
           " kind: WRPN word_length: 4 is_signed: false } }")
    + layer("sum", "c0 c1", "sum", 'type: "Eltwise"')
    + act("a1", "sum"),
    "among fixed point": ENTRY
    + conv("c1", "c0", THIN, FIXED)
    + layer("relu", "c1", "c1", 'type: "ReLU"')
    + act("a1", "c1", 5)
    + conv("c2", "c1", THIN, W4)
    + layer("q", "c2", "c2", 'type: "LPAct" lpfp_param { bd: 3 ad: 5 }')
    + conv("c3", "c2", THIN, W4)
    + act("a3", "c3"),
    "float weights that read codes": ENTRY
    + conv("c1", "c0", THIN, W4)
    + act("a1", "c1")
    + conv("head", "c0", "num_output: 2 kernel_size: 3 pad: 1")
    + conv("head2", "c1", "num_output: 2 kernel_size: 1"),
    "an accumulator of few bits": ENTRY
    + conv("c1", "c0", "num_output: 4 kernel_size: 3", "precision_param { weight { kind: WRPN"
           " word_length: 4 } accumulator { kind: FIXED word_length: 9 } }")
    + act("a1", "c1"),
}  # fmt: skip

EXCEPTIONS = {
    "a function between": (
        ENTRY
        + conv("c1", "c0", THIN, W4)
        + layer("sig", "c1", "c1", 'type: "Sigmoid"')
        + act("a1", "c1")
        + conv("c2", "c1", THIN, W4)
        + act("a2", "c2"),
        ("sig",),
    ),
    "a norm in front": (
        FIRST
        + layer("lrn", "c0", "c0", 'type: "LRN"')
        + act("a0", "c0")
        + conv("c1", "c0", THIN, W4)
        + act("a1", "c1"),
        ("lrn",),
    ),
    "a float deconvolution in front": (
        DATA
        + conv("up", "data", "num_output: 4 kernel_size: 2 stride: 2", "", "Deconvolution")
        + act("a0", "up")
        + conv("c1", "up", THIN, W4)
        + act("a1", "c1"),
        ("up",),
    ),
}
"""Nets, and the layers from which on other programs may give other codes."""
