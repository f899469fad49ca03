"""The table of export targets, and the baked caffemodel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.errors import UsageError
from adaption.export.targets import export_net, target, target_names
from adaption.io.caffemodel import read_weights
from adaption.net import Net
from tests.export.nets import input_layer, layer, samples

LOW = (
    input_layer("data", 2, 3, 12, 12)
    + layer("act0", "data", "data", 'type: "LPAct" lpfp_param { bd: 3 ad: 5 }')
    + layer(
        "c1", "data", "c1",
        'type: "LPConvolution" convolution_param { num_output: 8 kernel_size: 3'
        ' weight_filler { type: "xavier" } bias_filler { type: "uniform" } }'
        " lpfp_param { bd: 1 ad: 7 round_bias: true }",
    )
    + layer("act1", "c1", "a1", 'type: "LPAct" lpfp_param { bd: 4 ad: 4 }')
    + layer("r1", "a1", "a1", 'type: "ReLU"')
    + layer("p1", "a1", "p1", 'type: "Pooling" pooling_param { kernel_size: 3 stride: 2 }')
    + layer(
        "ip", "p1", "ip",
        'type: "LPInnerProduct" inner_product_param { num_output: 10'
        ' weight_filler { type: "xavier" } } lpfp_param { bd: 2 ad: 6 }',
    )
    + layer("prob", "ip", "prob", 'type: "Softmax"')
)  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    net, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    net.write_text(LOW)
    Net(net, seed=3).save(weights)
    return net, weights


def baked(files: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    made = export_net(*files, to="caffemodel", out=tmp_path / "baked.caffemodel")
    weights, net = made.files
    assert [p.name for p in made.files] == ["baked.caffemodel", "baked.prototxt"]
    assert made.notes == (
        'plain Caffe rounds no results: 2 activation points are left out: "act0" (Q3.5), "act1"'
        " (Q4.4)",
    )
    return net, weights


def test_baked_pair_is_plain_and_on_the_grid(files: tuple[Path, Path], tmp_path: Path) -> None:
    net, weights = baked(files, tmp_path)
    plain, low = Net(net, weights), Net(*files)
    assert "LP" not in net.read_text()
    assert [x.type for x in read_weights(weights).layers if x.blobs] == [
        "Convolution",
        "InnerProduct",
    ]
    for name, fractions in (("c1", (7, 7)), ("ip", (6, None))):
        for i, f in enumerate(fractions):
            node = next(n for n in low.nodes if n.spec.name == name)
            want = node.quantized_blobs()[i].numpy()
            found = plain.params[name][i].tensor.numpy()
            np.testing.assert_array_equal(found, want)
            if f is not None:
                np.testing.assert_array_equal(found * 2**f, np.rint(found * 2**f))


def test_baked_pair_in_opencv(files: tuple[Path, Path], tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed (pip install opencv-python)")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this OpenCV reads no Caffe models, OpenCV 4 does")
    net, weights = baked(files, tmp_path)
    plain = Net(net, weights)
    inputs = samples(plain)
    want = plain.forward({n: torch.from_numpy(x) for n, x in inputs.items()})["prob"]
    other = cv2.dnn.readNetFromCaffe(str(net), str(weights))
    other.setInput(inputs["data"], "data")
    # probabilities, float32 sums in another order
    np.testing.assert_allclose(other.forward("prob"), want.numpy(), atol=1e-6)


def test_the_table_refuses_a_second_entry() -> None:
    assert {"c", "caffemodel", "npz", "onnx"} <= set(target_names())
    with pytest.raises(ValueError, match="export target 'onnx' is registered by"):
        target("onnx", suffix="", help="")(lambda request: pytest.fail("is not called"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "tflite"}, f"export target is 'tflite', allowed: {', '.join(target_names())}"),
        ({"to": "caffemodel", "opset": 18}, "target caffemodel takes no opset, allowed: none"),
        ({"to": "onnx", "out": "net.prototxt"}, "output 'net.prototxt' is an input"),
        (
            {"to": "caffemodel", "out": "net.caffemodel"},
            "output 'net.caffemodel' is an input",
        ),
        (
            {"to": "caffemodel", "out": "net.h5"},
            "'net.prototxt', which goes beside the output, is the input",
        ),
        (
            {"to": "caffemodel", "out": "x.prototxt"},
            "output 'x.prototxt' names the prototxt, allowed: the caffemodel",
        ),
    ],
)
def test_bad_requests(
    options: dict[str, object],
    message: str,
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(UsageError) as e:
        export_net("net.prototxt", "net.caffemodel", **options)  # type: ignore[arg-type]
    assert message in str(e.value)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before
