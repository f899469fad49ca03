"""transform.py: Caffe's data transformer, in the order of its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from adaption.data.transform import Transform, parse_size
from adaption.errors import AdaptionError, FieldError
from adaption.io.blobproto import write_mean
from adaption.proto import caffe_pb2

IMAGE = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)


@pytest.mark.parametrize(
    ("transform", "want"),
    [
        pytest.param(Transform(), IMAGE, id="nothing but float32"),
        pytest.param(Transform(scale=0.5), IMAGE * 0.5, id="scale"),
        pytest.param(Transform(mean_value=(10,)), IMAGE - 10.0, id="one mean for all channels"),
        pytest.param(
            Transform(mean_value=(10, 20), scale=2),
            (IMAGE - np.array([10.0, 20.0])[:, None, None]) * 2,
            id="the mean goes before the scale",
        ),
        pytest.param(
            Transform(crop_size=2), IMAGE[:, 1:3, 1:3], id="centre crop, offset rounded down"
        ),
        pytest.param(Transform(crop_size=(4, 2)), IMAGE[:, :, 1:3], id="crop with two sides"),
        pytest.param(
            Transform(resize=(2, 5)), [[[3, 4, 5, 6, 7], [13, 14, 15, 16, 17]]] * 2, id="r"
        ),
        pytest.param(Transform(channel_order="RGB"), IMAGE, id="two channels have no order"),
    ],
)
def test_apply(transform: Transform, want: Any) -> None:
    found = transform.apply(IMAGE)
    if transform.resize:
        want = np.asarray(want) + np.array([0, 20])[:, None, None]
    assert found.dtype == np.float32
    assert found.tolist() == np.asarray(want, np.float32).tolist()
    assert found.shape == transform.top_shape(IMAGE.shape)


def test_rgb_means_are_in_the_order_of_the_net() -> None:
    image = np.array([1, 2, 3], np.uint8).reshape(3, 1, 1)  # blue, green, red
    found = Transform(channel_order="RGB", mean_value=(30, 20, 10)).apply(image)
    assert found.ravel().tolist() == [-27.0, -18.0, -9.0]


def test_float_pixels_are_not_changed_by_an_empty_transform() -> None:
    image = IMAGE.astype(np.float32) / 3
    assert np.array_equal(Transform().apply(image), image)


def test_mean_file_is_cropped_with_the_image(tmp_path: Path) -> None:
    mean = np.arange(40, dtype=np.float32).reshape(2, 4, 5) / 7
    write_mean(tmp_path / "m.binaryproto", mean)
    found = Transform(mean_file=tmp_path / "m.binaryproto", crop_size=3, scale=2).apply(IMAGE)
    assert np.array_equal(found, ((IMAGE - mean) * np.float32(2))[:, 0:3, 1:4])


def test_mean_file_with_one_value_per_channel(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.array([1.0, 2.0]))
    found = Transform(mean_file=tmp_path / "m.npy").apply(IMAGE)
    assert np.array_equal(found, IMAGE - np.array([1.0, 2.0], np.float32)[:, None, None])


def test_random_crop_only_in_train() -> None:
    transform = Transform(crop_size=2, phase="TRAIN")
    rng = np.random.default_rng(0)
    corners = {int(transform.apply(IMAGE, rng)[0, 0, 0]) for _ in range(200)}
    assert corners == {0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13}
    assert not transform.with_phase("TEST").is_random


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_mirror_is_random_in_both_phases_as_in_caffe(phase: str) -> None:
    transform = Transform(mirror=True, phase=phase)
    rng = np.random.default_rng(0)
    firsts = [int(transform.apply(IMAGE, rng)[0, 0, 0]) for _ in range(200)]
    assert set(firsts) == {0, 4}
    assert 70 < firsts.count(4) < 130


@pytest.mark.parametrize(
    ("shape", "resize", "want"),
    [
        pytest.param((375, 500), 256, (256, 341), id="landscape"),
        pytest.param((500, 375), 256, (341, 256), id="portrait"),
        pytest.param((10, 10), 5, (5, 5), id="square"),
        pytest.param((1, 900), 2, (2, 1800), id="grows"),
        pytest.param((375, 500), (256, 200), (256, 200), id="both sides"),
        pytest.param((375, 500), None, (375, 500), id="none"),
    ],
)
def test_size_of(shape: tuple[int, int], resize: Any, want: tuple[int, int]) -> None:
    assert Transform(resize=resize).size_of(*shape) == want


def message(text: str) -> caffe_pb2.TransformationParameter:
    return text_format.Parse(text, caffe_pb2.TransformationParameter())


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("", Transform(), id="defaults"),
        pytest.param(
            "scale: 0.5 mirror: true crop_size: 3 mean_value: 1 mean_value: 2 force_gray: true",
            Transform(scale=0.5, mirror=True, crop_size=3, mean_value=(1.0, 2.0), force_gray=True),
            id="all of Caffe's",
        ),
        pytest.param("crop_h: 2 crop_w: 3", Transform(crop_size=(2, 3)), id="SSD's crop"),
        pytest.param('mean_file: "m"', Transform(mean_file="m"), id="mean file"),
    ],
)
def test_from_message(text: str, want: Transform) -> None:
    assert Transform.from_message(message(text)) == want


def bad_mean(tmp_path: Path) -> AdaptionError:
    np.save(tmp_path / "m.npy", np.ones((2, 2, 2)))
    with pytest.raises(AdaptionError) as caught:
        Transform(mean_file=tmp_path / "m.npy").apply(IMAGE)
    return caught.value


def test_mean_file_of_another_size(tmp_path: Path) -> None:
    assert str(bad_mean(tmp_path)) == (
        f"mean_file is '{tmp_path}/m.npy of shape (2, 2, 2)', allowed: the shape (2, 4, 5) of the"
        " image before cropping\n  fix: resize the images to 2x2, or give its mean per channel as"
        " mean_value: 1, 1"
    )


@pytest.mark.parametrize(
    ("act", "want"),
    [
        pytest.param(
            lambda: Transform(crop_size=5).apply(IMAGE),
            "crop_size is '5x5', allowed: at most 4x5, the size of the image\n"
            "  fix: resize the images to a larger size, or crop less",
            id="crop too large",
        ),
        pytest.param(
            lambda: Transform(mean_value=(1, 2, 3)).apply(IMAGE),
            "mean_value is [1.0, 2.0, 3.0], allowed: one value, or one per channel (2)",
            id="number of means",
        ),
        pytest.param(
            lambda: Transform.from_message(message('mean_file: "m" mean_value: 1')),
            "mean_value is [1.0], allowed: nothing beside mean_file\n"
            "  fix: give the mean once, as mean_file or as mean_value",
            id="two means",
        ),
        pytest.param(
            lambda: Transform.from_message(message("force_color: true force_gray: true")),
            "force_gray is True, allowed: false beside force_color",
            id="colour and grey",
        ),
        pytest.param(
            lambda: Transform.from_message(message("resize_param { prob: 1 }")),
            "transform_param.resize_param is 'set', allowed: fields of Caffe's own transformer:"
            " crop_h, crop_size, crop_w, force_color, force_gray, mean_file, mean_value, mirror,"
            " scale\n  fix: remove it, and prepare the images accordingly",
            id="augmentation of a fork",
        ),
        pytest.param(
            lambda: Transform(scale=float("inf")),
            "scale is inf, allowed: a finite number",
            id="scale",
        ),
        pytest.param(
            lambda: Transform(channel_order="GBR"),
            "channel_order is 'GBR', allowed: 'BGR' or 'RGB'",
            id="channel order",
        ),
        pytest.param(
            lambda: Transform(resize=(0, 4)),
            "resize is (0, 4), allowed: a length in pixels, or height and width",
            id="resize to nothing",
        ),
        pytest.param(
            lambda: Transform(mirror=True).apply(IMAGE),
            "mirroring and random crops need a random generator\n  fix: give rng",
            id="no generator",
        ),
        pytest.param(
            lambda: Transform().apply(IMAGE[0]),
            "a sample has shape (4, 5), images have three axes: channels, height, width",
            id="not an image",
        ),
    ],
)
def test_errors(act: Any, want: str) -> None:
    with pytest.raises(AdaptionError) as caught:
        act()
    assert str(caught.value) == want


def test_describe() -> None:
    transform = Transform(resize=(256, 256), crop_size=227, mean_value=(104, 117, 123))
    assert transform.describe() == {
        "channel_order": "BGR",
        "resize": [256, 256],
        "crop": 227,
        "crop_mode": "center",
        "mirror": False,
        "mean_value": [104.0, 117.0, 123.0],
        "mean_file": None,
        "scale": 1.0,
    }
    bare = Transform(mean_file=Path("m.npy")).describe()
    assert (bare["crop"], bare["crop_mode"], bare["mean_file"]) == (None, None, "m.npy")


@pytest.mark.parametrize(
    ("text", "want"), [("256", 256), ("256x320", (256, 320)), ("3X4", (3, 4)), ("3,4", (3, 4))]
)
def test_parse_size(text: str, want: Any) -> None:
    assert parse_size(text) == want


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "2x3x4", "2.5"])
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(FieldError, match="pixels as in 256, or height x width as in 256x320"):
        parse_size(text)
