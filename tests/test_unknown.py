"""Unknown fields and layer types: warned about once, kept, and in nobody's way but a run's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import adaption
from adaption.cli.main import main
from adaption.errors import LayerError, UnknownLayerError
from adaption.io import prototxt
from adaption.io.caffemodel import LayerWeights, WeightBlob, Weights, read_weights, write_weights
from adaption.net import Net, Point
from adaption.numerics import FixedPoint
from adaption.precision.propose import Proposal
from adaption.precision.rules import Choice
from tests.net.nets import data, inner_product, layer, net_of

TEXT = (
    'name: "odd"\n'
    + data(2, 3)
    + inner_product("ip1", "data", 4, more="glossy: 5")
    + layer("Relu", "r", "ip1")
    + layer("Wavelet", "w", "r", more="haar { level: 3 } # kept\n")
    + layer("Wavelet", "w2", "w")
    + inner_product("ip2", "w2", 2, more="shiny: true")
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "net.prototxt"
    path.write_text(TEXT)
    return str(path)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)

    def blobs(*shapes: tuple[int, ...]) -> list[WeightBlob]:
        return [WeightBlob.of(rng.normal(size=s).astype(np.float32)) for s in shapes]

    layers = [
        LayerWeights("ip1", "InnerProduct", blobs((4, 3), (4,))),
        LayerWeights("w", "Wavelet", blobs((7,))),
        LayerWeights("ip2", "InnerProduct", blobs((2, 4), (2,))),
    ]
    path = tmp_path / "net.caffemodel"
    write_weights(path, layers, name="odd")
    return str(path)


@pytest.mark.parametrize(
    ("written", "near"),
    [
        ("Relu", "ReLU"),
        ("RELU", "ReLU"),
        ("convolution", "Convolution"),
        ("SoftMax", "Softmax"),
        ("lpact", "LPAct"),
        ("Batchnorm", "BatchNorm"),
        ("Sigmoids", "Sigmoid"),
    ],
)
def test_the_nearest_type_whatever_its_case(written: str, near: str) -> None:
    with pytest.raises(UnknownLayerError) as caught:
        net_of(data(1, 2) + layer(written, "x", "data"))
    assert str(caught.value).splitlines()[0] == (
        f"net.prototxt:2: unknown layer type in layer \"x\" of type '{written}'"
        f" (did you mean {near}?)"
    )


def test_inspect_warns_once_about_each(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", file, "--json"]) == 0
    shown = capsys.readouterr()
    warnings = json.loads(shown.out)["warnings"]
    assert [w.partition(": ")[2] for w in warnings] == [
        'unknown field layer "ip1".glossy',
        'unknown field layer "w".haar',
        'unknown field layer "ip2".shiny',
        "unknown layer type: layer \"r\" of type 'Relu' (did you mean ReLU?)",
        "unknown layer type: layer \"w\" of type 'Wavelet'",
    ]
    assert [w.removeprefix(file).split(":")[1] for w in warnings] == ["3", "5", "8", "4", "5"]
    assert main(["inspect", file]) == 0
    assert capsys.readouterr().err.splitlines() == [f"warning: {w}" for w in warnings]


def test_nets_carry_the_notices(file: str) -> None:
    net = Net(file, end="ip1")
    assert [n.partition(": ")[2].partition(",")[0] for n in net.notices] == [
        'unknown field layer "ip1".glossy',
        'unknown field layer "w".haar',
        'unknown field layer "ip2".shiny',
    ]


def test_end_runs_a_net_up_to_a_layer(file: str) -> None:
    with pytest.raises(UnknownLayerError):
        Net(file)
    assert Net(file, end="ip1").forward()["ip1"].shape == (2, 4)
    with pytest.raises(LayerError, match=r"has no layer 'IP1' to end at, did you mean 'ip1'\?"):
        Net(file, end="IP1")


def test_convert_runs_nothing(file: str, weights: str, tmp_path: Path) -> None:
    low = TEXT.replace('type: "InnerProduct"', 'type: "LPInnerProduct" lpfp_param { bd: 2 ad: 2 }')
    (tmp_path / "low.prototxt").write_text(low)
    for net in (tmp_path / "low.prototxt", adaption.read_net(tmp_path / "low.prototxt")):
        for given in (weights, read_weights(weights)):
            made = {w.name: w for w in adaption.convert(given, net)}
            assert {n: len(w.blobs) for n, w in made.items()} == {"ip1": 4, "w": 1, "ip2": 4}
            assert np.array_equal(made["ip1"].blobs[1].array() * 4 % 1, np.zeros((4, 3)))


def test_rewrite_keeps_what_is_unknown(file: str) -> None:
    proposal = Proposal("odd")
    for name in ("ip1", "ip2"):
        proposal.choices[Point(name, "weight")] = Choice(FixedPoint(8, 6), "by hand")
    proposal.choices[Point("ip1", "activation")] = Choice(FixedPoint(8, 4), "by hand")
    proposal.places["ip1"] = "ip1"
    made = adaption.rewrite(adaption.read_net(file), proposal)
    text = made.text()
    assert "haar { level: 3 } # kept" in text and "glossy: 5" in text
    assert "shiny: true" in text and text.count('type: "Wavelet"') == 2
    assert [m.type for m in made.message.layer] == [
        *("Input", "LPInnerProduct", "LPAct", "Relu", "Wavelet", "Wavelet", "LPInnerProduct")
    ]
    assert len(made.notices) == 3


def test_quantize_up_to_a_layer(file: str, weights: str, tmp_path: Path) -> None:
    """Behind `end` nothing is run, rounded or lost."""
    np.savez(tmp_path / "x.npz", data=np.random.default_rng(1).normal(size=(8, 3)))
    out = tmp_path / "out"
    flags = ["--data", str(tmp_path / "x.npz"), "--bits", "8", "-o", str(out), "--quiet"]
    assert main(["quantize", file, weights, *flags]) == 2
    assert main(["quantize", file, weights, *flags, "--end", "ip1"]) == 0
    net = adaption.read_net(out / "net_lp.prototxt")
    types = [m.type for m in net.message.layer]
    assert types[1] == "LPInnerProduct" and types[-1] == "InnerProduct" and "Wavelet" in types
    before = {w.name: w for w in read_weights(weights).layers}
    after = {w.name: w for w in read_weights(out / "net_lp.caffemodel").layers}
    assert [len(after[n].blobs) for n in ("ip1", "w", "ip2")] == [4, 1, 2]
    for name in ("w", "ip2"):
        for one, other in zip(before[name].blobs, after[name].blobs, strict=True):
            assert np.array_equal(one.array(), other.array())
    summary = json.loads((out / "summary.json").read_text())
    assert any('Layers behind "ip1" were not run' in note for note in summary["notes"])


def test_verify_up_to_a_layer(
    file: str, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32)
    np.savez(tmp_path / "x.npz", data=x)
    np.savez(tmp_path / "y.npz", ip1=Net(file, weights, end="ip1").forward(data=x)["ip1"].numpy())
    files = [file, weights, str(tmp_path / "y.npz"), "--data", str(tmp_path / "x.npz")]
    assert main(["verify", *files]) == 2
    capsys.readouterr()
    assert main(["verify", *files, "--end", "ip1"]) == 0
    warned = capsys.readouterr().err.splitlines()
    assert len(warned) == 3 and all(w.startswith("warning: ") for w in warned)


def test_inspect_up_to_a_layer(file: str) -> None:
    found = adaption.inspect(file, end="ip1")
    assert [v.name for v in found.layers] == ["data", "ip1"] and not found.unsupported


def test_unknown_text_is_kept_byte_for_byte(file: str, tmp_path: Path) -> None:
    adaption.write_net(adaption.read_net(file), tmp_path / "again.prototxt")
    assert (tmp_path / "again.prototxt").read_text() == TEXT == prototxt.parse(TEXT).text()


def test_weights_of_unknown_layers_are_read(weights: str) -> None:
    found = read_weights(weights)
    assert isinstance(found, Weights) and [w.type for w in found.layers][1] == "Wavelet"
