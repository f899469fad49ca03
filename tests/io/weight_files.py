"""Weights for tests of their files, and fields on the wire."""

from __future__ import annotations

import numpy as np

from adaption.io import wire
from adaption.io.caffemodel import LayerWeights, WeightBlob, Weights


def layers() -> list[LayerWeights]:
    draw = np.random.default_rng(0)
    return [
        LayerWeights("data", "Input", []),
        LayerWeights(
            "conv1",
            "Convolution",
            [
                WeightBlob.of(draw.normal(size=(4, 3, 2, 2))),
                WeightBlob((1, 1, 1, 4), True, WeightBlob.of(draw.normal(size=4)).pieces),
            ],
        ),
        LayerWeights("bn", "BatchNorm", [WeightBlob.of([1.0, 2.0]), WeightBlob.of(3.0)]),
        LayerWeights("fire2/ü 1x1", "Convolution", [WeightBlob.of(draw.normal(size=(2, 2)))]),
        LayerWeights("prob", "Softmax", []),
    ]


def same(a: Weights, b: list[LayerWeights], *, types: bool = True, legacy: bool = True) -> None:
    assert [layer.name for layer in a] == [layer.name for layer in b]
    if types:
        assert [layer.type for layer in a] == [layer.type for layer in b]
    for x, y in zip(a, b, strict=True):
        assert [blob.shape for blob in x.blobs] == [blob.shape for blob in y.blobs]
        if legacy:
            assert [blob.legacy for blob in x.blobs] == [blob.legacy for blob in y.blobs]
        for p, q in zip(x.blobs, y.blobs, strict=True):
            np.testing.assert_array_equal(p.array(), q.array())


def field(number: int, kind: int, payload: bytes) -> bytes:
    length = wire.encode_varint(len(payload)) if kind == wire.LENGTH else b""
    return wire.encode_tag(number, kind) + length + payload


SHAPE_6 = wire.encode_field(7, wire.encode_field(1, b"\x02\x03"))
