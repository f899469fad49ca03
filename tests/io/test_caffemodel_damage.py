"""Files that are no weights, and damaged ones: one message each, nothing else."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaption.errors import AdaptionError, FileFormatError
from adaption.io import wire
from adaption.io.caffemodel import read_weights, write_weights
from adaption.proto import caffe_pb2
from tests.io.weight_files import SHAPE_6, field, layers

GIVE = "give the file with the trained weights (.caffemodel or .caffemodel.h5)"
AGAIN = "the download or copy broke off; fetch the file again"


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


# -- damage --------------------------------------------------------------------------------------


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
