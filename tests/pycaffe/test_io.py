"""pycaffe's io: golden vectors of the original, SciPy's resampling, and error messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adaption.errors import AdaptionError, DataError, FieldError, ShapeError, UsageError
from adaption.pycaffe import io
from adaption.pycaffe.resample import resize_aligned, resize_smooth

TRANSFORMERS = ["mean_channel", "plain", "resize", "scales", "transpose"]
Arrays = dict[str, np.ndarray[Any, Any]]


def golden(shared: Path, name: str) -> Arrays:
    with np.load(shared / "golden" / "python_api" / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def random(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


# -- Transformer ---------------------------------------------------------------------------------


def transformer(meta: dict[str, Any]) -> io.Transformer:
    made = io.Transformer({"data": meta["input_shape"]})
    for name, value in meta["settings"].items():
        getattr(made, f"set_{name}")("data", np.array(value) if name == "mean" else value)
    return made


def test_every_golden_transformer_is_in_the_list(shared: Path) -> None:
    found = (shared / "golden" / "python_api").glob("transformer_*.npz")
    assert sorted(p.stem.removeprefix("transformer_") for p in found) == TRANSFORMERS


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_golden_transformer(name: str, shared: Path) -> None:
    want = golden(shared, f"transformer_{name}")
    made = transformer(json.loads(str(want["meta"])))
    # pycaffe scaled the recorded image of this case in place: it is preprocessed already.
    image = want["deprocessed"] if name == "scales" else want["image"]
    got = made.preprocess("data", image)
    assert got.dtype == np.float32
    # SciPy and we add up the interpolation in another order.
    np.testing.assert_allclose(got, want["preprocessed"], rtol=1e-5, atol=1e-6)
    back = made.deprocess("data", want["preprocessed"])
    np.testing.assert_allclose(back, want["deprocessed"], rtol=1e-6)


def test_all_steps_in_order_and_back() -> None:
    made = io.Transformer({"data": (1, 3, 4, 5)})
    made.set_transpose("data", (2, 0, 1))
    made.set_channel_swap("data", (2, 1, 0))
    made.set_raw_scale("data", 255)
    made.set_mean("data", np.array([104.0, 117.0, 123.0]))
    made.set_input_scale("data", 0.5)
    image = random(4, 5, 3)
    got = made.preprocess("data", image)
    want = (image[:, :, ::-1].transpose(2, 0, 1) * 255 - [[[104]], [[117]], [[123]]]) * 0.5
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(made.deprocess("data", got[None]), image, atol=1e-6)


def test_preprocess_leaves_the_image_alone() -> None:
    """pycaffe scales it in place when neither a resize nor a swap makes a copy."""
    made = io.Transformer({"data": (1, 3, 4, 5)})
    made.set_transpose("data", (2, 0, 1))
    made.set_raw_scale("data", 255)
    image = random(4, 5, 3)
    before = image.copy()
    made.preprocess("data", image)
    np.testing.assert_array_equal(image, before)


def test_grey_image_there_and_back() -> None:
    """pycaffe's deprocess fails on one channel."""
    made = io.Transformer({"data": (1, 1, 4, 5)})
    made.set_transpose("data", (2, 0, 1))
    image = random(4, 5, 1)
    got = made.preprocess("data", image)
    assert got.shape == (1, 4, 5)
    np.testing.assert_array_equal(made.deprocess("data", got), image)


@pytest.mark.parametrize("shape", [(3, 9, 11), (9, 11), (1, 9, 11)])
def test_mean_image_is_resized(shape: tuple[int, ...]) -> None:
    made = io.Transformer({"data": (1, 3, 4, 5)})
    mean = random(*shape) * 100 + 50
    made.set_mean("data", mean)
    planes = mean.reshape(-1, 9, 11).transpose(1, 2, 0)
    want = io.resize_image(planes, (4, 5)).transpose(2, 0, 1)
    np.testing.assert_allclose(made.mean["data"], want)


