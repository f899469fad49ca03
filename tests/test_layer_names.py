"""Two layers of one name, layers without one: listed, told, saved and loaded right, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import adaption
from adaption.cli.main import main
from adaption.errors import LayerError, WeightsError
from adaption.io.caffemodel import LayerWeights, WeightBlob, read_weights, write_weights
from adaption.net import Net
from adaption.proto import caffe_pb2
from tests.net.nets import data, layer, net_of


def ip(name: str, bottom: str, top: str, value: float, outputs: int = 3) -> str:
    title = f'name: "{name}"' if name else ""
    return (
        f'layer {{ {title} type: "InnerProduct" bottom: "{bottom}" top: "{top}" inner_product_param'
        f" {{ num_output: {outputs} weight_filler {{ value: {value} }} }} }}\n"
    )


def twins(name: str = "fc", outputs: int = 3) -> str:
    return data(1, 3) + ip(name, "data", "a", 1) + ip(name, "a", "b", 2, outputs)


ONES = {"data": np.ones((1, 3), np.float32)}


@pytest.mark.parametrize("name", ["fc", ""])
@pytest.mark.parametrize("outputs", [3, 2])
@pytest.mark.parametrize("suffix", ["caffemodel", "caffemodel.h5"])
def test_saving_and_loading(name: str, outputs: int, suffix: str, tmp_path: Path) -> None:
    net = net_of(twins(name, outputs))
    before = net.forward(ONES)["b"].tolist()
    path = tmp_path / f"w.{suffix}"
    if suffix.endswith("h5"):
        with pytest.raises(WeightsError):  # groups go by name there
            net.save(path)
        assert not path.exists()
        return
    net.save(path)
    other = net_of(twins(name, outputs).replace("value", 'type: "uniform" value'))
    report = other.load(path)
    assert other.forward(ONES)["b"].tolist() == before
    assert report.loaded == [name, name] and not report.missing
    assert any("layers are" in notice and "go by name" in notice for notice in net.notices)


def test_copies_of_a_net_in_training(tmp_path: Path) -> None:
    """A test net shares both layers, not twice the first."""
    net, other = net_of(twins()), net_of(twins().replace("value: 2", "value: 5"))
    other.share_with(net)
    assert other.forward(ONES)["b"].tolist() == net.forward(ONES)["b"].tolist()


def test_numbers_that_do_not_match(tmp_path: Path) -> None:
    net_of(twins()).save(tmp_path / "two.caffemodel")
    single = data(1, 3) + ip("fc", "data", "a", 1)
    with pytest.raises(WeightsError, match="2 layers are called 'fc', of which the net has 1"):
        net_of(single, tmp_path / "two.caffemodel")
    net_of(single).save(tmp_path / "one.caffemodel")
    net = net_of(twins())
    assert net.load(tmp_path / "one.caffemodel").missing == ["fc"]
    assert net_of(data(1, 3) + ip("other", "data", "a", 1)).load(
        tmp_path / "two.caffemodel"
    ).ignored == ["fc", "fc"]


def test_definition_and_weights_together(tmp_path: Path) -> None:
    net = net_of(twins(outputs=2))
    message = caffe_pb2.NetParameter()
    for spec in net.spec.layers:
        message.layer.add().CopyFrom(spec.message)
    write_weights(tmp_path / "w.caffemodel", net.weights(), definition=message)
    assert [[b.shape for b in x.blobs] for x in read_weights(tmp_path / "w.caffemodel")] == [
        [],
        [(3, 3), (3,)],
        [(2, 3), (2,)],
    ]


@pytest.mark.parametrize(("name", "called"), [("c", 'called "c"'), ("", "without a name")])
def test_inspecting(
    name: str, called: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conv = (
        'layer {{ {} type: "Convolution" bottom: "{}" top: "{}" convolution_param {{ num_output: {}'
        " kernel_size: 1 }} }}\n"
    )
    title = f'name: "{name}"' if name else ""
    text = data(1, 3, 5, 5) + conv.format(title, "data", "x", 3) + conv.format(title, "x", "y", 2)
    (tmp_path / "n.prototxt").write_text(text)
    Net(tmp_path / "n.prototxt").save(tmp_path / "n.caffemodel")
    files = [str(tmp_path / "n.prototxt"), str(tmp_path / "n.caffemodel")]
    assert main(["inspect", "--json", *files]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["totals"] == {"layers": 3, "params": 20, "macs": 375}
    assert [v["weights"] for v in found["layers"]] == [None, "fit", "fit"]
    (said,) = found["warnings"]
    assert f"n.prototxt:2, 3: 2 layers are {called}: weights and formats go by name" in said


VERBS = [
    ["measure", "n.prototxt", "n.caffemodel", "--data", "x.npz", "-o", "m.json"],
    ["quantize", "n.prototxt", "n.caffemodel", "--data", "x.npz", "-o", "o"],
    ["sparsity", "n.prototxt", "n.caffemodel", "--data", "x.npz"],
    ["export", "n.prototxt", "n.caffemodel", "--to", "onnx", "-o", "n.onnx"],
    ["convert", "n.caffemodel", "n.prototxt", "-o", "c.caffemodel"],
]


@pytest.mark.parametrize("verb", VERBS, ids=[v[0] for v in VERBS])
def test_what_goes_by_name_is_refused(
    verb: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("n.prototxt").write_text(twins())
    Net("n.prototxt").save("n.caffemodel")
    np.savez("x.npz", data=np.ones((4, 3), np.float32))
    assert main([*verb, "--quiet"]) == 2
    shown = capsys.readouterr().err
    assert "2 layers" in shown and "fc" in shown and "rename all but one" in shown


def test_a_name_taken_where_a_result_is_rounded() -> None:
    text = data(1, 3) + ip("a", "data", "a", 1) + layer("ReLU", "r", "a", "a")
    text += ip("b", "a", "b", 1) + layer("ReLU", "r", "b", "b") + ip("c", "b", "c", 1)
    net = net_of(text)
    with pytest.raises(LayerError, match='2 layers are called "r", of types ReLU, ReLU'):
        adaption.precision.sites.quantization_sites(net.spec, "after-relu")
    sites = adaption.precision.sites.quantization_sites(net.spec)  # rounds before them
    assert [s.weight.name for s in sites] == ["a", "b", "c"]


def test_old_layers_beside_new_ones(tmp_path: Path) -> None:
    """UpgradeV1Net: where there are `layers`, `layer` does not count."""
    blob = [WeightBlob.of(np.ones((2, 2), np.float32))]
    write_weights(tmp_path / "new.caffemodel", [LayerWeights("ip", "InnerProduct", blob)])
    old = caffe_pb2.NetParameter()
    old.layers.add(name="ip", type=14).blobs.add(num=1, channels=1, height=2, width=2).data.extend(
        [5.0] * 4
    )
    (tmp_path / "both.caffemodel").write_bytes(
        (tmp_path / "new.caffemodel").read_bytes() + old.SerializeToString()
    )
    found = read_weights(tmp_path / "both.caffemodel")
    assert len(found) == 1 and found.layers[0].blobs[0].array().ravel()[0] == 5
