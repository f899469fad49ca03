"""WindowData: the window file, thresholds, what is cut out, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adaption.data.resize import resize
from adaption.data.windows import Window, cut, read_windows
from adaption.errors import AdaptionError, DataError
from tests.net.nets import net_of

# One row for each window: class, overlap, x1 y1 x2 y2.
WINDOWS = """# 0
a.png
3
6
8
4
2 0.9 0 0 3 3
1 0.5 2 1 7 5
1 0.4 1 1 2 2
3 0.05 4 2 7 5
# 1
b.png
3
4
4
2
5 1 1 1 2 2
5 0.1 0 0 3 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, size in (("a", (6, 8, 3)), ("b", (4, 4, 3))):
        Image.fromarray(rng.integers(0, 255, size, np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "windows.txt").write_text(WINDOWS)
    return tmp_path


def pixels(name: str) -> Any:
    """BGR (3, H, W)."""
    return np.asarray(Image.open(name))[..., ::-1].transpose(2, 0, 1)


def window_data(more: str = "", transform: str = "crop_size: 4", size: int = 8) -> str:
    return (
        'layer { name: "d" type: "WindowData" top: "data" top: "label"\n'
        f"  transform_param {{ {transform} }}\n"
        f'  window_data_param {{ source: "windows.txt" batch_size: {size} {more} }} }}'
    )


# -- the window file -----------------------------------------------------------------------------


def test_thresholds_sort_the_windows(folder: Path) -> None:
    found = read_windows(folder / "windows.txt", "img/", fg_threshold=0.5, bg_threshold=0.2)
    assert found.channels == 3
    assert found.foreground == [
        Window("img/a.png", 2, 0.9, 0, 0, 3, 3),
        Window("img/a.png", 1, 0.5, 2, 1, 7, 5),
        Window("img/b.png", 5, 1.0, 1, 1, 2, 2),
    ]
    # 0.4 is neither; background is class 0.
    assert [w[1:] for w in found.background] == [(0, 0, 4, 2, 7, 5), (0, 0, 0, 0, 3, 3)]


@pytest.mark.parametrize(
    ("old", "new", "want"),
    [
        ("# 1", "# 2", "windows.txt:11: found image 2, expected 1: they count up from 0"),
        ("# 1", "1", "windows.txt:11: found '1', expected # and the index of an image"),
        ("5 1 1 1", "5 x 1 1", "windows.txt:17: found 'x', expected an overlap, a number"),
        ("2\n5 1", "3\n5 1", "windows.txt:18: ends where a class index is expected"),
        ("2 0.9", "0 0.9", "windows.txt:7: a window of overlap 0.9 has class index 0, allowed: 1"),
        (WINDOWS, "", "windows.txt: lists no images"),
    ],
)
def test_bad_window_files(folder: Path, old: str, new: str, want: str) -> None:
    (folder / "windows.txt").write_text(WINDOWS.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        read_windows(Path("windows.txt"))
    assert str(caught.value).startswith(want)


def test_both_kinds_are_needed() -> None:
    with pytest.raises(DataError, match=r"holds no foreground windows: none has .* of 1\.5"):
        read_windows(Path("windows.txt"), fg_threshold=1.5)
    with pytest.raises(DataError, match=r"holds no background windows: none has .* below 0"):
        read_windows(Path("windows.txt"), bg_threshold=0)


# -- cutting -------------------------------------------------------------------------------------

IMAGE = np.arange(48, dtype=np.uint8).reshape(1, 6, 8)


def window(x1: int, y1: int, x2: int, y2: int) -> Window:
    return Window("i", 1, 1.0, x1, y1, x2, y2)


def test_warp_without_context_is_a_resize() -> None:
    made = cut(IMAGE, window(2, 1, 7, 3), 5)
    assert (made.top, made.left) == (0, 0)
    assert np.array_equal(made.image, resize(IMAGE[:, 1:4, 2:8], 5, 5))
    flipped = cut(IMAGE, window(2, 1, 7, 3), 5, mirror=True)
    assert np.array_equal(flipped.image, made.image[..., ::-1])


def test_context_inside_of_the_image() -> None:
    """Crop 4 with 1 of context: scale 2, so the box grows by its half size; x2 is one beyond."""
    made = cut(IMAGE, window(3, 2, 4, 3), 4, context_pad=1)
    # centre (4, 3), half size 1: 2..6 and 1..5, five pixels each.
    assert (made.top, made.left) == (0, 0)
    assert np.array_equal(made.image, resize(IMAGE[:, 1:6, 2:7], 4, 4))


def test_context_beyond_the_image() -> None:
    """Centre (1, 1), half size 1, scale 2: -1..3, five pixels of which the first is outside."""
    made = cut(IMAGE, window(0, 0, 1, 1), 10, context_pad=2)
    # scale is 10 / 6: 1 - 1.67 rounds to -1, 1 + 1.67 to 3; the part inside is 4 of 5, 8 of 10.
    assert (made.top, made.left) == (2, 2)
    assert np.array_equal(made.image, resize(IMAGE[:, 0:4, 0:4], 8, 8))
    flipped = cut(IMAGE, window(0, 0, 1, 1), 10, context_pad=2, mirror=True)
    assert (flipped.top, flipped.left) == (2, 0)
    assert np.array_equal(flipped.image, made.image[..., ::-1])


def test_square_takes_the_longer_side() -> None:
    # centre (4, 3), half sizes 3 and 1: 1..7 and 0..6, of which row 6 is outside of the image.
    made = cut(IMAGE, window(1, 2, 6, 3), 7, square=True)
    assert (made.top, made.left) == (0, 0)
    assert np.array_equal(made.image, IMAGE[:, 0:6, 1:8])


@pytest.mark.parametrize("context_pad", [0, 1])
def test_windows_outside_of_the_image(context_pad: int) -> None:
    with pytest.raises(DataError, match=r"window \(20, 20\)\.\.\(22, 22\) does not fit into the"):
        cut(IMAGE, window(20, 20, 22, 22), 4, context_pad=context_pad)


# -- the layer -----------------------------------------------------------------------------------


def test_batches_hold_background_then_foreground() -> None:
    net = net_of(window_data("fg_fraction: 0.3 bg_threshold: 0.2"))
    assert (net.blobs["data"].shape, net.blobs["label"].shape) == ((8, 3, 4, 4), (8,))
    seen = set()
    for _ in range(10):
        labels = net.forward()["label"].tolist()
        assert labels[:6] == [0] * 6 and set(labels[6:]) <= {1, 2, 5}  # int(8 * 0.3) is 2
        seen |= set(labels)
    assert seen == {0, 1, 2, 5}


def test_pixels_mean_and_scale() -> None:
    only = WINDOWS.replace("2 0.9 0 0 3 3", "2 0.9 4 2 7 5").replace("1 0.5 ", "1 0.45 ")
    Path("windows.txt").write_text(only.replace("5 1 1 1 2 2", "5 0.3 1 1 2 2"))
    text = window_data("fg_fraction: 1 scale: 0.5", "crop_size: 4 mean_value: [1, 2, 3]", 1)
    found = net_of(text).forward()
    box = pixels("a.png")[:, 2:6, 4:8].astype(np.float32)
    want = (box - np.array([1, 2, 3], np.float32)[:, None, None]) * 0.5
    assert np.array_equal(found["data"].numpy()[0], want)
    assert found["label"].tolist() == [2]

    np.save("mean.npy", np.arange(3 * 8 * 8, dtype=np.float32).reshape(3, 8, 8))
    text = window_data("fg_fraction: 1", 'crop_size: 4 scale: 2 mean_file: "mean.npy"', 1)
    mean = np.load("mean.npy")[:, 2:6, 2:6]
    assert np.array_equal(net_of(text).forward()["data"].numpy()[0], (box - mean) * 2)
    # The original reads the scale of window_data_param alone.
    found = net_of(text, original_semantics=True).forward()
    assert np.array_equal(found["data"].numpy()[0], box - mean)


def test_outside_of_the_image_is_zero_also_with_a_mean() -> None:
    Path("windows.txt").write_text("# 0 b.png 3 4 4 2\n1 1 0 0 1 1\n1 0 0 0 1 1\n")
    text = window_data("context_pad: 2 cache_images: true", "crop_size: 10 mean_value: 300", 1)
    crop = net_of(text).forward()["data"].numpy()[0]
    assert (crop[:, :2] == 0).all() and (crop[:, :, :2] == 0).all() and (crop[:, 2:, 2:] < 0).all()


def test_mirror_is_random_and_runs_repeat_by_the_seed() -> None:
    text = window_data("fg_fraction: 1", "crop_size: 4 mirror: true", 1)
    Path("windows.txt").write_text("# 0 b.png 3 4 4 2\n1 1 0 0 3 3\n1 0 0 0 1 1\n")
    runs = [net_of(text, seed=3) for _ in range(2)]
    crops = [[net.forward()["data"].numpy()[0] for _ in range(12)] for net in runs]
    assert np.array_equal(crops[0], crops[1])
    image = pixels("b.png")
    is_flipped = [np.array_equal(c, image[..., ::-1]) for c in crops[0]]
    assert all(f or np.array_equal(c, image) for f, c in zip(is_flipped, crops[0], strict=True))
    assert 0 < sum(is_flipped) < 12


def test_grey_images() -> None:
    Image.new("L", (4, 4), 7).save("g.png")
    Path("windows.txt").write_text("# 0 g.png 1 4 4 2\n1 1 0 0 3 3\n1 0 0 0 1 1\n")
    net = net_of(window_data())
    assert net.forward()["data"].shape == (8, 1, 4, 4) and (net.blobs["data"].data == 7).all()


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (
            window_data(transform=""),
            'net.prototxt:1: layer "d" (WindowData): transform_param.crop_size is 0, allowed: 1 or'
            " more",
        ),
        (
            window_data("mirror: true"),
            "net.prototxt:1: layer \"d\" (WindowData): window_data_param.mirror is 'set', allowed:"
            " transform_param.mirror, which is read",
        ),
        (
            window_data("crop_mode: 'round'"),
            "net.prototxt:1: layer \"d\" (WindowData): window_data_param.crop_mode is 'round',"
            " allowed: 'warp' or 'square'",
        ),
        (
            window_data("context_pad: 2"),
            'net.prototxt:1: layer "d" (WindowData): window_data_param.context_pad is 2, allowed:'
            " less than half of crop_size (4)",
        ),
        (
            window_data(transform="crop_size: 4 mean_value: [1, 2]"),
            "net.prototxt:1: layer \"d\" (WindowData): transform_param.mean_value is '2 channels',"
            " allowed: 3, as images",
        ),
        (
            window_data('root_folder: "nowhere/"'),
            'nowhere/b.png: layer "d" (WindowData): no such file',
        ),
    ],
)
def test_bad_fields(text: str, want: str) -> None:
    with pytest.raises(AdaptionError) as caught:
        net_of(text, seed=5).forward()
    assert str(caught.value).replace("a.png", "b.png") == want
