"""Reading whole files: nothing is lost, and the message is the one protobuf itself reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from adaption.errors import FileFormatError
from adaption.io import prototxt
from adaption.proto import caffe_pb2

FOLDERS = ["zoo", "golden", "models"]


@pytest.fixture(params=FOLDERS)
def files(request: pytest.FixtureRequest, shared: Path) -> list[Path]:
    found = sorted((shared / request.param).rglob("*.prototxt"))
    if not found:
        pytest.skip(f"no prototxt in {request.param}")
    return found


def test_real_files_come_back_byte_for_byte(files: list[Path]) -> None:
    for file in files:
        assert prototxt.read(file).data() == file.read_bytes(), file


def test_real_files_give_the_message_that_protobuf_reads(files: list[Path]) -> None:
    compared = 0
    for file in files:
        document = prototxt.read(file)
        if "${NUM_LABELS}" in document.text():
            continue  # a template; see test_prototxt_typed.py
        root = document.root
        is_net = any(root.first(name) for name in ("layer", "layers", "input"))
        kind = caffe_pb2.NetParameter if is_net else caffe_pb2.SolverParameter
        message, notices = document.message(kind)
        for name in ("layer", "layers"):
            if is_net:
                fields, layers = root.all(name), getattr(message, name)
                names = [f.block.first("name") for f in fields]
                assert [n.string if n else "" for n in names] == [layer.name for layer in layers]
        if not notices:
            assert message == text_format.Parse(file.read_bytes(), kind()), file
            compared += 1
    assert compared > len(files) // 2


def test_lines_of_layers_follow_the_order_of_the_message(tmp_path: Path) -> None:
    text = 'name: "n"\nlayer { name: "a" }\n\nlayer: [{\n  name: "b"\n}, { name: "c" }]\n'
    document = prototxt.parse(text)
    net, _ = document.message(caffe_pb2.NetParameter)
    lines = [field.line for field in document.root.all("layer")]
    assert [(layer.name, line) for layer, line in zip(net.layer, lines, strict=True)] == [
        ("a", 2),
        ("b", 4),
        ("c", 6),
    ]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'name: "a"\r\nlayer {\r\n}\r\n', id="CRLF"),
        pytest.param(b'\xef\xbb\xbfname: "a"\n', id="byte order mark"),
        pytest.param(b"name: 'a'", id="no line end"),
        pytest.param(b'# caf\xe9\nname: "\xff"\n', id="bytes that are not UTF-8"),
        pytest.param(b"  \t\n# only a comment", id="comment only"),
    ],
)
def test_odd_bytes_stay(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_bytes(data)
    assert prototxt.read(file).data() == data


def test_a_byte_order_mark_takes_no_column() -> None:
    field = prototxt.parse('\ufeffname: "a"').root.first("name")
    assert field is not None
    assert (field.line, field.column) == (1, 1)


WRONG_FILES = [
    pytest.param(
        b"<!DOCTYPE html>\n<html>",
        "this is an HTML page, not a prototxt\n  fix: the browser or script saved a web page in "
        "its place, download the raw file",
        id="html",
    ),
    pytest.param(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "this is a git-lfs pointer, the real file is not here yet, not a prototxt\n"
        "  fix: run `git lfs pull` in its repository",
        id="git-lfs",
    ),
    pytest.param(
        b"\n\x05LeNet\xa2\x06\x04\n\x02ip",
        "this is a binary protobuf, as caffemodel and binaryproto files are, not a prototxt\n"
        "  fix: give the .prototxt here and this file where weights are asked for",
        id="caffemodel",
    ),
    pytest.param(
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        "this is an HDF5 file, not a prototxt\n"
        "  fix: give the .prototxt here and this file where weights are asked for",
        id="hdf5",
    ),
    pytest.param(
        b"",
        "this is an empty file, not a prototxt\n"
        "  fix: the download or copy has failed, get it again",
        id="empty",
    ),
    pytest.param(
        '\ufeffname: "a"\n'.encode("utf-16-le"),
        "this is text in UTF-16, not a prototxt\n  fix: save it as UTF-8",
        id="utf-16",
    ),
]


@pytest.mark.parametrize(("data", "want"), WRONG_FILES)
def test_wrong_files_are_named(data: bytes, want: str, tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_bytes(data)
    with pytest.raises(FileFormatError) as caught:
        prototxt.read(file)
    assert str(caught.value) == f"{file}: {want}"


def test_missing_file_and_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError) as caught:
        prototxt.read(tmp_path / "no.prototxt")
    assert str(caught.value) == (
        f"{tmp_path / 'no.prototxt'}: no such file, a prototxt was expected\n  fix: check the path"
    )
    with pytest.raises(FileFormatError) as caught:
        prototxt.read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: this is a directory, not a prototxt\n  fix: give a file in it"
    )


def test_format_message_prints_as_pycaffe_does() -> None:
    net = caffe_pb2.NetParameter(name="n")
    layer = net.layer.add(name="conv1", type="Convolution", loss_weight=[0.1, 1.0, 1e-7])
    layer.convolution_param.kernel_size.append(3)
    layer.include.add(phase=caffe_pb2.TEST)
    assert prototxt.format_message(net) == (
        'name: "n"\nlayer {\n  name: "conv1"\n  type: "Convolution"\n  loss_weight: 0.1\n'
        "  loss_weight: 1.0\n  loss_weight: 1e-07\n  include {\n    phase: TEST\n  }\n"
        "  convolution_param {\n    kernel_size: 3\n  }\n}\n"
    )


@given(
    st.text(st.characters(codec="utf-8")),
    st.lists(st.floats(width=32, allow_nan=False)),
    st.integers(-(2**31), 2**31 - 1),
    st.booleans(),
)
def test_a_printed_message_reads_back(
    name: str, weights: list[float], axis: int, bias: bool
) -> None:
    net = caffe_pb2.NetParameter(name=name)
    layer = net.layer.add(name=name, loss_weight=weights)
    layer.inner_product_param.axis = axis
    layer.inner_product_param.bias_term = bias
    for text in (prototxt.format_message(net), prototxt.debug_string(net)):
        got, notices = prototxt.parse(text).message(caffe_pb2.NetParameter)
        assert not notices
        assert got == net


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(1, "1", id="whole"),
        pytest.param(-20, "-20", id="negative"),
        pytest.param(0.00390625, "0.00390625", id="exact in six digits"),
        pytest.param(1 / 3, "0.33333334", id="needs more than six"),
        pytest.param(1e8, "1e+08", id="large"),
        pytest.param(1e-7, "1e-07", id="small"),
        pytest.param(float("nan"), "nan", id="nan"),
    ],
)
def test_debug_string_prints_floats_as_caffe_logs_them(value: float, text: str) -> None:
    solver = caffe_pb2.SolverParameter(net="x: 1.0", base_lr=value, max_iter=100)
    want = f'base_lr: {text}\nmax_iter: 100\nnet: "x: 1.0"\n'
    assert prototxt.debug_string(solver) == want


@given(st.text(st.characters(codec="utf-8")))
def test_quote_is_undone_by_reading(text: str) -> None:
    field = prototxt.parse(f"name: {prototxt.quote(text)}").root.first("name")
    assert field is not None
    assert field.string == text
