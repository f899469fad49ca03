"""Classifier and Detector: crops, averages, context, and the settings they hand on."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import adaption.pycaffe as caffe
from adaption.errors import ShapeError, UsageError
from tests.net.nets import data, inner_product, layer

SIZE = 6


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A net that takes (2, 3, 6, 6), and random weights."""
    text = data(2, 3, SIZE, SIZE) + inner_product("ip", "data", 4) + layer("Softmax", "prob", "ip")
    net, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    net.write_text(text)
    caffe.set_random_seed(1)
    caffe.Net(net, caffe.TEST).save(weights)
    return str(net), str(weights)


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def by_hand(net: caffe.Net, images: Any) -> Any:
    """Scores of images (N, H, W, 3) of the net's size, without preprocessing."""
    return net.forward_all(data=np.transpose(images, (0, 3, 1, 2)))["prob"]


def test_centre_crop(files: tuple[str, str]) -> None:
    net = caffe.Classifier(*files, image_dims=(9, 8))
    images = [random(9, 8, 3), random(12, 16, 3, seed=1), random(9, 8, 3, seed=2)]
    got = net.predict(images, oversample=False)
    resized = np.stack([caffe.io.resize_image(x, (9, 8)) for x in images])
    np.testing.assert_allclose(got, by_hand(net, resized[:, 1:7, 1:7]), rtol=1e-5)


def test_oversampling_averages_ten_crops(files: tuple[str, str]) -> None:
    net = caffe.Classifier(*files, image_dims=np.array([9, 8]))
    images = [random(9, 8, 3), random(9, 8, 3, seed=1)]
    scores = by_hand(net, caffe.io.oversample(images, (SIZE, SIZE)))
    want = scores.reshape(2, 10, 4).mean(1)
    np.testing.assert_allclose(net.predict(images), want, rtol=1e-5)


def test_preprocessing(files: tuple[str, str]) -> None:
    settings: dict[str, Any] = {
        "mean": np.array([1.0, 2.0, 3.0]),
        "input_scale": 0.5,
        "raw_scale": 10,
        "channel_swap": (2, 1, 0),
    }
    net = caffe.Classifier(*files, **settings)
    image = random(SIZE, SIZE, 3)
    want = by_hand(net, (image[None, :, :, ::-1] * 10 - [1, 2, 3]) * 0.5)
    np.testing.assert_allclose(net.predict([image], oversample=False), want, rtol=1e-4)
    assert list(net.image_dims) == [SIZE, SIZE]


def test_classifier_errors(files: tuple[str, str]) -> None:
    with pytest.raises(ShapeError) as caught:
        caffe.Classifier(*files, image_dims=(6, 4))
    assert str(caught.value) == (
        "image_dims is (6, 4), allowed: height and width of at least (6, 6), the size of the input"
    )
    net = caffe.Classifier(*files)
    with pytest.raises(ShapeError) as caught:
        net.predict([])
    assert str(caught.value) == (
        "predict is given no images\n  fix: give a list of (H, W, K) arrays"
    )


# -- Detector ------------------------------------------------------------------------------------


@pytest.fixture
def photo(tmp_path: Path) -> tuple[str, Any]:
    pixels = np.random.default_rng(3).integers(0, 256, (12, 10, 3), np.uint8)
    file = str(tmp_path / "photo.png")
    Image.fromarray(pixels).save(file)
    return file, pixels.astype(np.float32) / np.float32(255)


def test_windows_are_warped_to_the_input(files: tuple[str, str], photo: tuple[str, Any]) -> None:
    net = caffe.Detector(*files)
    file, image = photo
    windows = [(0, 0, 12, 10), (2, 3, 8, 9), (0, 0, 6, 6)]
    found = net.detect_windows([(file, windows[:2]), (file, windows[2:])])
    assert [f["window"] for f in found] == windows
    assert {f["filename"] for f in found} == {file}
    warped = [caffe.io.resize_image(image[a:c, b:d], (SIZE, SIZE)) for a, b, c, d in windows]
    want = by_hand(net, np.stack(warped))
    np.testing.assert_allclose([f["prediction"] for f in found], want, rtol=1e-4)


def test_no_windows(files: tuple[str, str], photo: tuple[str, Any]) -> None:
    assert caffe.Detector(*files).detect_windows([(photo[0], [])]) == []


def test_context_shows_the_mean_outside_the_image(files: tuple[str, str]) -> None:
    """6 pixels with 1 of context: a window of 4 x 4 fills the middle 4 x 4, in a box of 6 x 6."""
    mean = np.array([50.0, 100.0, 150.0])
    net = caffe.Detector(*files, mean=mean, raw_scale=100, channel_swap=(2, 1, 0), context_pad=1)
    assert net.crop_mean.shape == (SIZE, SIZE, 3)
    np.testing.assert_allclose(net.crop_mean[0, 0], [1.5, 1.0, 0.5])
    image = np.full((20, 20, 3), 0.25, np.float32)
    crop = net.crop(image, (0, 0, 4, 4))
    assert crop.shape == (SIZE, SIZE, 3)
    np.testing.assert_allclose(crop[0], np.tile([1.5, 1.0, 0.5], (SIZE, 1)))
    np.testing.assert_allclose(crop[:, 0], np.tile([1.5, 1.0, 0.5], (SIZE, 1)))
    np.testing.assert_array_equal(crop[1:5, 1:5], np.full((4, 4, 3), 0.25))
    np.testing.assert_array_equal(net.crop(image, (8, 8, 12, 12)), np.full((SIZE, SIZE, 3), 0.25))


@pytest.mark.parametrize(
    "window", [(0, 0, 5, 19), (3, 0, 19, 19), (0, 0, 19, 1), (17, 17, 20, 20), (0, 12, 1, 20)]
)
def test_context_at_the_borders(files: tuple[str, str], window: tuple[int, ...]) -> None:
    net = caffe.Detector(*files, context_pad=2)
    crop = net.crop(random(20, 20, 3), window)
    assert crop.shape == (SIZE, SIZE, 3) and np.isfinite(crop).all() and crop.any()


def test_detector_errors(files: tuple[str, str]) -> None:
    with pytest.raises(ShapeError) as caught:
        caffe.Detector(*files, context_pad=3)
    assert str(caught.value) == (
        "context_pad is 3, allowed: less than half of the input's width (6)"
    )
    with pytest.raises(ShapeError) as caught:
        caffe.Detector(*files).crop(random(20, 20, 3), (5, 5, 5, 9))
    assert str(caught.value).startswith("window (5, 5, 5, 9) is empty in an image of 20 x 20\n")


def test_selective_search(
    files: tuple[str, str], photo: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = caffe.Detector(*files)
    with pytest.raises(UsageError, match="propose windows yourself and call detect_windows"):
        net.detect_selective_search([photo[0]])
    search = ModuleType("selective_search_ijcv_with_python")
    vars(search)["get_windows"] = lambda files, cmd: [[(0, 0, 4, 4)] for _ in files]
    monkeypatch.setitem(sys.modules, search.__name__, search)
    (found,) = net.detect_selective_search([photo[0]])
    assert found["window"] == (0, 0, 4, 4) and found["prediction"].shape == (4,)
