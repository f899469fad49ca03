"""Random nets: each is widened into one that can be built, with the same results, or refused with
a layer and a reason."""

from __future__ import annotations

import random

import pytest

from adaption.errors import LayerError
from adaption.graph import NetState, build_spec
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document
from adaption.layers.shapes import shapes_of
from adaption.precision.widen import widen


def random_net(draw: random.Random) -> str:
    """A net of a few blobs of 8 x 8 positions, each read by some of the layers behind it."""
    text = """layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n"""
    blobs = {"data": 3}

    def add(kind: str, bottoms: list[str], channels: int, more: str = "") -> None:
        nonlocal text
        name = f"{kind.lower()}{len(blobs)}"
        reads = " ".join(f'bottom: "{b}"' for b in bottoms)
        text += f'layer {{ name: "{name}" type: "{kind}" {reads} top: "{name}" {more} }}\n'
        blobs[name] = channels

    def convolve(bottom: str, outputs: int, group: int) -> None:
        more = f"num_output: {outputs} group: {group} kernel_size: 1"
        add("Convolution", [bottom], outputs, f"convolution_param {{ {more} }}")

    for _ in range(draw.randint(4, 14)):
        bottom = draw.choice(list(blobs)[-5:])
        count = blobs[bottom]
        alike = [b for b, n in blobs.items() if n == count and b != bottom]
        match draw.randrange(9):
            case 0 | 1 | 2:
                divisors = [g for g in (1, 1, 2, 3) if count % g == 0]
                group = draw.choice(divisors)
                convolve(bottom, group * draw.randint(1, 12), group)
            case 3:
                convolve(bottom, count, count)
            case 4 if alike:
                kind = draw.choice(["SUM", "MAX", "PROD"])
                add(
                    "Eltwise",
                    [bottom, draw.choice(alike)],
                    count,
                    f"eltwise_param {{ operation: {kind} }}",
                )
            case 5:
                other = draw.choice(list(blobs))
                add("Concat", [bottom, other], count + blobs[other])
            case 6 if count > 1:
                point = draw.choice([count // 2, draw.randint(1, count - 1)])
                name = f"slice{len(blobs)}"
                text += f'layer {{ name: "{name}" type: "Slice" bottom: "{bottom}"'
                text += (
                    f' top: "{name}a" top: "{name}b" slice_param {{ slice_point: {point} }} }}\n'
                )
                blobs |= {f"{name}a": point, f"{name}b": count - point}
            case 7 if count % 2 == 0:
                add("ShuffleChannel", [bottom], count, "shuffle_channel_param { group: 2 }")
            case _:
                add("ReLU", [bottom], count)
    for bottom in list(blobs)[-2:]:
        add("InnerProduct", [bottom], 5, "inner_product_param { num_output: 5 }")
    for bottom in list(blobs)[:-2]:  # else what nobody reads is a result, and keeps its channels
        text += f'layer {{ name: "no {bottom}" type: "Silence" bottom: "{bottom}" }}\n'
    return text


def read(text: str) -> NetFile:
    return from_document(prototxt.parse(text, "net.prototxt"))


def sizes(net: NetFile) -> dict[str, tuple[int, ...]]:
    found = shapes_of(build_spec(net.message, NetState()))
    return {name: shape for x in found for name, shape in zip(x.spec.tops, x.tops, strict=True)}


@pytest.mark.parametrize("seed", range(60))
def test_random_net(seed: int) -> None:
    draw = random.Random(seed)
    net = read(random_net(draw))
    before = sizes(net)
    factor = draw.choice(["2", "3", "1.5", "1.3", "0.5"])
    assert widen(net, factor=1).nets[0].text() == net.text()
    try:
        made = widen(net, factor=factor, multiple_of=draw.choice([1, 1, 4]))
    except LayerError as error:
        assert error.layer and error.fix and "cannot be built" not in error.fact
        return
    after = sizes(made.nets[0])
    for name in build_spec(net.message, NetState()).outputs:
        assert after[name] == before[name]
