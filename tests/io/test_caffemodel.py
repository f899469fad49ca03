"""caffemodel.py: what is read and written, against protobuf and the files of the original."""

from __future__ import annotations

import io
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adaption.errors import FileFormatError, WeightsError
from adaption.io import wire
from adaption.io.blobproto import blob_length
from adaption.io.caffemodel import LayerWeights, WeightBlob, Weights, read_weights, write_weights
from adaption.io.text import encode, shown
from adaption.io.weights import CHUNK
from adaption.proto import caffe_pb2
from tests.io.weight_files import SHAPE_6, field, layers, same


def every_caffemodel(shared: Path) -> list[Path]:
    return sorted((shared / "models").rglob("*.caffemodel")) + sorted(
        (shared / "golden").rglob("*.caffemodel")
    )


def test_write_read_is_the_identity(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    write_weights(path, layers(), "net")
    got = read_weights(path)
    assert got.name == "net"
    assert got.file == str(path)
    same(got, layers())
    again = tmp_path / "again.caffemodel"
    write_weights(again, got)
    assert again.read_bytes() == path.read_bytes()


def test_written_file_is_what_protobuf_reads(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    write_weights(path, layers(), "net")
    want = caffe_pb2.NetParameter(name="net")
    for layer in layers():
        message = want.layer.add(name=layer.name, type=layer.type)
        for blob in layer.blobs:
            proto = message.blobs.add(data=blob.array().reshape(-1))
            if blob.legacy:
                proto.num, proto.channels, proto.height, proto.width = blob.shape
            else:
                proto.shape.SetInParent()
                proto.shape.dim.extend(blob.shape)
    assert caffe_pb2.NetParameter.FromString(path.read_bytes()) == want


def test_a_file_can_be_written_over_itself(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    write_weights(path, layers())
    write_weights(path, read_weights(path))
    same(read_weights(path), layers())


def test_every_shared_model_reads_as_protobuf_does(shared: Path, tmp_path: Path) -> None:
    for path in every_caffemodel(shared):
        message = caffe_pb2.NetParameter.FromString(path.read_bytes())
        got = read_weights(path)
        stored: list[Any] = list(message.layer) or list(message.layers)
        assert [layer.name for layer in got] == [layer.name for layer in stored], path
        for layer, proto in zip(got, stored, strict=True):
            for blob, want in zip(layer.blobs, proto.blobs, strict=True):
                np.testing.assert_array_equal(blob.array().ravel(), np.array(want.data, np.float32))
                assert blob.shape == (
                    (want.num, want.channels, want.height, want.width)
                    if blob.legacy
                    else tuple(want.shape.dim)
                )
        for proto in stored:
            proto.ClearField("blobs")
        assert got.definition() == message, path
        copy = tmp_path / "copy.caffemodel"
        write_weights(copy, got)
        same(read_weights(copy), got.layers)


def test_values_of_a_file_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    write_weights(path, layers())
    layer = read_weights(path).get("conv1")
    assert layer is not None
    view, copy = layer.blobs[0].array(), layer.blobs[0].copy()
    assert not view.flags.writeable
    assert copy.flags.writeable and copy.flags.aligned
    np.testing.assert_array_equal(view, copy)


def test_v1_types_and_legacy_shapes(shared: Path) -> None:
    got = read_weights(shared / "models" / "lenet_v1format" / "deploy.caffemodel")
    conv = got.get("conv1")
    assert conv is not None and conv.type == "Convolution"
    assert [(blob.shape, blob.legacy) for blob in conv.blobs] == [
        ((20, 1, 5, 5), True),
        ((1, 1, 1, 20), True),
    ]
    assert got.definition().layers[1].convolution_param.num_output == 20


def test_stored_definition(shared: Path) -> None:
    net = read_weights(shared / "models" / "armnn_lenet" / "deploy.caffemodel").definition()
    assert list(net.layer[-1].bottom) == ["ip2"]
    assert not any(layer.blobs for layer in net.layer)


def test_v0_layers(tmp_path: Path) -> None:
    path = tmp_path / "v0.caffemodel"
    net = caffe_pb2.NetParameter()
    old = net.layers.add(bottom=["x"], top=["y"]).layer
    old.name, old.type = "conv1", "conv"
    old.blobs.add(num=1, channels=1, height=1, width=2, data=[1, 2])
    path.write_bytes(net.SerializeToString())
    got = read_weights(path)
    assert [(layer.name, layer.type) for layer in got] == [("conv1", "Convolution")]
    np.testing.assert_array_equal(got.layers[0].blobs[0].array(), [[[[1, 2]]]])
    old.ClearField("blobs")
    assert got.definition() == net


VALUES = [1.0, -2.5, 3.0, 4.0, 5.0, 6.5]


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(SHAPE_6 + field(5, 2, struct.pack("<6f", *VALUES)), id="packed"),
        pytest.param(
            b"".join(field(5, 5, struct.pack("<f", v)) for v in VALUES) + SHAPE_6, id="unpacked"
        ),
        pytest.param(
            SHAPE_6
            + field(5, 2, struct.pack("<2f", *VALUES[:2]))
            + b"".join(field(5, 5, struct.pack("<f", v)) for v in VALUES[2:4])
            + field(6, 5, b"\0\0\0\0")
            + field(5, 2, struct.pack("<2f", *VALUES[4:])),
            id="in pieces, diff between",
        ),
        pytest.param(SHAPE_6 + field(8, 2, struct.pack("<6d", *VALUES)), id="double"),
        pytest.param(
            SHAPE_6 + b"".join(field(8, 1, struct.pack("<d", v)) for v in VALUES),
            id="double unpacked",
        ),
        pytest.param(
            SHAPE_6 + wire.encode_field(10, 2) + field(12, 2, np.array(VALUES, "<f2").tobytes()),
            id="NVCaffe float16",
        ),
        pytest.param(
            wire.encode_field(7, wire.encode_field(1, 2) + wire.encode_field(1, 3))
            + field(5, 2, struct.pack("<6f", *VALUES)),
            id="unpacked shape",
        ),
        pytest.param(
            SHAPE_6 + field(5, 2, struct.pack("<6f", *VALUES)) + field(99, 3, b"\x9c\x06"),
            id="unknown group",
        ),
    ],
)
def test_forms_of_data(blob: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(
        wire.encode_field(100, wire.encode_field(1, b"ip") + wire.encode_field(7, blob))
    )
    (layer,) = read_weights(path)
    want = np.array(VALUES, np.float32).reshape(2, 3)
    np.testing.assert_array_equal(layer.blobs[0].array(), want)
    assert layer.blobs[0].array().dtype == np.float32
    write_weights(path, [layer])
    np.testing.assert_array_equal(read_weights(path).layers[0].blobs[0].array(), want)


def test_double_is_converted_in_chunks() -> None:
    values = np.arange(2 * CHUNK + 5, dtype=np.float64)
    chunks = list(WeightBlob(values.shape, pieces=(values,)).chunks())
    assert [chunk.size for chunk in chunks] == [CHUNK, CHUNK, 5]
    np.testing.assert_array_equal(np.concatenate(chunks), values.astype(np.float32))


@pytest.mark.parametrize(
    ("kind", "shapes", "paired"),
    [
        ("LPConvolution", [(2, 3), (2, 3)], True),
        ("Scale", [(2,), (2,)], False),
        ("", [(2, 3), (2, 3), (2,), (2,)], True),
        ("", [(2, 3), (2, 3)], True),
        ("", [(2, 3), (2,)], False),
        ("", [(2,), (2,)], False),
        ("", [], False),
    ],
)
def test_is_paired(kind: str, shapes: list[tuple[int, ...]], paired: bool) -> None:
    assert LayerWeights("a", kind, [WeightBlob(s) for s in shapes]).is_paired == paired


def test_unknown_v1_type_of_a_fork_has_a_name(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(wire.encode_field(2, wire.encode_field(4, b"roi") + wire.encode_field(5, 77)))
    assert [(layer.name, layer.type) for layer in read_weights(path)] == [
        ("roi", "V1LayerType(77)")
    ]


def test_layer_name_that_is_not_utf8_stays_printable(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(wire.encode_field(100, wire.encode_field(1, b"conv\xb5")))
    name = read_weights(path).layers[0].name
    assert shown(name) == "conv\\xb5"
    assert encode(name) == b"conv\xb5"


def test_definition_is_stored_with_the_blobs(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    net = caffe_pb2.NetParameter(name="lenet")
    net.layer.add(name="data", type="Input", top=["data"]).input_param.shape.add(dim=[1, 3, 8, 8])
    conv = net.layer.add(name="conv1", type="LPConvolution", bottom=["data"], top=["conv1"])
    conv.convolution_param.num_output = 4
    conv.blobs.add(data=[9.0])  # stale: those of `layers` are written
    write_weights(path, [layers()[1]], definition=net)
    got = read_weights(path)
    conv.ClearField("blobs")
    assert got.name == "lenet"
    assert got.definition() == net
    assert [layer.type for layer in got] == ["Input", "LPConvolution"]
    np.testing.assert_array_equal(got.layers[1].blobs[0].array(), layers()[1].blobs[0].array())
    net.layer.add(name="fire2/ü 1x1")
    with pytest.raises(WeightsError) as caught:
        write_weights(path, layers(), definition=net)
    assert str(caught.value) == (
        "the definition has no layer for the weights of 'bn'\n"
        "  fix: write the weights without definition=, or with the definition they belong to"
    )
    same(Weights([got.layers[1]]), [read_weights(path).layers[1]])  # old file still whole


def test_weights_only_definition_and_none(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    write_weights(path, layers(), "n")
    assert [layer.type for layer in read_weights(path).definition().layer][:2] == [
        "Input",
        "Convolution",
    ]
    with pytest.raises(FileFormatError, match="holds no net definition"):
        Weights(layers()).definition()


def test_blob_without_data(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(
        wire.encode_field(100, wire.encode_field(1, b"ip") + wire.encode_field(7, SHAPE_6))
    )
    (layer,) = read_weights(path)
    assert layer.blobs[0].shape == (2, 3)
    assert not layer.blobs[0].has_data
    with pytest.raises(WeightsError) as caught:
        layer.blobs[0].array()
    assert str(caught.value) == (
        "a blob of shape (2, 3) is stored without data\n"
        "  fix: give the file the trained weights were saved to"
    )
    write_weights(path, [layer])
    assert not read_weights(path).layers[0].blobs[0].has_data


@pytest.mark.slow
def test_files_past_2_gib_are_read(tmp_path: Path) -> None:
    """A sparse file: its pages are holes, and only a few bytes of it are looked at."""
    path = tmp_path / "big.caffemodel"
    count = 600_000_000
    blob = WeightBlob((count,), pieces=(np.broadcast_to(np.float32(0), count),))
    data = wire.encode_tag(5, wire.LENGTH) + wire.encode_varint(4 * count)
    head = wire.encode_field(7, wire.encode_field(1, wire.encode_varint(count))) + data
    assert blob_length(blob) == len(head) + 4 * count
    layer = wire.encode_field(1, b"big") + wire.encode_tag(7, wire.LENGTH)
    layer += wire.encode_varint(blob_length(blob)) + head
    with path.open("wb") as file:
        file.write(wire.encode_tag(100, wire.LENGTH) + wire.encode_varint(len(layer) + 4 * count))
        file.write(layer)
        file.seek(4 * count - 4, 1)
        file.write(struct.pack("<f", 7.0))
        file.write(wire.encode_field(100, wire.encode_field(1, b"behind")))
    got = read_weights(path)
    assert [layer.name for layer in got] == ["big", "behind"]
    assert got.layers[0].blobs[0].array()[-1] == 7
    del got
    path.unlink()


@pytest.mark.parametrize("suffix", [".caffemodel", ".caffemodel.h5"])
def test_a_file_that_changes_while_it_is_used(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    write_weights(path, layers())
    opened = read_weights(path)
    want = [blob.copy() for layer in opened.layers for blob in layer.blobs]
    write_weights(path, [])  # renamed over it: the opened one goes on to be read
    got = [blob.copy() for layer in opened.layers for blob in layer.blobs]
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))
    write_weights(path, layers())
    opened = read_weights(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(FileFormatError) as caught:
        opened.layers[1].blobs[0].array()
    assert str(caught.value) == (
        f"{path}: has changed while it was read (it had {size} bytes, now 100)\n  fix: leave a"
        " file as it is while it is used; write a new one beside it and rename it"
    )


def test_writing_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are taken one by one, each written before the next is made."""
    sizes = []

    class Counting(io.BytesIO):
        def fileno(self) -> int:
            raise OSError

    out = Counting()

    def stream() -> Any:
        for layer in layers():
            sizes.append(out.tell())
            yield layer

    @contextmanager
    def into_out(path: object, mode: str) -> Any:
        yield out

    monkeypatch.setattr("adaption.io.caffemodel.atomic_write", into_out)
    write_weights(tmp_path / "x.caffemodel", stream())
    assert sizes == sorted(set(sizes))