def test_constant_mean_image_is_resized() -> None:
    """pycaffe divides by its range, which is 0."""
    made = io.Transformer({"data": (1, 3, 4, 5)})
    made.set_mean("data", np.full((3, 8, 8), 7.0))
    np.testing.assert_array_equal(made.mean["data"], np.full((3, 4, 5), 7.0))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda t: t.preprocess("dta", random(4, 5, 3)),
            UsageError,
            "'dta' is not one of the inputs\n  fix: the inputs are ['data']",
        ),
        (
            lambda t: t.set_transpose("data", (2, 0)),
            ShapeError,
            'transpose order of "data" is (2, 0), allowed: an order of the 3 axes after the first'
            " of (1, 3, 4, 5)\n  fix: for images write (2, 0, 1)",
        ),
        (
            lambda t: t.set_channel_swap("data", (1, 0)),
            ShapeError,
            'channel swap of "data" is (1, 0), allowed: an order of its 3 channels',
        ),
        (
            lambda t: t.set_mean("data", np.zeros(2)),
            ShapeError,
            'mean of "data" has shape (2,), allowed: (3,), (3, height, width) or (height, width)',
        ),
        (
            lambda t: t.set_mean("data", np.zeros((1, 3, 4, 5))),
            ShapeError,
            'mean of "data" has shape (1, 3, 4, 5), allowed: (3,), (3, height, width) or'
            " (height, width)",
        ),
        (
            lambda t: t.preprocess("data", random(4, 5)),
            ShapeError,
            'the image for "data" has shape (4, 5), allowed: 3 axes\n'
            "  fix: give a grey image a channel axis: image[:, :, None]",
        ),
    ],
)
def test_transformer_errors(call: Any, error: type[AdaptionError], text: str) -> None:
    made = io.Transformer({"data": (1, 3, 4, 5)})
    made.set_transpose("data", (2, 0, 1))
    with pytest.raises(error) as caught:
        call(made)
    assert str(caught.value) == text


def test_a_mean_without_a_transpose_does_not_fit() -> None:
    made = io.Transformer({"data": (1, 3, 4, 5)})
    made.set_mean("data", np.zeros((3, 4, 5)))
    with pytest.raises(ShapeError) as caught:
        made.preprocess("data", random(4, 5, 3))
    assert str(caught.value).endswith("so that channels come first")


# -- images --------------------------------------------------------------------------------------


def test_golden_resize_image(shared: Path) -> None:
    want = golden(shared, "resize_image")
    for i, dims, order in json.loads(str(want["meta"]))["runs"]:
        got = io.resize_image(want[f"in.{i}"], dims, order)
        np.testing.assert_allclose(got, want[f"out.{i}"], rtol=1e-5, atol=1e-6, err_msg=str(i))
    np.testing.assert_array_equal(io.resize_image(want["const_in"], (7, 3)), want["const_out"])


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize(
    ("old", "new"),
    [((6, 8), (9, 5)), ((30, 17), (7, 40)), ((5, 1), (3, 4)), ((2, 2), (7, 1)), ((4, 4), (4, 4))],
)
def test_resampling_is_scipys(old: tuple[int, int], new: tuple[int, int], order: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    image = random(*old, 3).astype(np.float64)
    shrink = np.divide((*old, 3), (*new, 3))
    sigma = np.maximum(0, (shrink - 1) / 2)
    smooth = ndimage.gaussian_filter(image, sigma, mode="mirror") if (sigma > 0).any() else image
    want = ndimage.zoom(smooth, 1 / shrink, order=order, mode="mirror", grid_mode=True)
    want = np.clip(want, image.min(), image.max())
    np.testing.assert_allclose(resize_smooth(image, *new, order), want, atol=1e-12)
    want = ndimage.zoom(image, 1 / shrink, order=order)
    np.testing.assert_allclose(resize_aligned(image, *new, order), want, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: io.resize_image(random(4, 4), (2, 2)),
            ShapeError,
            "the image has shape (4, 4), allowed: (height, width, channels)",
        ),
        (
            lambda: io.resize_image(random(4, 4, 3), (2, 0)),
            ShapeError,
            "new_dims is (2, 0), allowed: (height, width) of 1 or more",
        ),
        (
            lambda: io.resize_image(random(4, 4, 3), (2, 2), 6),
            FieldError,
            "interp_order is 6, allowed: 0..5",
        ),
        (
            lambda: io.oversample([random(4, 4, 3)], (5, 2)),
            ShapeError,
            "the images have shape (1, 4, 4, 3), allowed: (N, H, W, K) with at least 5 x 2 pixels",
        ),
    ],
)
def test_image_errors(call: Any, error: type[AdaptionError], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text


def test_resize_image_of_whole_numbers() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    got = io.resize_image(image, (4, 4))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, image)


def test_oversample() -> None:
    """Per image: four corners, the centre, then the same five mirrored."""
    images = random(2, 6, 9, 3)
    crops = io.oversample(list(images), (3, 4))
    assert crops.shape == (20, 3, 4, 3) and crops.dtype == np.float32
    for i, image in enumerate(images):
        want = [image[y : y + 3, x : x + 4] for y, x in [(0, 0), (0, 5), (3, 0), (3, 5), (1, 2)]]
        np.testing.assert_array_equal(crops[10 * i : 10 * i + 5], want)
        np.testing.assert_array_equal(crops[10 * i + 5 : 10 * i + 10], np.array(want)[:, :, ::-1])


