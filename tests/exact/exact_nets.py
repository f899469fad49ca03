"""Small low-precision nets that meet every operation of exact arithmetic."""

from __future__ import annotations

from tests.export.nets import input_layer, layer

DATA = input_layer("data", 1, 3, 6, 6)
Q8 = "lpfp_param { bd: 2 ad: 6 }"
IP = "inner_product_param { num_output: 3 }"


def lp(name: str, bottom: str, top: str, geometry: str, fmt: str = Q8) -> str:
    text = f'type: "LPConvolution" convolution_param {{ {geometry} }} {fmt}'
    return layer(name, bottom, top, text)


def act(name: str, blob: str, bd: int, ad: int) -> str:
    return layer(name, blob, blob, f'type: "LPAct" lpfp_param {{ bd: {bd} ad: {ad} }}')


CONV = lp("conv", "data", "conv", "num_output: 4 kernel_size: 3 pad: 1")
ENTRY = act("in", "data", 3, 5)
NETS = {
    "strided, dilated, grouped": ENTRY
    + lp("c1", "data", "c1", "num_output: 6 kernel_size: 3 pad: 2 stride: 2 dilation: 2 group: 3")
    + act("a1", "c1", 4, 4),
    "bias off the grid, ReLU and MAX pooling before the point": ENTRY
    + CONV
    + layer("relu", "conv", "conv", 'type: "ReLU"')
    + layer("p", "conv", "p", 'type: "Pooling" pooling_param { kernel_size: 3 stride: 2 }')
    + act("a", "p", 5, 3),
    "AVE pooling, windows of 9, 6 and 4, divided at the next point": ENTRY
    + layer("p", "data", "p", 'type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 2'
            " pad: 1 }")
    + act("a", "p", 3, 5),
    "AVE pooling straight into weights": ENTRY
    + layer("p", "data", "p", 'type: "Pooling" pooling_param { pool: AVE kernel_size: 3 }')
    + lp("c", "p", "c", "num_output: 2 kernel_size: 2")
    + act("a", "c", 4, 4),
    "global AVE pooling": ENTRY
    + CONV
    + act("a", "conv", 4, 4)
    + layer("p", "conv", "p", 'type: "Pooling" pooling_param { pool: AVE global_pooling: true }')
    + act("b", "p", 2, 9),
    "leaky ReLU, then a point": ENTRY
    + CONV
    + layer("relu", "conv", "conv", 'type: "ReLU" relu_param { negative_slope: 0.1 }')
    + act("a", "conv", 5, 3),
    "PReLU, then a point": ENTRY
    + CONV
    + act("a", "conv", 5, 3)
    + layer("prelu", "conv", "conv", 'type: "PReLU"')
    + act("b", "conv", 5, 3),
    "residual sum of two scales": ENTRY
    + CONV
    + act("a", "conv", 5, 3)
    + lp("c", "conv", "c", "num_output: 4 kernel_size: 1")
    + act("b", "c", 4, 7)
    + layer("sum", "conv c", "sum", 'type: "Eltwise" eltwise_param { coeff: 1 coeff: -0.5 }')
    + layer("relu", "sum", "sum", 'type: "ReLU"')
    + lp("d", "sum", "d", "num_output: 2 kernel_size: 3")
    + act("e", "d", 5, 4),
    "product and maximum of two scales": ENTRY
    + CONV
    + act("a", "conv", 5, 3)
    + lp("c", "conv", "c", "num_output: 4 kernel_size: 1")
    + act("b", "c", 4, 7)
    + layer("prod", "conv c", "prod", 'type: "Eltwise" eltwise_param { operation: PROD }')
    + layer("max", "conv c", "max", 'type: "Eltwise" eltwise_param { operation: MAX }')
    + act("e", "prod", 5, 4)
    + act("f", "max", 5, 2),
    "Concat of three scales, Flatten, InnerProduct": ENTRY
    + CONV
    + act("a", "conv", 5, 3)
    + lp("c", "conv", "c", "num_output: 4 kernel_size: 1")
    + act("b", "c", 3, 7)
    + layer("cat", "conv c data", "cat", 'type: "Concat"')
    + layer("flat", "cat", "flat", 'type: "Flatten"')
    + layer("ip", "flat", "ip", f'type: "LPInnerProduct" {IP} {Q8}')
    + act("d", "ip", 6, 5),
    "Deconvolution by precision_param": ENTRY
    + layer("up", "data", "up", 'type: "Deconvolution" convolution_param { num_output: 6 group: 3'
            " kernel_size: 4 stride: 2 pad: 1 } precision_param { weight { kind: FIXED"
            " word_length: 8 frac_length: 6 } }")
    + act("a", "up", 5, 3),
    "Scale by powers of two": ENTRY
    + CONV
    + layer("scale", "conv", "conv", 'type: "Scale" scale_param { filler { type: "constant"'
            " value: 0.5 } bias_term: true }")
    + act("a", "conv", 5, 3),
    "no point at the end": ENTRY + CONV,
}  # fmt: skip
