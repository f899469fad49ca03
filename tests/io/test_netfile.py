"""Nets as their files give them: text kept, legacy forms upgraded, lines known."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from adaption.errors import FileFormatError, UsageError
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document, read_net, write_net
from adaption.proto import caffe_pb2

V2 = """\
# a comment
name: "net"
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 2 } } }

layer {  # another
  name: "r" type: "ReLU" bottom: "data" top: "r"
}
"""
INPUT = 'input: "data"\ninput_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4\n'


def net_of(text: str) -> NetFile:
    return from_document(prototxt.parse(text, "net.prototxt"))


def places(net: NetFile) -> dict[str, int | None]:
    return dict(zip([item.name for item in net.message.layer], net.lines, strict=True))


def test_read_and_write_is_the_identity(tmp_path: Path) -> None:
    text = V2.replace("\n", "\r\n") + "# \N{GREEK SMALL LETTER MU}, no newline at the end"
    source, target = tmp_path / "a.prototxt", tmp_path / "b.prototxt"
    source.write_bytes(text.encode())
    net = read_net(source)
    assert net.text() == text
    assert net.file == str(source)
    assert (net.notices, net.upgrades) == ([], [])
    for form in (net, net.document):
        write_net(form, target)
        assert target.read_bytes() == source.read_bytes()


def test_a_message_is_written_as_caffe_prints_it(tmp_path: Path) -> None:
    write_net(net_of(V2).message, tmp_path / "net.prototxt")
    text = (tmp_path / "net.prototxt").read_text()
    assert text.startswith('name: "net"\nlayer {\n  name: "data"\n  type: "Input"\n  top: "data"\n')
    assert text_format.Parse(text, caffe_pb2.NetParameter()) == net_of(V2).message


def test_lines_of_layers() -> None:
    assert places(net_of(V2)) == {"data": 3, "r": 6}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            INPUT + 'layer { name: "a" type: "ReLU" bottom: "data" top: "a" }',
            {"input": None, "a": 3},
            id="V2 behind input",
        ),
        pytest.param(
            INPUT + 'layers { name: "a" type: RELU bottom: "data" top: "a" }',
            {"input": None, "a": 3},
            id="V1 behind input",
        ),
        pytest.param(
            'layer { name: "no" type: "ReLU" }\n'
            'layers { name: "a" type: DUMMY_DATA top: "a" }\n'
            'layer { name: "nor" type: "ReLU" }\n'
            'layers { name: "b" type: RELU bottom: "a" top: "b" }',
            {"a": 2, "b": 4},
            id="V2 beside V1 does not count",
        ),
        pytest.param(
            INPUT
            + 'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "data" top: "p" }\n'
            'layers { layer { name: "c" type: "conv" num_output: 2 kernelsize: 3 }'
            ' bottom: "p" top: "c" }\n'
            'layers { layer { name: "r" type: "relu" } bottom: "c" top: "c" }',
            {"input": None, "c": 4, "r": 5},
            id="V0 with a padding layer folded away",
        ),
    ],
)  # fmt: skip
def test_lines_of_legacy_layers(text: str, want: dict[str, int | None]) -> None:
    net = net_of(text)
    assert places(net) == want
    assert net.upgrades
    assert not net.message.layers and not net.message.input


def test_v1_types_of_forks_are_upgraded() -> None:
    """V1 nets of CRF-RNN stopped the upgrade with a KeyError."""
    assert net_of('layers { name: "c" type: CROP }').message.layer[0].type == "Crop"


def test_unknown_fields_stay_and_are_told() -> None:
    text = V2 + 'layer { name: "x" type: "X" bottom: "r" top: "x" x_param { a: 1 } }\n'
    net = net_of(text)
    assert net.text() == text
    assert [(n.line, n.name) for n in net.notices] == [(9, "x_param")]


NO_NET = "\n  fix: give a net definition: a prototxt with layer { ... } blocks"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('net: "net.prototxt"\nbase_lr: 0.01\nmax_iter: 10\n', "a solver"),
        ('name: "net"\n', "no net"),
        ("", "no net"),
        ("phrase: 1\n", "no net"),
    ],
)
def test_a_file_without_layers_is_refused(text: str, kind: str) -> None:
    with pytest.raises(FileFormatError) as caught:
        net_of(text)
    assert str(caught.value) == f"net.prototxt: holds no layers, it is {kind}{NO_NET}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError) as caught:
        read_net(tmp_path / "no.prototxt")
    assert caught.value.file == tmp_path / "no.prototxt"


def test_writing_fails_whole(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_net(net_of(V2), tmp_path / "no folder" / "net.prototxt")
    assert list(tmp_path.iterdir()) == []
