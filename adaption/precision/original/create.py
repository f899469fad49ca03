"""From a descriptor to a prototxt in the original's names and layout. ADaPTION: net_descriptor.py.

Names are `{kind}_{counter}`; the counter advances behind layers with a top of their own. ReLU and
dropout work in-place and take the next number without advancing it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from adaption.errors import FieldError, FileFormatError, bad_choice
from adaption.numerics import FixedPoint
from adaption.precision.format_text import SCHEMES, fits_lpfp
from adaption.precision.original.descriptor import (
    DEFAULTS,
    Conv,
    Dropout,
    Fc,
    Pool,
    Size,
    Token,
    Word,
    parse_token,
)
from adaption.precision.original.header import header_name, header_text

__all__ = ["Created", "create"]

MODES = ("train", "deploy", "vis")
FILLERS = ("xavier", "gaussian")
GAUSSIAN_STD = {"convolution_param": "0.01", "inner_product_param": "0.005"}
BIAS = {"convolution_param": "0.0", "inner_product_param": "0.1"}


@dataclass(frozen=True)
class Created:
    """A prototxt, and the name of its file by the original's pattern."""

    text: str
    file_name: str


def create(
    name: str,
    descriptor: Sequence[str],
    weights: Sequence[FixedPoint] = (),
    activations: Sequence[FixedPoint] = (),
    *,
    mode: str = "train",
    lp: bool = True,
    scale: bool = True,
    filler: str = "xavier",
    round_bias: bool = False,
    header: str | None = None,
    header_folder: str | os.PathLike[str] | None = None,
    data: str = "data",
    original_semantics: bool = False,
) -> Created:
    """The prototxt of a descriptor.

    Args:
        weights, activations: one format each for all layers, or one per weight layer and per A.
        mode: "train" (fillers, decay), "deploy" (Accuracy also for the top 5), "vis" (as deploy).
        lp: low-precision layers; False: plain ones, and A says nothing.
        scale: of the header: pixels times 1/255.
        filler: "xavier" or "gaussian", for training.
        header: text of the data layers; None: from `header_folder`, else LMDBs of ImageNet.
        data: the blob that the first layer reads.
        original_semantics: with the original's defects: a gaussian filler loses the pad of
            low-precision convolutions, one global weight format also governs the activations,
            strides keep one digit, dropout other than D5 counts as a layer with a top of its own,
            layers before the first with a top of its own are lost, RoI scales by 0.625, and
            `lp=False` takes the A out of the caller's list.
    Raises: UsageError on another mode or filler; FieldError on a string that the grammar lacks, on
        formats that lpfp_param cannot say or that are too few.
    """
    if mode not in MODES:
        raise bad_choice("mode", mode, MODES)
    if filler not in FILLERS:
        raise bad_choice("filler", filler, FILLERS)
    writer = _Writer(mode, lp, filler, round_bias, original_semantics, data)
    writer.weights, writer.activations = list(weights), list(activations)
    if lp:
        writer.check_formats(descriptor)
    body = "".join(writer.layers(descriptor))
    if original_semantics and not lp and isinstance(descriptor, list):
        descriptor[:] = [text for text in descriptor if text != "A"]
    if header is None:
        header = _header(mode, scale, header_folder)
    stem = re.sub(r"[^\w.+-]", "_", name)
    file_name = f"{stem}_{mode}.prototxt"
    if lp:
        file_name = f"LP_{stem}_{weights[0].word_length}_bit_{mode}.prototxt"
    return Created(f'name: "{name}"\n{header}\n{body}', file_name)


def _header(mode: str, scale: bool, folder: str | os.PathLike[str] | None) -> str:
    if folder is None:
        return header_text(mode, scale)
    path = Path(folder) / header_name(mode, scale)
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise FileFormatError(
            f"cannot be read: {error.strerror}", "name the folder of the header files"
        ).at(file=path) from None


