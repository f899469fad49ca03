"""The verb cost: tables, JSON, drawing."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from adaption.cli.main import main
from adaption.io import prototxt
from adaption.io.netfile import write_net
from adaption.io.prototxt import Block

ROOT = Path(__file__).resolve().parents[2]
LENET = str(ROOT / "models/lenet/deploy.prototxt")
LENET_LP = str(ROOT / "models/lenet/deploy_lp.prototxt")


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", LENET_LP, "--batch", "1,64"]) == 0
    out = capsys.readouterr().out
    assert (
        out
        == f"""\
layer  type                 MACs  weights  inputs  outputs  W bits  A bits     %
conv1  LPConvolution     288,000      500     784   11,520       4      32  39.3
conv2  LPConvolution   1,600,000   25,000   2,880    3,200       4       4  48.5
ip1    LPInnerProduct    400,000  400,000     800      500       4       4  12.1
ip2    LPInnerProduct      5,000    5,000     500       10       4       4   0.2

LeNet, per image: 2,293,000 MACs, 430,500 weights, 15,230 outputs of weight layers
compute cost 0.1799 of the same net in float (MACs * (W bits + A bits), 64 in float)
one inference: 218 kB of weights and biases, packed; 8.90 kB of activations at peak (conv1)
energy of one inference: 37.0 uJ, an estimate by Horowitz, ISSCC 2014, figure 1.1.9: 45 nm, 0.9 V

memory
batch  weights  activations  largest dZ  largest dX  training  features  inference
1       215 kB      7.65 kB     46.1 kB     11.5 kB    280 kB   8.90 kB     224 kB
64      215 kB       490 kB     2.95 MB      737 kB   4.39 MB    569 kB     785 kB
training = weights + activations + largest dZ + largest dX; inference = weights + features

