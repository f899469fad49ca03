"""Window files and the windows in them, cut out of images and warped as R-CNN takes them.

Caffe: window_data_layer.cpp.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from adaption.data.base import Array
from adaption.data.resize import resize
from adaption.errors import DataError
from adaption.io.files import read_text
from adaption.later import np

__all__ = ["Patch", "Window", "WindowFile", "cut", "read_windows"]


class Window(NamedTuple):
    """A box in an image, corners included, with its class and its overlap with an object."""

    image: str
    label: int
    overlap: float
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass
class WindowFile:
    """The windows of a window file; those between the two thresholds are left out."""

    channels: int = 3  # as the last image of the file says
    foreground: list[Window] = field(default_factory=list)
    background: list[Window] = field(default_factory=list)  # label and overlap are 0


class Patch(NamedTuple):
    """A warped window, and where it lies in the crop: the context beyond the image is left out."""

    image: Array  # (C, h, w), uint8
    top: int
    left: int


def read_windows(
    path: Path, root: str = "", *, fg_threshold: float = 0.5, bg_threshold: float = 0.5
) -> WindowFile:
    """Read a window file: for each image

        # image_index
        path
        channels
        height
        width
        number of windows
        class_index overlap x1 y1 x2 y2      (so many times)

    Args:
        root: put in front of every path, as it is.
        fg_threshold: overlap from which on a window shows an object.
        bg_threshold: overlap below which it shows background.
    Raises: FileFormatError when the file cannot be read; DataError naming the line.
    """
    made = WindowFile()
    words = _Words(path)
    count = 0
    while words.expect_image(count):
        image = root + words.take("the path of an image")
        made.channels = words.number("channels")
        words.number("height")
        words.number("width")
        for _ in range(words.number("the number of windows")):
            label = words.number("a class index")
            overlap = words.real("an overlap")
            x1, y1, x2, y2 = (words.number(name) for name in ("x1", "y1", "x2", "y2"))
            if overlap >= fg_threshold:
                if label <= 0:
                    raise words.error(
                        f"a window of overlap {overlap:g} has class index {label}, allowed: 1 or"
                        " more (0 is the background)"
                    )
                made.foreground.append(Window(image, label, overlap, x1, y1, x2, y2))
            elif overlap < bg_threshold:
                made.background.append(Window(image, 0, 0.0, x1, y1, x2, y2))
        count += 1
    if not count:
        raise DataError("lists no images", "begin it with `# 0` and the path of an image").at(
            file=path
        )
    for kind, found, limit in (
        ("foreground", made.foreground, f"an overlap of {fg_threshold:g} or more (fg_threshold)"),
        ("background", made.background, f"an overlap below {bg_threshold:g} (bg_threshold)"),
    ):
        if not found:
            raise DataError(
                f"holds no {kind} windows: none has {limit}",
                "correct the thresholds; every batch takes windows of both kinds",
                file=path,
            )
    return made


class _Words:
    """The words of a window file, which knows neither quotes nor lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 1
        text = read_text(path, "a window file", errors="surrogateescape")
        self._words = self._numbered(text)

    @staticmethod
    def _numbered(text: str) -> Iterator[tuple[int, str]]:
        for number, line in enumerate(text.splitlines(), 1):
            for word in line.split():
                yield number, word

    def error(self, fact: str) -> DataError:
        fix = "each image: # index, path, channels, height, width, number of windows, windows"
        return DataError(fact, fix, file=self.path, line=self.line)

    def expect_image(self, index: int) -> bool:
        """Take `# index`; False at the end of the file."""
        word = next(self._words, None)
        if word is None:
            return False
        self.line = word[0]
        if word[1] != "#":
            raise self.error(f"found {word[1]!r}, expected # and the index of an image")
        found = self.number("the index of an image")
        if found != index:
            raise self.error(f"found image {found}, expected {index}: they count up from 0")
        return True

    def take(self, what: str) -> str:
        word = next(self._words, None)
        if word is None:
            raise self.error(f"ends where {what} is expected")
        self.line = word[0]
        return word[1]

    def number(self, what: str) -> int:
        word = self.take(what)
        if not re.fullmatch(r"[+-]?\d{1,9}", word, re.ASCII):
            raise self.error(f"found {word!r}, expected {what}, a whole number")
        return int(word)

    def real(self, what: str) -> float:
        word = self.take(what)
        try:
            return float(word)
        except ValueError:
            raise self.error(f"found {word!r}, expected {what}, a number") from None


def cut(
    image: Array,
    window: Window,
    size: int,
    *,
    context_pad: int = 0,
    square: bool = False,
    mirror: bool = False,
) -> Patch:
    """A window of an image (C, H, W), warped to the crop of `size` x `size`.

    Args:
        context_pad: pixels of the crop, on each side, that show what lies around the window.
        square: take the tightest square around the window, so that warping keeps its shape.
        mirror: flip left to right.
    Raises: DataError when the window lies outside of the image.
    """
    rows, columns = image.shape[1:]
    x1, y1, x2, y2 = window[3:]
    height = width = size
    top = left = 0
    if context_pad or square:
        x1, x2, y1, y2 = _expanded(window, size, context_pad, square)
        wide, high = x2 - x1 + 1, y2 - y1 + 1
        before_x, before_y = max(0, -x1), max(0, -y1)
        after_x, after_y = max(0, x2 - columns + 1), max(0, y2 - rows + 1)
        x1, y1, x2, y2 = x1 + before_x, y1 + before_y, x2 - after_x, y2 - after_y
        scale_x = np.float32(size) / np.float32(max(wide, 1))
        scale_y = np.float32(size) / np.float32(max(high, 1))
        width, height = _rounded((x2 - x1 + 1) * scale_x), _rounded((y2 - y1 + 1) * scale_y)
        left, top = (
            _rounded((after_x if mirror else before_x) * scale_x),
            _rounded(before_y * scale_y),
        )
        # Rounding may let the two exceed the crop.
        width, height = min(width, size - left), min(height, size - top)
    inside = 0 <= x1 <= x2 < columns and 0 <= y1 <= y2 < rows
    if not inside or width < 1 or height < 1:
        box = f"({window.x1}, {window.y1})..({window.x2}, {window.y2})"
        raise DataError(f"window {box} does not fit into the image of {columns}x{rows}")
    warped = resize(image[:, y1 : y2 + 1, x1 : x2 + 1], height, width)
    return Patch(warped[..., ::-1] if mirror else warped, top, left)


def _expanded(
    window: Window, size: int, context_pad: int, square: bool
) -> tuple[int, int, int, int]:
    """x1, x2, y1, y2 with the context, which may lie outside of the image; float32, as Caffe."""
    scale = np.float32(size) / np.float32(size - 2 * context_pad)
    half_high = np.float32((window.y2 - window.y1 + 1) / 2)
    half_wide = np.float32((window.x2 - window.x1 + 1) / 2)
    x, y = np.float32(window.x1) + half_wide, np.float32(window.y1) + half_high
    if square:
        half_high = half_wide = max(half_high, half_wide)
    return (
        _rounded(x - half_wide * scale),
        _rounded(x + half_wide * scale),
        _rounded(y - half_high * scale),
        _rounded(y + half_high * scale),
    )


def _rounded(value: np.floating) -> int:
    """C's round: half away from zero."""
    number = float(value)
    return int(math.copysign(math.floor(abs(number) + 0.5), number))