@dataclass
class _Writer:
    """Writes layer after layer; knows the blob that the next one reads and its number."""

    mode: str
    lp: bool
    filler: str
    round_bias: bool
    original: bool
    bottom: str
    counter: int = 1

    def __post_init__(self) -> None:
        self.weights: list[FixedPoint] = []
        self.activations: list[FixedPoint] = []

    def check_formats(self, descriptor: Sequence[str]) -> None:
        tokens = [parse_token(text) for text in descriptor]
        if self.original and len(self.weights) == 1:
            self.activations = self.weights  # np.size(bit_distribution_weights, 1) > 1 decides
        counts = {  # the first format of weights gives the file its name
            "weights": max(1, sum(isinstance(token, Conv | Fc) for token in tokens)),
            "activations": sum(token == Word("A") for token in tokens),
        }
        for kind, needed in counts.items():
            given: list[FixedPoint] = getattr(self, kind)
            if len(given) == 1:
                given = given * needed
                setattr(self, kind, given)
            if len(given) < needed:
                raise FieldError(
                    kind, f"{len(given)} formats", f"one for all, or one each of {needed}"
                )
            for fmt in given:
                if not fits_lpfp(fmt):
                    raise FieldError(
                        kind, str(fmt), "m 1..31 and f 0..30, what lpfp_param can say",
                        "create a float net, and rewrite it: that writes precision_param",
                    )  # fmt: skip

    def layers(self, descriptor: Sequence[str]) -> Iterator[str]:
        made: list[str] = []
        for text in descriptor:
            token = parse_token(text)
            if token == Word("A") and not self.lp:
                continue
            if self.original and self.counter < 2:
                made.clear()  # its scratch file is written anew until the counter advances
            made.append(self._layer(token))
        yield from made

    def _layer(self, token: Token) -> str:
        if isinstance(token, Conv):
            return self._weighted("conv", "Convolution", self._conv_lines(token), token.bias_term)
        if isinstance(token, Fc):
            lines = [f"    num_output: {token.num_output}\n"]
            if not token.bias_term:
                lines.append("    bias_term: false\n")
            return self._weighted("fc", "InnerProduct", lines, token.bias_term)
        if isinstance(token, Pool):
            return self._own_top("pool", "Pooling", _block("pooling_param", _pool_lines(token)))
        if isinstance(token, Dropout):
            ratio = _block("dropout_param", [f"    dropout_ratio: 0.{token.digits}\n"])
            text = self._in_place("drop", "Dropout", ratio)
            if self.original and token.digits != "5":
                self._advance("drop")
            return text
        return self._word(token)

    def _word(self, token: Word) -> str:
        name = token.name
        settings = {**DEFAULTS[name], **token.settings}
        if name == "A":
            lpfp = self._lpfp(self.activations.pop(0))
            return self._own_top("act_lp", "LPAct", lpfp)
        if name == "norm":
            return self._own_top("norm", "LRN", _block("lrn_param", _changed(token, 3)))
        if name == "bnorm":
            fixed = "  param {\n    lr_mult: 0\n  }\n" * 3
            own = _block("batch_norm_param", _changed(token, 0)) if token.settings else ""
            return self._own_top("bn", "BatchNorm", fixed + own)
        if name == "RoI":
            if self.original:
                settings["spatial_scale"] = "0.625"
            lines = [f"    {key}: {value}\n" for key, value in settings.items()]
            roi = _block("roi_pooling_param", lines)
            return self._own_top("roi", "ROIPooling", roi, '  bottom: "rois"\n')
        if name == "ReLU":
            slope = _block("relu_param", _changed(token, 0)) if token.settings else ""
            return self._in_place("relu", "ReLU", slope)
        if name == "scale":
            return self._in_place("scale", "Scale", "  scale_param {\n    bias_term: true\n  }\n")
        if name in ("TanH", "Sigmoid", "ELU"):
            return self._in_place(name.lower(), name, "")
        return self._end(name)

    def _end(self, name: str) -> str:
        if name == "Softmax":
            return _layer("prob", "Softmax", self.bottom, "prob", "")
        label = '  bottom: "label"\n'
        if name == "loss":
            return _layer("loss", "SoftmaxWithLoss", self.bottom, "loss", "", label)
        test = "  include {\n    phase: TEST\n  }\n"
        text = _layer("accuracy", "Accuracy", self.bottom, "accuracy", test, label)
        if self.mode != "train":
            top5 = f"{test}  accuracy_param {{\n    top_k: 5\n  }}\n"
            name = "accuracy_top5"
            text += _layer(name, "Accuracy", self.bottom, name, top5, label)
        return text

    def _weighted(self, kind: str, layer_type: str, lines: list[str], bias_term: bool) -> str:
        param = "convolution_param" if kind == "conv" else "inner_product_param"
        body = "".join(self._specs(bias_term))
        if self.lp:
            kind, layer_type = f"{kind}_lp", f"LP{layer_type}"
            body += self._lpfp(self.weights.pop(0))
        if self.mode == "train":
            lines = [*lines, *self._fillers(param, bias_term)]
        return self._own_top(kind, layer_type, body + _block(param, lines))

    def _specs(self, bias_term: bool) -> Iterator[str]:
        for lr, decay in ((1, 1), (2, 0))[: 1 + bias_term]:
            decay_line = f"    decay_mult: {decay}\n" if self.mode == "train" else ""
            yield f"  param {{\n    lr_mult: {lr}\n{decay_line}   }}\n"

    def _lpfp(self, fmt: FixedPoint) -> str:
        return (
            f"  lpfp_param {{\n    bd: {fmt.int_length}\n    ad: {fmt.frac_length}\n"
            f"    round_bias: {str(self.round_bias).lower()}\n"
            f"    rounding_scheme: {SCHEMES[fmt.rounding]}\n  }}\n"
        )

    def _fillers(self, param: str, bias_term: bool) -> Iterator[str]:
        close = "  }\n" if self.lp and param == "inner_product_param" else "   }\n"
        std = f"      std: {GAUSSIAN_STD[param]}\n" if self.filler == "gaussian" else ""
        yield f'    weight_filler {{\n      type: "{self.filler}"\n{std}{close}'
        if bias_term:
            yield f'    bias_filler {{\n      type: "constant"\n      value: {BIAS[param]}\n   }}\n'

    def _conv_lines(self, conv: Conv) -> list[str]:
        if self.original:
            stride = int(str(conv.stride[0])[0])
            conv = replace(conv, stride=(stride, stride))
        lines = [f"    num_output: {conv.num_output}\n", *_size_lines("stride", conv.stride)]
        lines += _size_lines("kernel", conv.kernel, "kernel_size")
        loses_pad = self.lp and self.mode == "train" and self.filler == "gaussian"
        if not (self.original and loses_pad):
            lines += _size_lines("pad", conv.pad)
        if conv.group != 1:
            lines.append(f"    group: {conv.group}\n")
        if conv.dilation != (1, 1):
            values = conv.dilation[:1] if conv.dilation[0] == conv.dilation[1] else conv.dilation
            lines += [f"    dilation: {value}\n" for value in values]
        if not conv.bias_term:
            lines.append("    bias_term: false\n")
        return lines

    def _own_top(self, kind: str, layer_type: str, body: str, more_bottoms: str = "") -> str:
        bottom = self.bottom
        self._advance(kind)
        return _layer(self.bottom, layer_type, bottom, self.bottom, body, more_bottoms)

    def _in_place(self, kind: str, layer_type: str, body: str) -> str:
        name = f"{kind}_{self.counter}"
        return _layer(name, layer_type, self.bottom, self.bottom, body)

    def _advance(self, kind: str) -> None:
        self.bottom = f"{kind}_{self.counter}"
        self.counter += 1