training, by Sakr and Shanbhag
metric  per image                                               here      float  float / here
C_W     bits of weights, their gradients and accumulators  2.927e+07  4.133e+07          1.41
C_A     bits of activations and their gradients            5.733e+05  9.995e+05          1.74
C_M     full adders in the multipliers of one iteration    6.063e+08  3.639e+09             6
C_C     bits of weight gradients to communicate            1.378e+07  1.378e+07             1
next: adaption widen {LENET_LP} -o deploy_lp_wide.prototxt --factor 2
"""
    )


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", LENET_LP, "--against", LENET, "--batch", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [
        *("layers", "total", "wrpn", "memory", "inference", "per_tensor", "per_tensor_float")
    ]
    assert found["inference"]["macs"] == found["total"]["macs"]
    assert found["inference"]["parameters"] == 430_500 + 20 + 50 + 500 + 10
    assert found["layers"][1] == {
        "name": "conv2", "type": "LPConvolution", "macs": 1_600_000, "weights": 25_000,
        "inputs": 2_880, "outputs": 3_200, "weight_bits": 4, "activation_bits": 4,
    }  # fmt: skip
    assert found["total"] == {"macs": 2_293_000, "weights": 430_500, "activations": 15_230}
    cost = sum(x["macs"] * (x["weight_bits"] + x["activation_bits"]) for x in found["layers"])
    assert found["wrpn"] == {"cost": cost, "relative": cost / (64 * 2_293_000)}
    (memory,) = found["memory"]
    assert memory["batch"] == 2
    assert memory["training"]["weights_bytes"] == memory["inference"]["weights_bytes"] == 215_250
    assert set(memory["training"]) == {
        "weights_bytes", "activations_bytes", "largest_dz_bytes", "largest_dx_bytes",
    }  # fmt: skip
    assert set(memory["inference"]) == {"weights_bytes", "feature_bytes"}
    assert (
        set(found["per_tensor"]) == set(found["per_tensor_float"]) == {"C_W", "C_A", "C_M", "C_C"}
    )
    assert found["per_tensor_float"]["C_C"] == 32 * 430_500


def test_against_another_net(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = str(tmp_path / "wide.prototxt")
    assert main(["widen", LENET, "-o", wide, "--factor", "2", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["cost", wide, "--against", LENET, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    macs = 2 * 288_000 + 4 * 1_600_000 + 4 * 400_000 + 2 * 5_000
    assert found["wrpn"]["relative"] == macs / 2_293_000
    assert main(["cost", wide, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["wrpn"]["relative"] == 1


def test_training_net_without_its_data(capsys: pytest.CaptureFixture[str]) -> None:
    train = str(ROOT / "models/lenet/train_val.prototxt")
    assert main(["cost", train, "--json", "--input", "data=64x1x28x28", "--input", "label=64"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["macs"] == 2_293_000
    assert main(["cost", train, "--input", "other=1"]) == 2
    assert '"other" cannot be an input' in capsys.readouterr().err


@pytest.mark.parametrize("name", ["lenet", "resnet50"])
def test_plot(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = str(tmp_path / "low.prototxt")
    floating = str(ROOT / f"models/{name}/deploy.prototxt")
    assert main(["rewrite", floating, "-o", net, "--weight=Q2.14", "--activation=Q8.8"]) == 0
    plot = tmp_path / "cost.svg"
    assert main(["cost", net, "--plot", str(plot), "--batch", "1,8"]) == 0
    assert f"written: {plot}\n" in capsys.readouterr().out
    tree = ElementTree.fromstring(plot.read_text("utf-8"))
    words = [e.text for e in tree.iter() if e.tag.endswith("}text")]
    assert {"Compute cost by layer", "Memory by batch size", "1", "8", "C_M"} <= set(words)
    assert ("conv2" in words) == (name == "lenet")  # too many names are left out
    width, height = (float(n) for n in tree.attrib["viewBox"].split()[2:])
    for box in (e.attrib for e in tree.iter() if e.tag.endswith("}rect")):
        assert 0 <= float(box["x"]) <= float(box["x"]) + float(box["width"]) <= width
        assert 0 <= float(box["y"]) <= float(box["y"]) + float(box["height"]) <= height


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch", "0"], "--batch is '0', allowed: numbers from 1 on, with commas between"),
        (["--batch", "1,x"], "--batch is '1,x', allowed: numbers from 1 on, with commas between"),
        (["--plot", "c.png"], "--plot c.png is no .svg file\n  fix: name the file cost.svg"),
    ],
)
def test_bad_flags(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", LENET, *flags]) == 2
    assert capsys.readouterr().err == f"adaption cost: {message}\n"


def with_formats(weight: int, activation: int, out: Path) -> None:
    """ResNet-34 as WRPN rounds it, in fixed point: weights of all layers but the first and the
    last, all activations but the last hidden one."""
    document = prototxt.read(ROOT / "models/resnet34/deploy.prototxt")
    by_type: dict[str, list[Block]] = {}
    for field in document.root.all("layer"):
        kind = field.block.first("type")
        assert kind is not None
        by_type.setdefault(kind.string, []).append(field.block)
    for block in by_type["Convolution"][1:]:
        block.append(f"precision_param {{ weight {{ {FIXED.format(weight)} }} }}")
    for block in by_type["ReLU"][:-1]:
        block.append(f"precision_param {{ activation {{ {FIXED.format(activation)} }} }}")
    write_net(document, out)


FIXED = "kind: FIXED word_length: {} frac_length: 1"


@pytest.mark.parametrize(
    ("factor", "weight", "activation", "stem", "projected"),
    [(2, 8, 4, 0.7904, 0.7477), (2, 4, 4, 0.5485, 0.5093), (2, 4, 2, 0.4276, 0.3901)],
)
def test_resnet34_widened_and_rounded(
    factor: int, weight: int, activation: int, stem: float, projected: float,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Costs of WRPN's ResNet-34 from its prototxt: widened stem, and narrow stem projected."""
    low, wide = str(tmp_path / "low.prototxt"), str(tmp_path / "wide.prototxt")
    with_formats(weight, activation, Path(low))
    float_net = str(ROOT / "models/resnet34/deploy.prototxt")
    for flags, want in (([], stem), (["--no-widen-first", "--project"], projected)):
        assert main(["widen", low, "-o", wide, "--factor", str(factor), *flags]) == 0
        capsys.readouterr()
        assert main(["cost", wide, "--against", float_net, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert round(found["wrpn"]["relative"], 4) == want
        bits = {(x["weight_bits"], x["activation_bits"]) for x in found["layers"][1:-1]}
        assert bits == {(weight, activation)}
