"""Layers of small nets that round half to even, by precision_param."""

from __future__ import annotations

from tests.export.nets import input_layer, layer

ROUNDS_FLOATS = (
    "results of float32 operators are rounded, and codes may differ from exact arithmetic beside a"
    ' tie, at: "act"'
)


def fixed(kind: str, word_length: int, frac_length: int, extra: str = "") -> str:
    return (
        f"{kind} {{ kind: FIXED word_length: {word_length} frac_length: {frac_length}"
        f" rounding: HALF_EVEN {extra} }}"
    )


def precision(*points: str) -> str:
    return f"precision_param {{ {' '.join(points)} }}"


def rounds(name: str, blob: str, word_length: int, frac_length: int, extra: str = "") -> str:
    point = precision(fixed("activation", word_length, frac_length, extra))
    return layer(name, blob, blob, f'type: "LPAct" {point}')


def conv(bottom: str, top: str, outputs: int, form: str, weight: tuple[int, int]) -> str:
    """A 8-bit bias on the weights' grid lies on every product grid used here."""
    points = precision(fixed("weight", *weight), fixed("bias", 12, weight[1]))
    text = f'type: "Convolution" convolution_param {{ num_output: {outputs} {form} }} {points}'
    return layer(top, bottom, top, text)


def product(bottom: str, top: str, outputs: int, weight: tuple[int, int]) -> str:
    points = precision(fixed("weight", *weight), fixed("bias", 12, weight[1]))
    text = f'type: "InnerProduct" inner_product_param {{ num_output: {outputs} }} {points}'
    return layer(top, bottom, top, text)


def relu(blob: str) -> str:
    return layer(f"{blob}_relu", blob, blob, 'type: "ReLU"')


def pool(bottom: str, top: str, form: str) -> str:
    return layer(top, bottom, top, f'type: "Pooling" pooling_param {{ {form} }}')


def chain(bits: int = 8) -> str:
    f = max(bits - 4, 0)  # so that biases lie on the products' grid
    return (
        input_layer("data", 2, 3, 12, 12)
        + rounds("act0", "data", bits, bits - 3)
        + conv("data", "c1", 8, "kernel_size: 3 pad: 1", (bits, bits - 2))
        + rounds("act1", "c1", bits, f)
        + relu("c1")
        + pool("c1", "p1", "pool: MAX kernel_size: 3 stride: 2")
        + conv("p1", "c2", 6, "kernel_size: 3 stride: 2 group: 2", (bits, bits - 1))
        + rounds("act2", "c2", bits, f)
        + relu("c2")
        + product("c2", "ip1", 10, (bits, bits - 1))
        + rounds("act3", "ip1", bits, f)
        + relu("ip1")
        + product("ip1", "ip2", 5, (bits, bits - 1))
    )
