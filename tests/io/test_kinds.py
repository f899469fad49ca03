"""Kinds of files, told from their first bytes."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from adaption.io.kinds import (
    KINDS,
    is_folder,
    is_plain_file,
    is_there,
    kind_of,
    kind_of_bytes,
    near_file,
    wrong_kind,
)
from adaption.proto import caffe_pb2


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "b")
    return file.getvalue()


def _net() -> bytes:
    net = caffe_pb2.NetParameter(name="a longer name of a net")
    net.layer.add(name="ip").blobs.add(data=[0.0, 1.0, -1.0] * 50).shape.dim[:] = [150]
    return net.SerializeToString()


@pytest.mark.parametrize(
    ("head", "want"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b'name: "a"\n', "text", id="prototxt"),
        pytest.param(b"# caf\xe9\n", "text", id="latin-1"),
        pytest.param(b"\xef\xbb\xbfname", "text", id="byte order mark"),
        pytest.param("name".encode("utf-16"), "utf-16 text", id="utf-16"),
        pytest.param(b"\n\n<!DOCTYPE html><html>", "html", id="html"),
        pytest.param(b"<!-- x --><HTML>", "html", id="html after a comment"),
        pytest.param(b"<?xml version='1.0'?><Error/>", "xml", id="xml"),
        pytest.param(b"<?xml?><html>", "html", id="xhtml"),
        pytest.param(
            b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer", id="git-lfs"
        ),
        pytest.param(_net(), "binary protobuf", id="caffemodel"),
        pytest.param(_net()[:200], "binary protobuf", id="truncated caffemodel"),
        pytest.param(b"\x89HDF\r\n\x1a\n", "hdf5", id="hdf5"),
        pytest.param(_npy(), "npy", id="npy"),
        pytest.param(_zip(), "zip", id="zip"),
        pytest.param(gzip.compress(b"x"), "gzip", id="gzip"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "image", id="png"),
        pytest.param(b"\xff\xd8\xff\xe0", "image", id="jpeg"),
        pytest.param(pickle.dumps([1]), "pickle", id="pickle"),
        pytest.param(b"\0" * 257 + b"ustar", "tar", id="tar"),
        pytest.param(b"\x00\x01\x02", "binary", id="binary"),
        pytest.param(b"\xff" * 20 + b"\0", "binary", id="varint without end"),
    ],
)
def test_kind_of_bytes(head: bytes, want: str, tmp_path: Path) -> None:
    assert kind_of_bytes(head) == want
    assert want in KINDS
    file = tmp_path / "file"
    file.write_bytes(head)
    assert kind_of(file) == want


def test_kind_of_paths(tmp_path: Path) -> None:
    assert kind_of(tmp_path) == "directory"
    assert kind_of(tmp_path / "none") == "missing"
    assert kind_of("/dev/null") == "special"


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "net.prototxt/x", "x/" * 5000])
def test_what_cannot_be_a_name_is_not_there(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    assert not is_there(path)
    assert not is_plain_file(path)
    assert not is_folder(path)


def test_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert is_there(tmp_path)
    assert is_there(str(tmp_path / "file"))
    assert is_folder(tmp_path)
    assert not is_folder(tmp_path / "file")
    assert is_plain_file(tmp_path / "file")
    assert not is_plain_file(tmp_path)


def test_real_models_are_binary_protobufs(shared: Path) -> None:
    models = sorted(shared.rglob("*.caffemodel"))
    assert {kind_of(model) for model in models} <= {"binary protobuf"}


@pytest.mark.parametrize(
    ("kind", "want"),
    [
        pytest.param(
            "missing",
            "m: no such file, a caffemodel was expected\n  fix: check the path",
            id="missing",
        ),
        pytest.param(
            "unreadable",
            "m: the file is not readable\n  fix: check its permissions",
            id="unreadable",
        ),
        pytest.param("text", "m: this is text, not a caffemodel\n  fix: give it", id="own fix"),
        pytest.param(
            "zip", "m: this is a zip archive, not a caffemodel\n  fix: unpack it first", id="zip"
        ),
    ],
)
def test_wrong_kind(kind: str, want: str) -> None:
    assert str(wrong_kind("m", kind, "a caffemodel", "give it")) == want


def test_a_missing_file_is_compared_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "deploy.prototxt").touch()
    found = wrong_kind(tmp_path / "deploy.protoxt", "missing", "a prototxt")
    assert found.fix == "did you mean deploy.prototxt?"
    assert wrong_kind(tmp_path / "else", "missing", "a prototxt").fix == "check the path"
    assert near_file(tmp_path / "no folder" / "deploy.protoxt") == ""


@pytest.mark.parametrize("path", ["a\0b/net.prototxt", "\ud800/net.prototxt"])
def test_a_folder_that_cannot_be_a_name_has_no_near_file(path: str) -> None:
    """A path out of a file may hold anything."""
    assert kind_of(path) == "missing"
    assert wrong_kind(path, "missing", "a prototxt").fix == "check the path"
