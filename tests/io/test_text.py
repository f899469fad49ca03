"""Paths and names that are not UTF-8 are kept byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from lmdb import open as lmdb_database
from PIL import Image

import adaption
from adaption.cli.main import main
from adaption.io.caffemodel import read_weights
from adaption.io.text import as_path, decode, encode, shown
from adaption.net import Net
from adaption.proto import caffe_pb2

GBK = "数据".encode("gbk")
LATIN = "é".encode("latin-1")


@pytest.mark.parametrize("data", [GBK, LATIN, b"a/b", "é".encode(), b"\x80\xff", "\ue000".encode()])
def test_round_trip(data: bytes) -> None:
    text = decode(data)
    assert encode(text) == data == os.fsencode(as_path(text))
    text.encode("utf-8")  # as protobuf asks for


def test_shown_as_bytes() -> None:
    assert shown(decode(b"caf\xe9")) == "caf\\xe9" == shown(os.fsdecode(b"caf\xe9"))
    assert shown("é") == "é"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.chdir(tmp_path)
    Path(os.fsdecode(GBK)).mkdir()
    return GBK


NET = (
    b'name: "' + LATIN + b'"\n'
    b'layer { name: "d" type: "%s" top: "data" top: "label" %s }\n'
    b'layer { name: "' + LATIN + b'p" type: "InnerProduct" bottom: "data" top: "' + LATIN + b'"'
    b' inner_product_param { num_output: 2 weight_filler { type: "xavier" } } } # ' + GBK + b"\n"
    b'layer { name: "l" type: "SoftmaxWithLoss" bottom: "'
    + LATIN
    + b'" bottom: "label" top: "l" }\n'
)


def hdf5(folder: bytes) -> bytes:
    with h5py.File(os.fsdecode(folder + b"/d.h5"), "w") as file:
        file["data"], file["label"] = np.eye(4, 3, dtype=np.float32), np.arange(4) % 2
    Path(os.fsdecode(folder + b"/d.txt")).write_bytes(folder + b"/d.h5\n")
    return NET % (b"HDF5Data", b'hdf5_data_param { source: "%s/d.txt" batch_size: 2 }' % folder)


def images(folder: bytes) -> bytes:
    for i in range(2):
        Image.new("RGB", (4, 4), (i * 90, 0, 0)).save(os.fsdecode(folder + b"/%d.png" % i))
    lines = b"".join(b"%s/%d.png %d\n" % (folder, i, i) for i in range(2))
    Path(os.fsdecode(folder + b"/list.txt")).write_bytes(lines)
    return NET % (
        b"ImageData",
        b'image_data_param { source: "%s/list.txt" batch_size: 2 }' % folder,
    )


def lmdb(folder: bytes) -> bytes:
    with lmdb_database(folder + b"/db") as env, env.begin(write=True) as records:
        for i in range(2):
            datum = caffe_pb2.Datum(channels=1, height=2, width=2, data=bytes(4), label=i)
            records.put(b"%d" % i, datum.SerializeToString())
    return NET % (b"Data", b'data_param { source: "%s/db" batch_size: 2 backend: LMDB }' % folder)


@pytest.mark.parametrize("make", [hdf5, images, lmdb])
def test_a_net_whose_data_lie_in_such_a_folder(folder: bytes, make: object) -> None:
    text = make(folder)  # type: ignore[operator]
    Path("n.prototxt").write_bytes(text)
    net = Net("n.prototxt", seed=1)
    net.forward()
    net.save("n.caffemodel")
    assert LATIN + b"p" in Path("n.caffemodel").read_bytes()
    other = Net("n.prototxt", "n.caffemodel")
    assert other.load("n.caffemodel").loaded == [decode(LATIN + b"p")]
    assert main(["quantize", "n.prototxt", "n.caffemodel", "-o", "o", "--quiet"]) == 0
    low = Path("o/net_lp.prototxt").read_bytes()
    assert b'name: "' + LATIN + b'p" type: "LPInnerProduct"' in low and GBK + b"\n" in low
    assert b'bottom: "' + LATIN + b'"' in low
    assert LATIN + b"p" in [encode(x.name) for x in read_weights("o/net_lp.caffemodel").layers]
    adaption.write_net(adaption.read_net("n.prototxt"), "again.prototxt")
    assert Path("again.prototxt").read_bytes() == text


def test_a_solver(folder: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    net = folder + b"/n.prototxt"
    Path(os.fsdecode(net)).write_bytes(hdf5(folder))
    rest = b'base_lr: 0.1 lr_policy: "fixed" max_iter: 1 net: "%s" snapshot_prefix: "%s"'
    Path("s.prototxt").write_bytes(rest % (net, folder))
    assert main(["train", "--solver=s.prototxt", "--quiet"]) == 0
    assert Path(os.fsdecode(folder + b"/s_iter_1.caffemodel")).is_file()
    state = folder + b"/s_iter_1.solverstate"
    Path("s.prototxt").write_bytes((rest % (net, folder)).replace(b"max_iter: 1", b"max_iter: 2"))
    resume = ["train", "--solver=s.prototxt", "--snapshot", os.fsdecode(state), "--quiet"]
    assert main(resume) == 0
    assert Path(os.fsdecode(folder + b"/s_iter_2.solverstate")).is_file()
    own = folder + b"/own.prototxt"
    Path(os.fsdecode(own)).write_bytes((rest % (net, b"")).replace(b' snapshot_prefix: ""', b""))
    assert main(["train", "--solver", os.fsdecode(own), "--quiet"]) == 0
    assert Path(os.fsdecode(folder + b"/own_iter_1.caffemodel")).is_file()


def test_a_missing_file_is_named(folder: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path("n.prototxt").write_bytes(
        NET % (b"HDF5Data", b'hdf5_data_param { source: "%s/x.txt" batch_size: 1 }' % folder)
    )
    assert main(["inspect", "n.prototxt"]) == 0
    assert main(["time", "n.prototxt"]) == 2
    assert f"{shown(decode(GBK))}/x.txt" in capsys.readouterr().err
