"""draw: boxes and arrows of nets of every kind, the two text forms, and graphviz."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import adaption
from adaption.errors import AdaptionError, FieldError, LayerError, UsageError
from adaption.io.netfile import read_net
from adaption.proto import caffe_pb2
from adaption.report.draw import drawing_of
from adaption.report.drawing import COLOURS, Arrow, Box, Drawing
from tests.net.nets import data, inner_product, layer, net_of

LENET = """name: "le \\"net\\""
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
layer { name: "conv" type: "LPConvolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 }
  lpfp_param { bd: 2 ad: 14 round_bias: true rounding_scheme: STOCHASTIC } }
layer { name: "act" type: "LPAct" bottom: "conv" top: "act" lpfp_param { bd: 6 ad: 10 } }
layer { name: "relu" type: "ReLU" bottom: "act" top: "act" }
layer { name: "pool" type: "Pooling" bottom: "act" top: "pool"
  pooling_param { kernel_h: 2 kernel_w: 3 stride: 2 } }
layer { name: "odd" type: "Wavelet" bottom: "pool" top: "odd" }
layer { name: "ip" type: "InnerProduct" bottom: "odd" top: "ip"
  inner_product_param { num_output: 5 } }
layer { name: "train" type: "SoftmaxWithLoss" bottom: "ip" top: "loss" include { phase: TRAIN } }
"""  # noqa: E501


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "net.prototxt"
    file.write_text(LENET)
    return file


def boxes(drawing: Drawing) -> dict[str, Box]:
    return {box.lines[0]: box for box in drawing.boxes}


def arrows(drawing: Drawing) -> list[tuple[str, str, str]]:
    names = [box.lines[0] for box in drawing.boxes]
    return [(names[a.tail], names[a.head], a.label) for a in drawing.arrows]


# -- what is drawn -------------------------------------------------------------------------------


def test_boxes(path: Path) -> None:
    made = boxes(drawing_of(path))
    assert made["conv"] == Box(
        (
            *("conv", "LPConvolution", "4 outputs, 3x3, stride 2, pad 1"),
            *("weight Q2.14 stochastic", "bias Q2.14 stochastic"),
        ),
        "convolution",
        is_low_precision=True,
    )
    assert made["act"] == Box(("act", "LPAct", "activation Q6.10"), "rounding", True)
    assert made["pool"].lines == ("pool", "Pooling", "MAX, 2x3, stride 2")
    assert made["odd"].kind == "unknown"
    assert "train" not in made
    assert {box.kind for box in made.values()} <= set(COLOURS)


def test_arrows_carry_shapes_and_follow_in_place_layers(path: Path) -> None:
    assert arrows(drawing_of(path)) == [
        ("data", "conv", "1x1x8x8"),
        ("conv", "act", "1x4x4x4"),
        ("act", "relu", "1x4x4x4"),
        ("relu", "pool", "act\n1x4x4x4"),
        ("pool", "odd", "1x4x2x2"),
        ("odd", "ip", ""),
        ("ip", "ip", ""),
    ]


def test_several_readers_and_outputs() -> None:
    net = net_of(data(1, 3) + inner_product("a", "data") + layer("Eltwise", "b", "data a"))
    net.forward()
    made = drawing_of(net)
    assert arrows(made) == [
        ("data", "a", "1x3"),
        ("data", "b", "1x3"),
        ("a", "b", "1x3"),
        ("b", "b", "1x3"),
    ]
    assert made == drawing_of(net.spec)


def test_layers_of_all_states(tmp_path: Path) -> None:
    file = tmp_path / "train_test.prototxt"
    file.write_text(
        layer("DummyData", "d1", "", "x", "include { phase: TRAIN } dummy_data_param { num: 1 }")
        + layer("DummyData", "d2", "", "x", "include { phase: TEST }")
        + layer("ReLU", "r", "x")
        + layer("ReLU", "lost", "nowhere")
    )
    made = drawing_of(file, phase=None, label_edges=False)
    assert arrows(made) == [
        ("d1", "r", ""),
        ("d2", "r", ""),
        ("nowhere", "lost", ""),
        ("r", "r", ""),
        ("lost", "lost", ""),
    ]
    with pytest.raises(LayerError, match='unknown bottom blob "nowhere"'):
        drawing_of(file)


def test_shapes_of_inputs_that_are_not_at_hand(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    source = 'data_param { source: "nowhere" batch_size: 2 }'
    file.write_text(layer("Data", "d", "", "x", source) + layer("ReLU", "r", "x"))
    assert [label for _, _, label in arrows(drawing_of(file))] == ["x", ""]
    made = drawing_of(file, inputs={"x": (1, 3, 4, 4)})
    assert [label for _, _, label in arrows(made)] == ["x\n1x3x4x4", "1x3x4x4"]


def test_bits_out_of_range_are_drawn_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(data(1) + layer("LPAct", "q", "data", more="lpfp_param { bd: 40 ad: 1 }"))
    drawn = drawing_of(file).boxes[1]
    assert drawn.is_low_precision and drawn.lines[2].startswith("lpfp_param.bd is 40, allowed")


def test_old_messages_are_left_alone() -> None:
    message = caffe_pb2.NetParameter(input=["data"])
    message.input_shape.add().dim.extend([1, 2])
    message.layer.add(name="r", type="ReLU", bottom=["data"], top=["r"])
    before = message.SerializeToString()
    assert arrows(drawing_of(message)) == [("input", "r", "data\n1x2"), ("r", "r", "1x2")]
    assert message.SerializeToString() == before


def test_rankdir_is_checked(path: Path) -> None:
    with pytest.raises(FieldError, match=r"^rankdir is 'UP', allowed: LR, TB, RL, BT$"):
        drawing_of(path, rankdir="UP")


# -- text ----------------------------------------------------------------------------------------

SMALL = Drawing(
    'a "b"\\',
    [
        Box(("x<y>", "Convolution"), "convolution", True),
        Box(('say "hi"\\n', "ev\nil"), "unknown"),
        Box(("out",), "blob"),
    ],
    [Arrow(0, 1, "x\n1x2"), Arrow(1, 2)],
    "TB",
)


def test_dot() -> None:
    assert SMALL.dot() == (
        'digraph "a \\"b\\"\\\\" {\n'
        "  rankdir=TB;\n"
        '  node [shape=box, style="filled", fontname="Helvetica", fontsize=11];\n'
        '  edge [fontname="Helvetica", fontsize=9];\n'
        '  n0 [label="x<y>\\nConvolution", fillcolor="#ff8a80", penwidth=2.5];\n'
        '  n1 [label="say \\"hi\\"\\\\n\\nev il", fillcolor="#ffffff", style="filled,dashed"];\n'
        '  n2 [label="out", fillcolor="#f5f5f5", shape=octagon];\n'
        '  n0 -> n1 [label="x\\n1x2"];\n'
        "  n1 -> n2;\n"
        "}\n"
    )


def test_mermaid() -> None:
    assert SMALL.mermaid() == (
        "flowchart TB\n"
        '  n0["x#60;y#62;<br/>Convolution"]:::convolution_lp\n'
        '  n1["say #34;hi#34;#92;n<br/>ev il"]:::unknown\n'
        '  n2(["out"]):::blob\n'
        '  n0 -->|"x<br/>1x2"| n1\n'
        "  n1 --> n2\n"
        "  classDef blob fill:#f5f5f5,stroke:#555,color:#000\n"
        "  classDef convolution_lp fill:#ff8a80,stroke:#555,color:#000,stroke-width:3px\n"
        "  classDef unknown fill:#ffffff,stroke:#555,color:#000,stroke-dasharray:4\n"
    )


# -- files ---------------------------------------------------------------------------------------


def fake_dot(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A program `dot` on the PATH, and nothing else of graphviz."""
    program = folder / "bin" / "dot"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")