@pytest.fixture
def colour(tmp_path: Path) -> tuple[str, np.ndarray[Any, Any]]:
    pixels = np.random.default_rng(2).integers(0, 256, (5, 7, 3), np.uint8)
    file = str(tmp_path / "rgb.png")
    Image.fromarray(pixels).save(file)
    return file, pixels


def test_load_image(colour: tuple[str, np.ndarray[Any, Any]]) -> None:
    file, pixels = colour
    got = io.load_image(file)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, pixels / 255, rtol=1e-6)
    grey = io.load_image(file, color=False)
    assert grey.shape == (5, 7, 1)
    # skimage.color.rgb2gray
    want = pixels / 255 @ [0.2125, 0.7154, 0.0721]
    np.testing.assert_allclose(grey[:, :, 0], want, rtol=1e-5)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGBA", 4)])
def test_load_image_of_other_kinds(tmp_path: Path, mode: str, channels: int) -> None:
    shape = (5, 7) if channels == 1 else (5, 7, channels)
    pixels = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    file = tmp_path / "x.png"
    Image.fromarray(pixels).save(file)
    got = io.load_image(file)
    want = np.repeat(pixels[:, :, None], 3, 2) if channels == 1 else pixels[:, :, :3]
    np.testing.assert_allclose(got, want / 255, rtol=1e-6)
    assert io.load_image(file, False).shape == (5, 7, 1)


def test_load_image_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "x.jpg"
    with pytest.raises(DataError) as caught:
        io.load_image(file)
    assert str(caught.value) == f"{file}: no such file"


# -- messages ------------------------------------------------------------------------------------


def test_golden_blobproto(shared: Path) -> None:
    want = golden(shared, "blobproto")
    blob = io.array_to_blobproto(want["array"])
    assert blob.SerializeToString() == want["bytes"].tobytes()
    back = io.blobproto_to_array(blob)
    assert back.dtype == want["back"].dtype
    np.testing.assert_array_equal(back, want["back"])


def test_golden_datum(shared: Path) -> None:
    want = golden(shared, "datum")
    datum = io.array_to_datum(want["u8"], 5)
    assert datum.SerializeToString() == want["bytes"].tobytes()
    for one, key in [(datum, "u8_back"), (io.array_to_datum(want["f"]), "f_back")]:
        back = io.datum_to_array(one)
        assert back.dtype == want[key].dtype and back.flags.writeable
        np.testing.assert_array_equal(back, want[key])


def test_blobproto_with_diff() -> None:
    array, diff = random(2, 3), random(2, 3, seed=1)
    blob = io.array_to_blobproto(array, diff)
    np.testing.assert_array_equal(io.blobproto_to_array(blob), array)
    np.testing.assert_array_equal(io.blobproto_to_array(blob, return_diff=True), diff)


def test_legacy_blobproto() -> None:
    blob = io.array_to_blobproto(random(6))
    blob.ClearField("shape")
    blob.num, blob.channels, blob.height, blob.width = 1, 1, 2, 3
    assert io.blobproto_to_array(blob).shape == (1, 1, 2, 3)
    blob.width = 4
    with pytest.raises(ShapeError) as caught:
        io.blobproto_to_array(blob)
    assert str(caught.value) == "the BlobProto has shape (1, 1, 2, 4), and 6 values"


@pytest.mark.parametrize(
    "write", [io.arraylist_to_blobprotovector_str, io.arraylist_to_blobprotovecor_str]
)
def test_blobprotovector(write: Any) -> None:
    arrays = [random(2, 3), random(4), random(1, 2, 3, 4)]
    back = io.blobprotovector_str_to_arraylist(write(arrays))
    for got, want in zip(back, arrays, strict=True):
        np.testing.assert_array_equal(got, want)
    with pytest.raises(DataError):
        io.blobprotovector_str_to_arraylist(b"\xff\xff")


def test_encoded_datum(colour: tuple[str, np.ndarray[Any, Any]]) -> None:
    """pycaffe cannot decode one."""
    file, pixels = colour
    datum = io.array_to_datum(np.zeros((1, 1, 1), np.uint8))
    datum.data, datum.encoded = Path(file).read_bytes(), True
    np.testing.assert_array_equal(io.datum_to_array(datum), pixels[:, :, ::-1].transpose(2, 0, 1))


def test_datum_errors() -> None:
    with pytest.raises(ShapeError) as caught:
        io.array_to_datum(random(2, 3))
    assert str(caught.value) == "the array has shape (2, 3), a Datum is (C, H, W)"
    datum = io.array_to_datum(random(2, 3, 4))
    datum.width = 5
    with pytest.raises(DataError):
        io.datum_to_array(datum)
