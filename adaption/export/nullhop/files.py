"""NullHop network files: the convolutions of a chain as integer codes in text, and back.

One number per line: the number of layers; per layer nine settings, then `#KERNELS#` (out, in, row,
column), `#BIASES#`, and in the first layer `#PIXELS#` (channel, row, column). Numbers of 8
fractional bits are what the hardware's driver reads (kernels, biases and pixels times 256; sums
start at bias times 256). The file has no place for other formats: they go into a JSON beside it.
Source: caffe2nullhop.py of ADaPTION, its exporter; the driver's reader (specification section 8).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adaption.errors import FieldError, FileFormatError
from adaption.io.atomic import atomic_write, together
from adaption.io.entries import Entries
from adaption.io.files import read_json, read_text
from adaption.io.kinds import is_there

__all__ = ["FRAC_LENGTH", "NullHopLayer", "NullHopNetwork", "read_nullhop", "write_nullhop"]

Codes = npt.NDArray[np.int64]

FRAC_LENGTH = 8  # of everything, in exporter and driver
FORMAT = "adaption.nullhop/1"
_SETTINGS = (
    ("compression_enabled", "compression_enabled"),
    ("kernel_size", "kernel_size "),
    ("num_input_channels", "num input channels "),
    ("num_input_column", "num_input_column "),
    ("num_input_rows", "num_input_rows "),
    ("num_output_channels", "num_output_channels "),
    ("pooling_enabled", "pooling_enabled "),
    ("relu_enabled", "relu_enabled "),
    ("padding", "padding "),
)  # name here, and the comment behind the number, as the original writes it


@dataclass(frozen=True)
class NullHopFormats:
    """Fractional bits of a layer's numbers; what its result is rounded to."""

    name: str = ""
    weight: int = FRAC_LENGTH  # also of biases; sums have weight + input
    input: int = FRAC_LENGTH
    output: int = FRAC_LENGTH
    output_word_length: int = 16


_FORMATS = ("weight", "input", "output", "output_word_length")


