"""Images as a model's input: the model computes what Transform and the net compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from adaption.compare.float_check import check_float
from adaption.data import Transform
from adaption.errors import AdaptionError, FieldError
from adaption.export.onnx import export_onnx
from adaption.export.onnx.images import ImageInput
from adaption.net import Net
from tests.export.nets import input_layer, layer, net_of, run_model

CONV = 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 }'


@pytest.fixture
def net() -> Net:
    return net_of(input_layer("data", 2, 3, 10, 12) + layer("c", "data", "c", CONV))


def pictures(height: int = 10, width: int = 12) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (2, 3, height, width)).astype(np.uint8)


TRANSFORMS = [
    pytest.param(Transform(), id="nothing"),
    pytest.param(Transform(mean_value=(104, 117, 123)), id="mean per channel"),
    pytest.param(Transform(mean_value=(127.5,), scale=1 / 127), id="one mean, scale"),
    pytest.param(
        Transform(mean_value=(1.5, 2.25, 3), scale=0.017, channel_order="RGB"), id="RGB net"
    ),
]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("order", ["BGR", "RGB"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_model_takes_images(
    net: Net, transform: Transform, layout: str, order: str, dtype: str, tmp_path: Path
) -> None:
    images = ImageInput(transform, layout, dtype, order)
    report = export_onnx(net, tmp_path / "net.onnx", images=images)
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)
    shape = (3, 10, 12) if layout == "NCHW" else (10, 12, 3)
    assert report.inputs == {"image": ("N", *shape)}
    x = pictures()
    want = net.forward({"data": torch.from_numpy(transform.apply_to_batch(x))})["c"]
    given = x[:, ::-1] if order == "RGB" else x
    given = given.transpose(0, 2, 3, 1) if layout == "NHWC" else given
    found = run_model(tmp_path / "net.onnx", {"image": given.astype(dtype)})["c"]
    # the convolution sums in another order; the preprocessing itself is bit-equal, see below
    np.testing.assert_allclose(found, want.numpy(), rtol=1e-4, atol=1e-2)


def test_preprocessing_is_bit_equal(net: Net, tmp_path: Path) -> None:
    transform = Transform(mean_value=(104.01, 116.67, 122.68), scale=0.0171)
    export_onnx(net, tmp_path / "net.onnx", images=ImageInput(transform, "NHWC"))
    model = onnx.load(tmp_path / "net.onnx")
    model.graph.output.append(onnx.helper.make_tensor_value_info("data", 1, None))
    onnx.save(model, tmp_path / "open.onnx")
    x = pictures()
    found = run_model(tmp_path / "open.onnx", {"image": x.transpose(0, 2, 3, 1)})["data"]
    assert found.tobytes() == transform.apply_to_batch(x).tobytes()


def test_mean_image_is_cut_from_the_centre(net: Net, tmp_path: Path) -> None:
    mean = np.random.default_rng(1).uniform(90, 130, (3, 13, 15)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    transform = Transform(mean_file=tmp_path / "mean.npy", crop_size=(10, 12))
    report = export_onnx(net, tmp_path / "net.onnx", images=ImageInput(transform))
    assert "cropping of images stays outside the model" in report.notes
    x = pictures(13, 15)
    want = net.forward({"data": torch.from_numpy(transform.apply_to_batch(x))})["c"]
    cut = np.ascontiguousarray(x[:, :, 1:11, 1:13])
    found = run_model(tmp_path / "net.onnx", {"image": cut})["c"]
    np.testing.assert_allclose(found, want.numpy(), rtol=1e-4, atol=1e-2)


def test_real_digits_through_the_embedded_example(tmp_path: Path) -> None:
    """The images of models/lenet_digits, as stored, give the accuracy of the net."""
    from adaption.data import open_source

    folder = Path(__file__).parents[2] / "models" / "lenet_digits"
    net = Net(folder / "deploy.prototxt", folder / "lenet_digits.caffemodel")
    transform = Transform(scale=1 / 16)
    export_onnx(net, tmp_path / "net.onnx", images=ImageInput(transform), style="float")
    source = open_source(folder / "digits_test_lmdb")
    samples = [source[i] for i in range(32)]
    raw = np.stack([s.image for s in samples])
    assert raw.dtype == np.uint8
    want = net.forward({"data": torch.from_numpy(transform.apply_to_batch(raw))})["prob"]
    found = run_model(tmp_path / "net.onnx", {"image": raw})["prob"]
    np.testing.assert_allclose(found, want.numpy(), atol=1e-5)  # order of sums


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "HWC"}, "layout is 'HWC', allowed: NCHW, NHWC"),
        ({"dtype": "int8"}, "dtype is 'int8', allowed: uint8, float32"),
        ({"order": "GBR"}, "order is 'GBR', allowed: BGR, RGB"),
    ],
)
def test_bad_options(options: dict[str, str], message: str) -> None:
    with pytest.raises(FieldError) as e:
        ImageInput(Transform(), **options)
    assert message in str(e.value)


@pytest.mark.parametrize(
    ("text", "transform", "message"),
    [
        (
            input_layer("data", 1, 3) + layer("r", "data", "r", 'type: "ReLU"'),
            Transform(),
            "input \"data\" has shape ('N', 3), images need (N, C, H, W)",
        ),
        (
            input_layer("data", 1, 1, 4, 4) + layer("r", "data", "r", 'type: "ReLU"'),
            Transform(mean_value=(1, 2, 3)),
            'the mean has 3 channels, input "data" has 1',
        ),
        (
            input_layer("a", 1, 1, 4, 4)
            + input_layer("b", 1, 1, 4, 4)
            + layer("s", "a b", "s", 'type: "Eltwise"'),
            Transform(),
            "the model has inputs 'a', 'b', allowed with images: one",
        ),
    ],
    ids=["no image", "channels", "two inputs"],
)
def test_nets_that_take_no_images(
    text: str, transform: Transform, message: str, tmp_path: Path
) -> None:
    with pytest.raises(AdaptionError) as e:
        export_onnx(net_of(text), tmp_path / "net.onnx", images=ImageInput(transform))
    assert message in str(e.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_verify_compares_what_is_behind_the_preprocessing(
    net: Net, layout: str, tmp_path: Path
) -> None:
    transform = Transform(mean_value=(1, 2, 3), scale=0.1)
    export_onnx(net, tmp_path / "net.onnx", images=ImageInput(transform, layout))
    report = check_float(net, tmp_path / "net.onnx")
    assert report.ok, report.detail
