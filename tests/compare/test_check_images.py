"""check_images: the preprocessing in a file is the net's own, or the check says what is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from adaption.cli.main import main
from adaption.compare.check_images import check_images
from adaption.data import Transform
from adaption.errors import ShapeError, UsageError
from adaption.export.onnx import export_onnx
from adaption.export.onnx.images import ImageInput
from adaption.net import Net
from tests.export.nets import input_layer, layer, net_of

CONV = 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 }'
MEAN = Transform(mean_value=(104.01, 116.67, 122.68), scale=0.0171)


@pytest.fixture
def net() -> Net:
    return net_of(input_layer("data", 2, 3, 10, 12) + layer("c", "data", "c", CONV))


def pictures(
    layout: str = "NCHW", size: tuple[int, int] = (10, 12), samples: int = 5
) -> np.ndarray:
    shape = (samples, 3, *size) if layout == "NCHW" else (samples, *size, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("order", ["BGR", "RGB"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("batch", [None, 2])
def test_right_files_are_bit_equal(
    net: Net, layout: str, order: str, dtype: str, batch: int | None, tmp_path: Path
) -> None:
    path, x = tmp_path / "net.onnx", pictures(layout)
    export_onnx(net, path, images=ImageInput(MEAN, layout, dtype, order), batch=batch)
    for transform in (None, MEAN):
        check, made = check_images(net, path, x, transform)
        assert check.ok and (check.samples, check.differing) == (5, 0)
        assert made.shape == (5, 3, 10, 12)
    plain = x.transpose(0, 3, 1, 2) if layout == "NHWC" else x
    want = MEAN.apply_to_batch(plain[:, ::-1] if order == "RGB" else plain)
    assert made.tobytes() == want.tobytes()
    (output,) = check.outputs
    assert (output.blob, output.agreeing) == ("c", None)
    assert output.max_error < 1e-3  # float32 sums in another order


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(
            Transform(mean_value=(104.01, 116.67, 122.0), scale=0.0171),
            "mean: the file has [104.01000213623047, 116.66999816894531, 122.68000030517578],"
            " [104.01000213623047, 116.66999816894531, 122.0] is given",
            id="mean",
        ),
        pytest.param(
            Transform(mean_value=MEAN.mean_value, scale=0.0171, channel_order="RGB"),
            "channel_order: the file has 'BGR', 'RGB' is given",
            id="channel order",
        ),
        pytest.param(
            Transform(mean_value=MEAN.mean_value), "scale: the file has 0.0171, 1.0", id="scale"
        ),
    ],
)
def test_another_transform_differs_and_is_named(
    net: Net, given: Transform, said: str, tmp_path: Path
) -> None:
    export_onnx(net, tmp_path / "net.onnx", images=ImageInput(MEAN))
    check, _ = check_images(net, tmp_path / "net.onnx", pictures(), given)
    assert not check.ok
    assert said in check.detail and "differs from the net's own preprocessing in" in check.detail


def test_a_file_that_does_not_do_what_it_states(net: Net, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    export_onnx(net, path, images=ImageInput(MEAN))
    model = onnx.load(path)
    (mean,) = (t for t in model.graph.initializer if t.name == "preprocessing/Sub/constant0")
    mean.CopyFrom(
        onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(mean)[::-1].copy(), mean.name)
    )
    onnx.save(model, path)
    check, _ = check_images(net, path, pictures())
    assert not check.ok
    assert check.max_error == pytest.approx((122.68 - 104.01) * 0.0171, rel=1e-4)


def test_resizing_and_cropping_stay_outside(net: Net, tmp_path: Path) -> None:
    mean = np.random.default_rng(1).uniform(90, 130, (3, 16, 18)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    transform = Transform(resize=(16, 18), crop_size=(10, 12), mean_file=tmp_path / "mean.npy")
    export_onnx(net, tmp_path / "net.onnx", images=ImageInput(transform, "NHWC"))
    x = pictures("NHWC", (20, 30))
    check, made = check_images(net, tmp_path / "net.onnx", x, transform)
    assert check.ok and made.shape == (5, 3, 10, 12)
    with pytest.raises(UsageError, match="subtracts a mean image, which it does not state"):
        check_images(net, tmp_path / "net.onnx", x)


def test_images_that_do_not_fit(net: Net, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    export_onnx(net, path, images=ImageInput(MEAN))
    for x, message in (
        (pictures("NHWC"), r"images have shape \(10, 12, 3\), the model takes \(3, 10, 12\)"),
        (pictures()[0], r"images have shape \(3, 10, 12\), allowed: NCHW"),
    ):
        with pytest.raises(ShapeError, match=message):
            check_images(net, path, x)
    with pytest.raises(UsageError, match="takes images of type uint8, which does not hold"):
        check_images(net, path, pictures() / 2)
    with pytest.raises(UsageError, match="mirroring and random crops cannot be verified"):
        check_images(net, path, pictures(), Transform(mirror=True))
    export_onnx(net, path)
    with pytest.raises(UsageError, match="takes no images"):
        check_images(net, path, pictures())


FOLDER = Path(__file__).parents[2] / "models" / "lenet_digits"
FILES = (str(FOLDER / "deploy.prototxt"), str(FOLDER / "lenet_digits.caffemodel"))
SCALE = ["--scale", "0.0625"]


@pytest.fixture
def digits(tmp_path: Path) -> tuple[list[str], list[str]]:
    """What verify is given: files, and the flag of the data."""
    out, data = str(tmp_path / "net.onnx"), str(tmp_path / "digits.npy")
    flags = ["--to", "onnx", "--embed-preprocessing", *SCALE, "--mean-value", "3", "--quiet"]
    assert main(["export", *FILES, *flags, "-o", out]) == 0
    shape = (3, *Net(FILES[0]).blobs["data"].shape[1:])
    np.save(data, np.random.default_rng(0).integers(0, 17, shape).astype(np.uint8))
    return [*FILES, out], ["--data", data]


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        pytest.param([], 0, id="as the file states"),
        pytest.param([*SCALE, "--mean-value", "3"], 0, id="as the net was trained"),
        pytest.param([*SCALE, "--mean-value", "4"], 1, id="another mean"),
        pytest.param(SCALE, 1, id="no mean"),
    ],
)
def test_the_verb(
    digits: tuple[list[str], list[str]],
    flags: list[str],
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files, data = digits
    assert main(["verify", *files, *data, *flags]) == code
    said = "bit-equal to the net's own preprocessing" if code == 0 else "differs from the net's own"
    assert f'preprocessing of net.onnx: "data", made by the file from 3 images: {said}' in (
        capsys.readouterr().out
    )
    assert main(["verify", *files, *data, *flags, "--json"]) == code
    (entry,) = json.loads(capsys.readouterr().out)["preprocessing"]
    assert entry["ok"] == (code == 0)
    assert entry["outputs"][0]["agreeing"] == 3 or code == 1


def test_the_verb_finds_another_channel_order(tmp_path: Path) -> None:
    text = input_layer("data", 1, 3, 10, 12) + layer("c", "data", "c", CONV)
    net, names = net_of(text), [str(tmp_path / n) for n in ("n.prototxt", "n.caffemodel", "n.onnx")]
    Path(names[0]).write_text(text)
    net.save(names[1])
    np.save(tmp_path / "x.npy", pictures())
    flags = ["--embed-preprocessing", "--mean-value", "1,2,3", "--channel-order", "RGB"]
    assert main(["export", *names[:2], "--to", "onnx", "-o", names[2], *flags]) == 0
    verify = ["verify", *names, "--data", str(tmp_path / "x.npy"), "--mean-value", "1,2,3"]
    assert main([*verify, "--channel-order", "RGB"]) == 0
    assert main([*verify, "--channel-order", "BGR"]) == 1
    # any two backends: the file, and exact sums in float64
    assert main(["verify", *names[:2], "lp64", *names[2:], *verify[4:]]) == 1


def test_preprocessed_floats_are_the_nets_input(
    digits: tuple[list[str], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    files, data = digits
    np.save(data[1], np.load(data[1]) / np.float32(16))
    assert main(["verify", *files, *data]) == 0
    captured = capsys.readouterr()
    assert "preprocessing of" not in captured.out
    assert "its preprocessing is not checked" in captured.out


def test_flags_prepare_the_data_of_other_comparisons(
    digits: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    """Recorded blobs of preprocessed data, given the data as it was."""
    _, data = digits
    transform = Transform(scale=0.0625)
    net = Net(*FILES)
    outputs = net.forward({"data": transform.apply_to_batch(np.load(data[1]))})
    np.savez(tmp_path / "r.npz", prob=outputs["prob"].numpy())
    verify = ["verify", *FILES, str(tmp_path / "r.npz"), *data]
    assert main([*verify, *SCALE]) == 0
    assert main(verify) == 1


def test_flags_without_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *FILES, "lp64", "lp", *SCALE]) == 2
    assert "preprocessing is for data, which is not given" in capsys.readouterr().err