@dataclass(frozen=True)
class NullHopLayer:
    """One convolution with what follows it on the chip: ReLU, then 2 x 2 max pooling."""

    compression_enabled: bool
    kernel_size: int
    num_input_channels: int
    num_input_column: int
    num_input_rows: int
    num_output_channels: int
    pooling_enabled: bool
    relu_enabled: bool
    padding: int
    kernels: Codes  # (out, in, row, column)
    biases: Codes
    formats: NullHopFormats = NullHopFormats()

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels, rows, columns of the result, by the driver's arithmetic."""
        divisor = 2 if self.pooling_enabled else 1
        grown = 2 * self.padding - self.kernel_size + 1
        rows, columns = self.num_input_rows + grown, self.num_input_column + grown
        return self.num_output_channels, rows // divisor, columns // divisor

    def run(self, x: Codes) -> Codes:
        """The codes of the result for codes of shape (channels, rows, columns).

        Sums are exact, start at the bias, and are rounded half away and saturated to the format of
        the result (range symmetric, as ADaPTION's LPAct), then ReLU and pooling.
        """
        k, p, formats = self.kernel_size, self.padding, self.formats
        padded = np.pad(x.astype(np.int64), ((0, 0), (p, p), (p, p)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
        sums = np.tensordot(self.kernels, windows, axes=((1, 2, 3), (0, 3, 4)))
        sums += (self.biases << formats.input)[:, None, None]
        codes = _requantized(sums, formats.weight + formats.input - formats.output)
        limit = (1 << (formats.output_word_length - 1)) - 1
        codes = codes.clip(-limit, limit)
        if self.relu_enabled:
            codes = np.maximum(codes, 0)
        if self.pooling_enabled:
            c, h, w = codes.shape
            even = codes[:, : h // 2 * 2, : w // 2 * 2]
            codes = even.reshape(c, h // 2, 2, w // 2, 2).max(axis=(2, 4))
        return codes


def _requantized(sums: Codes, shift: int) -> Codes:
    """sums * 2^-shift to the nearest integer, halves away from zero."""
    if shift <= 0:
        return sums << -shift
    half = 1 << (shift - 1)
    rounded: Codes = np.sign(sums) * ((np.abs(sums) + half) >> shift)
    return rounded


@dataclass(frozen=True)
class NullHopNetwork:
    """All layers, and the image that goes with them, shape (channels, rows, columns)."""

    layers: tuple[NullHopLayer, ...]
    pixels: Codes

    def run(self, pixels: Codes | None = None) -> Iterator[Codes]:
        """The codes of each layer's result."""
        x = self.pixels if pixels is None else pixels
        for layer in self.layers:
            x = layer.run(x)
            yield x


def write_nullhop(network: NullHopNetwork, path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write the network file, and beside it a JSON with the formats. Returns both paths."""
    beside = _sidecar(path)
    rows = [asdict(layer.formats) for layer in network.layers]
    with together():
        with atomic_write(path, "w") as out:
            out.writelines(_text(network))
        with atomic_write(beside, "w") as out:
            out.write(json.dumps({"format": FORMAT, "layers": rows}, indent=1) + "\n")
    return Path(path), beside


def _text(network: NullHopNetwork) -> Iterator[str]:
    yield f"{len(network.layers)} # num layers \n"
    for i, layer in enumerate(network.layers):
        for name, comment in _SETTINGS:
            yield f" {int(getattr(layer, name))} #{comment}\n"
        for marker, values in (("#KERNELS#", layer.kernels), ("#BIASES#", layer.biases)):
            yield _lines(marker, values)
        if i == 0:
            yield _lines("#PIXELS#", network.pixels)


def _lines(marker: str, values: Codes) -> str:
    return marker + "\n" + "\n".join(map(str, values.ravel().tolist())) + "\n"


def _sidecar(path: str | os.PathLike[str]) -> Path:
    return Path(f"{os.fspath(path)}.json")


def read_nullhop(path: str | os.PathLike[str]) -> NullHopNetwork:
    """Read a network file; formats from the JSON beside it, 8 fractional bits without one.

    Raises: FileFormatError when the file is missing, ends early, or is no network file.
    """
    try:
        words = _Words(read_text(path, "a NullHop network file"))
        layers, pixels = [], np.zeros((0, 0, 0), np.int64)
        for i in range(words.integer()):
            layer = _read_layer(words)
            layers.append(layer)
            if i == 0:
                shape = (layer.num_input_channels, layer.num_input_rows, layer.num_input_column)
                pixels = words.array("#PIXELS#", shape)
        words.end()
        return _with_formats(NullHopNetwork(tuple(layers), pixels), path)
    except FileFormatError as error:
        raise error.at(file=path) from None
    except FieldError as error:
        raise FileFormatError(f"is no NullHop network file: {error.fact}").at(file=path) from None


def _read_layer(words: _Words) -> NullHopLayer:
    values = [words.integer() for _ in _SETTINGS]
    compressed, k, inputs, columns, rows, outputs, pooling, relu, padding = values
    kernels = words.array("#KERNELS#", (outputs, inputs, k, k))
    biases = words.array("#BIASES#", (outputs,))
    return NullHopLayer(
        bool(compressed), k, inputs, columns, rows, outputs, bool(pooling), bool(relu), padding,
        kernels, biases,
    )  # fmt: skip


def _with_formats(network: NullHopNetwork, path: str | os.PathLike[str]) -> NullHopNetwork:
    beside = _sidecar(path)
    if not is_there(beside):
        return network
    try:
        rows = list(Entries(read_json(beside, "formats")).rows("layers"))
        formats = [
            NullHopFormats(row.text("name"), **{n: row.whole(n, -126, 126) for n in _FORMATS})
            for row in rows
        ]
    except KeyError as error:
        raise FileFormatError(f"is no list of formats: it lacks {error}").at(file=beside) from None
    except FieldError as error:
        raise error.at(file=beside) from None
    if len(formats) != len(network.layers):
        raise FileFormatError("does not go with the network file: other layers").at(file=beside)
    layers = [replace(a, formats=b) for a, b in zip(network.layers, formats, strict=True)]
    return replace(network, layers=tuple(layers))


class _Words:
    """The numbers and markers of a network file, comments left out."""

    def __init__(self, text: str) -> None:
        lines = (line.strip() for line in text.splitlines())
        kept = (line if line.startswith("#") else line.partition("#")[0] for line in lines)
        self._words = " ".join(kept).split()
        self._place = 0

    def _next(self) -> str:
        if self._place >= len(self._words):
            raise FileFormatError("ends early", "export it again")
        self._place += 1
        return self._words[self._place - 1]

    def integer(self) -> int:
        word = self._next()
        if not re.fullmatch(r"-?\d{1,18}", word, re.ASCII):
            raise FieldError(f"word {self._place}", word, "an integer")
        return int(word)

    def array(self, marker: str, shape: tuple[int, ...]) -> Codes:
        if (found := self._next()) != marker:
            raise FileFormatError(f"has {found!r} where {marker} is to stand")
        count, left = prod(shape), len(self._words) - self._place
        if min(shape, default=0) < 0 or left < count:
            raise FileFormatError(f"ends early, {marker} has {left} of {count} values")
        return np.array([self.integer() for _ in range(count)], np.int64).reshape(shape)

    def end(self) -> None:
        if self._place != len(self._words):
            left = len(self._words) - self._place
            raise FileFormatError(f"goes on for {left} words behind the last layer")