@pytest.mark.parametrize(
    ("name", "start"),
    [("n.dot", "digraph "), ("n.gv", "digraph "), ("n.mmd", "flowchart "), ("n.MERMAID", "flow")],
)
def test_text_files(path: Path, tmp_path: Path, name: str, start: str) -> None:
    made = adaption.draw(path, tmp_path / name)
    assert (tmp_path / name).read_text().startswith(start)
    assert made.to_dict()["boxes"][1]["low_precision"] is True


def test_pictures_are_drawn_by_graphviz(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_dot(tmp_path, monkeypatch, 'echo "drawn with $1"; cat')
    made = adaption.draw(read_net(path), tmp_path / "n.svg", rankdir="TB")
    assert (tmp_path / "n.svg").read_text() == f"drawn with -Tsvg\n{made.dot()}"


def test_graphviz_fails(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_dot(tmp_path, monkeypatch, "cat >/dev/null; echo 'no fonts' >&2; exit 3")
    with pytest.raises(UsageError) as caught:
        adaption.draw(path, tmp_path / "n.png")
    assert "failed to draw .png: no fonts\n  fix: write a .dot or .mmd instead" in str(caught.value)
    assert not (tmp_path / "n.png").exists()


def test_pictures_without_graphviz(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        adaption.draw(path, "n.svg")
    assert str(caught.value) == (
        "drawing .svg needs graphviz, whose program `dot` is not on the PATH\n"
        "  fix: install graphviz (the package has that name in most systems), or write n.dot or"
        " n.mmd instead"
    )


def test_other_suffixes_are_refused(path: Path) -> None:
    with pytest.raises(AdaptionError) as caught:
        adaption.draw(path, "n.jpeg")
    assert str(caught.value) == (
        "the file to draw is 'n.jpeg', allowed suffixes: .svg, .png, .pdf, .dot, .gv, .mmd,"
        " .mermaid\n  fix: did you mean .png?"
    )
