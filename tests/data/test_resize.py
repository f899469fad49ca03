"""resize.py against values that cv::resize (OpenCV 4.12, INTER_LINEAR) gave for the same image."""

from __future__ import annotations

import numpy as np
import pytest

from adaption.data.resize import resize

IMAGE = (np.arange(35) * 89 % 256).astype(np.uint8).reshape(1, 5, 7)


@pytest.mark.parametrize(
    ("height", "width", "want"),
    [
        pytest.param(
            3,
            4,
            [[70, 119, 126, 89], [159, 155, 87, 211], [120, 159, 90, 139]],
            id="shrinks without smoothing",
        ),
        pytest.param(
            8,
            3,
            [
                [59, 11, 133],
                [108, 59, 107],
                [166, 129, 81],
                [129, 198, 150],
                [119, 188, 139],
                [135, 97, 49],
                [103, 150, 102],
                [77, 199, 151],
            ],
            id="grows one axis and shrinks the other",
        ),
        pytest.param(
            2,
            7,
            [[83, 172, 69, 94, 183, 80, 105], [105, 130, 219, 116, 141, 38, 127]],
            id="keeps the width",
        ),
    ],
)
def test_equals_opencv(height: int, width: int, want: list[list[int]]) -> None:
    assert resize(IMAGE, height, width)[0].tolist() == want


def test_an_exact_half_averages_four_pixels_as_opencv_does() -> None:
    assert resize(IMAGE[:, :4, :6], 2, 3)[0].tolist() == [[100, 86, 136], [130, 180, 102]]


def test_the_same_size_is_the_same_image() -> None:
    assert resize(IMAGE, 5, 7) is IMAGE


def test_channels_do_not_mix() -> None:
    image = np.concatenate([IMAGE, 255 - IMAGE])
    assert np.array_equal(resize(image, 4, 9)[:1], resize(IMAGE, 4, 9))


def test_float_images_stay_float() -> None:
    ramp = np.arange(4, dtype=np.float32).reshape(1, 1, 4)
    assert resize(ramp, 1, 8)[0, 0].tolist() == [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]


def test_equals_the_installed_opencv() -> None:
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    for _ in range(100):
        rows, columns, height, width = (int(v) for v in rng.integers(1, 60, 4))
        image = rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
        want = cv2.resize(image, (width, height)).transpose(2, 0, 1)
        assert np.array_equal(resize(image.transpose(2, 0, 1), height, width), want)
