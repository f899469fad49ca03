"""NullHop's sparsity map codec. Source of the worked example: ADaPTION specification, 10.7."""

from __future__ import annotations

import numpy as np
import pytest

from adaption.errors import FieldError, FileFormatError, ShapeError
from adaption.export.nullhop.sparsity_map import (
    compressed_words,
    decode,
    decode_stream,
    encode,
    encode_stream,
)


def test_worked_example() -> None:
    pixels = np.zeros(16, np.int16)
    pixels[[1, 4, 15]] = 256, -77, 1
    words = encode(pixels)
    assert [hex(w) for w in words] == ["0x8012", "0x100", "0xffb3", "0x1"]
    np.testing.assert_array_equal(decode(words, (16,)), pixels)
    np.testing.assert_array_equal(encode_stream(pixels), words)


@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 5), (16, 2, 3), (7, 5, 1), (33,), (17, 3, 16)])
def test_round_trip_and_size(shape: tuple[int, ...], density: float) -> None:
    rng = np.random.default_rng(len(shape))
    codes = rng.integers(-32768, 32768, shape) * (rng.random(shape) < density)
    words = encode(codes)
    assert words.dtype == np.uint16
    assert len(words) == compressed_words(shape, np.count_nonzero(codes))
    np.testing.assert_array_equal(decode(words, shape), codes)


def test_order_is_channel_column_row_and_no_group_crosses_a_row() -> None:
    codes = np.zeros((2, 2, 3), np.int16)  # six values per row: one group each
    codes[1, 0, 2] = 5  # the last value of the first row
    codes[0, 1, 0] = 6  # the first of the second row
    assert encode(codes).tolist() == [1 << 5, 5, 1 << 0, 6]
    # The whole map as one stream of 12 values.
    stream = codes.transpose(1, 2, 0).reshape(-1)
    assert encode_stream(stream).tolist() == [1 << 5 | 1 << 6, 5, 6]
    np.testing.assert_array_equal(decode_stream([1 << 5 | 1 << 6, 5, 6], 12), stream)


@pytest.mark.parametrize(("zeros", "ratio"), [(0.0625, 1.0), (0.5, 0.5625), (0.8, 0.2625)], ids=str)
def test_ratios_of_the_specification(zeros: float, ratio: float) -> None:
    shape = (16, 10, 10)
    live = round(1600 * (1 - zeros))
    assert compressed_words(shape, live) / 1600 == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param([], "ends after 0 words, in the middle of a map", id="empty"),
        pytest.param([3, 1], "ends after 2 words, in the middle of a map", id="a value is missing"),
        pytest.param([1 << 5, 1], "word 0 marks value 5 of a row of 4", id="behind the row"),
        pytest.param([1, 1, 9], "1 words are left over behind the last row", id="too long"),
    ],
)
def test_words_that_are_no_map(words: list[int], message: str) -> None:
    with pytest.raises(FileFormatError) as caught:
        decode(words, (4, 1, 1))
    assert str(caught.value) == message


def test_what_cannot_be_encoded() -> None:
    with pytest.raises(FieldError, match=r"codes is '0..40000', allowed: -32768..32767"):
        encode([0, 40000])
    with pytest.raises(FieldError, match="codes is 'fractions'"):
        encode([0.5])
    with pytest.raises(ShapeError, match=r"has shape \(2, 2\)"):
        encode([[1, 2], [3, 4]])
