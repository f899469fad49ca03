"""caffemodel.py: what is read and written, against protobuf and the files of the original."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaption.errors import AdaptionError, FileFormatError, WeightsError
from adaption.io import wire
from adaption.io.blobproto import blob_length
from adaption.io.caffemodel import LayerWeights, WeightBlob, Weights, read_weights, write_weights
from adaption.io.file_bytes import FileValues
from adaption.io.text import encode, shown
from adaption.io.weights import CHUNK
from adaption.proto import caffe_pb2

GIVE = "give the file with the trained weights (.caffemodel or .caffemodel.h5)"
AGAIN = "the download or copy broke off; fetch the file again"


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


def field(number: int, kind: int, payload: bytes) -> bytes:
    length = wire.encode_varint(len(payload)) if kind == wire.LENGTH else b""
    return wire.encode_tag(number, kind) + length + payload


SHAPE_6 = wire.encode_field(7, wire.encode_field(1, b"\x02\x03"))
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


# --- HDF5 ---


def test_hdf5_of_the_original(shared: Path) -> None:
    folder = shared / "models" / "cmsisnn_cifar10_m7"
    got = read_weights(folder / "float.caffemodel.h5")
    assert [blob.shape for blob in got.get("conv1").blobs] == [(32, 3, 5, 5), (32,)]  # type: ignore[union-attr]
    assert got.get("relu1").blobs == []  # type: ignore[union-attr]
    for name in ("sgd", "adam"):
        path = shared / "golden" / "solvers" / f"{name}_hdf5_snapshot_iter_5.caffemodel.h5"
        with np.load(path.with_name(f"{name}_hdf5_snapshot.npz")) as want:
            assert read_weights(path).get("ip1").blobs[0].shape == want["param.ip1.0"].shape  # type: ignore[union-attr]


def test_hdf5_write_read_is_the_identity(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    write_weights(path, layers())
    same(read_weights(path), layers(), types=False, legacy=False)
    with h5py.File(path) as file:
        assert sorted(file["data"]) == ["bn", "conv1", "data", "fire2", "prob"]
        assert list(file["data/conv1"]) == ["0", "1"]
        assert list(file["data/fire2/ü 1x1"]) == ["0"]
        assert file["data/conv1/0"].dtype == np.float32
    with pytest.raises(FileFormatError, match="holds no net definition"):
        read_weights(path).definition()


def test_hdf5_values_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel.h5"
    write_weights(path, layers())
    blob = read_weights(path).layers[1].blobs[0]
    assert isinstance(blob.pieces[0], FileValues) and not blob.array().flags.writeable


def test_hdf5_that_points_to_other_files_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        file.create_group("data/ip")["0"] = h5py.ExternalLink("/etc/passwd", "/x")
    with pytest.raises(FileFormatError) as caught:
        read_weights(path)
    assert str(caught.value) == (
        f"{path}: '/data/ip/0' points to another file, which is not followed\n"
        "  fix: write the arrays into one file"
    )
    with h5py.File(path, "w") as file:
        file.create_dataset("data/ip/0", (4,), "f4", external=[(str(path), 0, 16)])
    with pytest.raises(FileFormatError, match="points to another file"):
        read_weights(path)


@pytest.mark.parametrize("way", ["external link", "soft link through one", "virtual", "raw file"])
def test_hdf5_is_not_followed_out_of_the_file(way: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    other, path = tmp_path / "other.h5", tmp_path / "net.caffemodel.h5"
    with h5py.File(other, "w") as file:
        file["data/ip/0"] = np.full((2, 2), 7, "f4")
    with h5py.File(path, "w") as file:
        file["padding"] = np.full(1000, 1234.5, "f4")
        if way == "external link":
            file["data"] = h5py.ExternalLink("other.h5", "/data")
        elif way == "soft link through one":
            file["elsewhere"] = h5py.ExternalLink("other.h5", "/")
            file["data"] = h5py.SoftLink("/elsewhere/data")
        elif way == "virtual":
            layout = h5py.VirtualLayout((2, 2), "f4")
            layout[:] = h5py.VirtualSource("other.h5", "data/ip/0", (2, 2))
            file.create_virtual_dataset("data/ip/0", layout)
        else:
            file.create_dataset("data/ip/0", (4,), "f4", external=[(str(other), 0, 16)])
    with pytest.raises(FileFormatError, match="points to another file, which is not followed"):
        read_weights(path)


def test_hdf5_of_endless_links(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("data")
        for _ in range(40):  # two ways from each to the next: 2^40 groups by their paths
            inner = group.create_group("a")
            group["b"] = inner
            group = inner
    with pytest.raises(FileFormatError, match="is in the file by another name as well"):
        read_weights(path)


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


def test_hdf5_that_contains_itself(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("data/a")
        group["a"] = group
    with pytest.raises(FileFormatError, match="group 'a/a' is in the file by another name"):
        read_weights(path)


def test_hdf5_of_deep_groups(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        file["data/" + "a/" * 200 + "0"] = np.ones(3)
    with pytest.raises(FileFormatError, match="groups nest too deep at 'a/a/a/"):
        read_weights(path)


def test_hdf5_layer_by_two_names(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        file["data/ip/0"] = np.ones(3)
        file["data/same"] = file["data/ip"]  # a layer, which holds no groups
    assert [layer.name for layer in read_weights(path).layers] == ["ip", "same"]


def test_hdf5_shared_parameter_and_packed_data(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        file["data/ip/1"] = np.arange(3.0)  # double; blob 0 belongs to another layer
        file.create_dataset("data/ip2/0", data=np.ones((4, 4), ">f4"), compression="gzip")
    got = read_weights(path)
    assert [blob.has_data for blob in got.layers[0].blobs] == [False, True]
    np.testing.assert_array_equal(got.layers[0].blobs[1].array(), [0, 1, 2])
    np.testing.assert_array_equal(got.layers[1].blobs[0].array(), np.ones((4, 4)))
    write_weights(path, got)
    assert [blob.has_data for blob in read_weights(path).layers[0].blobs] == [False, True]


@pytest.mark.parametrize("name", ["/conv", "", "a//b", "a/", ".", "a/../b"])
def test_name_that_cannot_be_a_group(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel.h5"
    with pytest.raises(WeightsError) as caught:
        write_weights(path, [LayerWeights(name, "ReLU", [])])
    assert str(caught.value) == (
        f"the layer name {name!r} cannot be an HDF5 group\n"
        "  fix: write a .caffemodel instead of .h5"
    )
    assert not path.exists()


def test_layer_name_that_is_a_blob_of_another(tmp_path: Path) -> None:
    blob = WeightBlob.of([1.0])
    with pytest.raises(WeightsError, match=r'layer "a/0" \(B\): its name or blobs are taken by'):
        write_weights(
            tmp_path / "x.h5", [LayerWeights("a", "A", [blob]), LayerWeights("a/0", "B", [blob])]
        )


# --- wrong files ---


def pytorch_file(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")


def hdf5_file(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file[name] = np.zeros((2, 2))

    return make


def truncated(path: Path) -> None:
    write_weights(path, layers(), "net")
    path.write_bytes(path.read_bytes()[:100])


def wrong_count(path: Path) -> None:
    blob = SHAPE_6 + field(5, 2, struct.pack("<2f", 1, 2))
    layer = wire.encode_field(1, b"ip") + wire.encode_field(2, b"InnerProduct")
    path.write_bytes(wire.encode_field(100, layer + wire.encode_field(7, blob)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda path: None,
            "no such file, a caffemodel was expected\n  fix: check the path",
            id="missing",
        ),
        pytest.param(
            lambda path: path.mkdir(),
            "this is a directory, not a caffemodel\n  fix: give a file in it",
            id="folder",
        ),
        pytest.param(
            lambda path: path.touch(),
            "this is an empty file, not a caffemodel\n"
            "  fix: the download or copy has failed, get it again",
            id="empty",
        ),
        pytest.param(
            lambda path: path.write_text("<!DOCTYPE html><html></html>"),
            "this is an HTML page, not a caffemodel\n"
            "  fix: the browser or script saved a web page in its place, download the raw file",
            id="HTML page",
        ),
        pytest.param(
            lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256"),
            "this is a git-lfs pointer, the real file is not here yet, not a caffemodel\n"
            "  fix: run `git lfs pull` in its repository",
            id="git-lfs pointer",
        ),
        pytest.param(
            lambda path: path.write_text('name: "lenet"\nlayer { name: "a" }\n'),
            f"this is text, not a caffemodel\n  fix: this may be the prototxt; {GIVE}",
            id="prototxt",
        ),
        pytest.param(
            pytorch_file,
            "this is a Python pickle, not a caffemodel\n"
            "  fix: pickles can run code and are never read",
            id="PyTorch file",
        ),
        pytest.param(
            lambda path: path.write_bytes(
                caffe_pb2.SolverState(iter=5, learned_net="a.caffemodel").SerializeToString()
            ),
            "this is a solver state, not a caffemodel\n"
            "  fix: give the .caffemodel beside it; a .solverstate goes to --snapshot",
            id="solverstate",
        ),
        pytest.param(
            lambda path: path.write_bytes(
                caffe_pb2.BlobProto(
                    num=1, channels=1, height=1, width=2, data=[1, 2]
                ).SerializeToString()
            ),
            "this is one blob (.binaryproto, a mean?), not a caffemodel\n"
            "  fix: give the .caffemodel that training or the model's author wrote",
            id="mean",
        ),
        pytest.param(
            lambda path: path.write_bytes(caffe_pb2.NetParameter(name="n\1").SerializeToString()),
            "holds no layers in its 4 bytes\n"
            "  fix: give the .caffemodel that training or the model's author wrote",
            id="no layers",
        ),
        pytest.param(
            truncated,
            "byte 21: the file is truncated: 100 bytes found, at least 279 expected "
            f"(field 100 holds 254 bytes)\n  fix: {AGAIN}",
            id="truncated",
        ),
        pytest.param(
            wrong_count,
            'layer "ip" (InnerProduct): byte 23: a blob of shape (2, 3) holds 2 values\n'
            "  fix: the file is damaged; fetch or write it again",
            id="shape and data differ",
        ),
        pytest.param(
            lambda path: path.write_bytes(
                wire.encode_field(
                    100,
                    wire.encode_field(1, b"ip")
                    + wire.encode_field(
                        7, wire.encode_field(10, 3) + wire.encode_field(12, bytes(8))
                    ),
                )
            ),
            'layer "ip": byte 11: raw_data_type is 3, allowed: 0 (DOUBLE), 1 (FLOAT), 2 (FLOAT16)\n'
            "  fix: save the weights as FLOAT with the Caffe fork that wrote them",
            id="NVCaffe integers",
        ),
        pytest.param(
            hdf5_file("iter"),
            "has no group 'data', it has ['iter']\n  fix: give a .caffemodel.h5",
            id="other HDF5",
        ),
        pytest.param(
            hdf5_file("history/0"),
            "is a solver state (.solverstate.h5), weights are expected\n"
            "  fix: give a .caffemodel.h5",
            id="HDF5 solverstate",
        ),
        pytest.param(
            hdf5_file("data"),
            "is an HDF5 data source ('data' is one array), weights are expected\n"
            "  fix: give a .caffemodel.h5",
            id="HDF5 data",
        ),
    ],
)
def test_wrong_files(make: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    make(path)
    with pytest.raises(FileFormatError) as caught:
        read_weights(path)
    assert str(caught.value) == f"{path}: {message}"


def test_solverstates_of_the_original_are_named(shared: Path) -> None:
    for path in (shared / "golden" / "solvers").glob("*.solverstate*"):
        with pytest.raises(FileFormatError, match="is a solver state"):
            read_weights(path)


# --- damage ---


def sample() -> bytes:
    net = caffe_pb2.NetParameter(name="n", input=["x"], input_dim=[1, 2, 3, 4])
    for i, kind in enumerate(("Convolution", "BatchNorm")):
        layer = net.layer.add(name=f"l{i}", type=kind, bottom=["a"], top=["b"])
        layer.blobs.add(data=[1.0] * 6).shape.dim.extend([2, 3])
        layer.blobs.add(num=1, channels=1, height=1, width=2, double_data=[1.0, 2.0])
    old = net.layers.add(name="o", type=4)
    old.blobs.add(data=[1.0]).shape.dim.append(1)
    net.layers.add().layer.blobs.add(data=[1.0])
    return net.SerializeToString()


SAMPLE = sample()


def read_all(raw: bytes, path: Path) -> None:
    """Only AdaptionError may come out of any file."""
    path.write_bytes(raw)
    try:
        weights = read_weights(path)
        for layer in weights:
            str(layer).encode()
            for blob in layer.blobs:
                if blob.has_data and blob.count < 1000:
                    blob.array()
        weights.definition()
    except AdaptionError as error:
        str(error).encode()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "net.caffemodel"


@pytest.mark.parametrize("suffix", [".caffemodel", ".h5"])
def test_truncated_anywhere(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    write_weights(path, layers())
    raw = SAMPLE if suffix == ".caffemodel" else path.read_bytes()
    for size in range(0, len(raw), max(1, len(raw) // 300)):
        read_all(raw[:size], path)


@settings(max_examples=300)
@given(st.data())
def test_garbled_anywhere(damaged: Path, data: st.DataObject) -> None:
    raw = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    read_all(bytes(raw), damaged)


@settings(max_examples=200)
@given(st.binary(max_size=100))
def test_any_bytes(damaged: Path, raw: bytes) -> None:
    read_all(raw, damaged)
    read_all(wire.encode_field(100, wire.encode_field(7, raw)), damaged)


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