def _layer(
    name: str, layer_type: str, bottom: str, top: str, body: str, more_bottoms: str = ""
) -> str:
    return (
        f'layer {{\n  name: "{name}"\n  type: "{layer_type}"\n  bottom: "{bottom}"\n{more_bottoms}'
        f'  top: "{top}"\n{body}}}\n'
    )


def _block(name: str, lines: Sequence[str]) -> str:
    return f"  {name} {{\n{''.join(lines)}  }}\n"


def _changed(token: Word, always: int) -> list[str]:
    """Lines of a word's settings: the first ones always, the others where they differ."""
    values = {**DEFAULTS[token.name], **token.settings}
    return [
        f"    {key}: {value}\n"
        for i, (key, value) in enumerate(values.items())
        if i < always or key in token.settings
    ]


def _size_lines(name: str, size: Size, square: str = "") -> list[str]:
    if size[0] == size[1]:
        return [f"    {square or name}: {size[0]}\n"]
    return [f"    {name}_h: {size[0]}\n", f"    {name}_w: {size[1]}\n"]


def _pool_lines(pool: Pool) -> list[str]:
    lines = [f"    pool: {pool.method}\n"]
    if pool.kernel is None:
        return [*lines, "    global_pooling: true\n"]
    lines += _size_lines("kernel", pool.kernel, "kernel_size")
    lines += _size_lines("stride", pool.stride)
    return lines + (_size_lines("pad", pool.pad) if pool.pad != (0, 0) else [])
