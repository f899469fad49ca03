"""Net descriptors: a chain of layers as a list of short strings. ADaPTION: net_descriptor.py.

    64C3S1p1    convolution: num_output C kernel S stride, p pad (0 when not written)
    4096F       inner product: num_output F
    2P2         max pooling: kernel P stride
    D5          dropout: the digits behind "0.", so D5 is 0.5 and D25 is 0.25
    A           the place where a result is rounded (LPAct)
    ReLU norm bnorm RoI Accuracy loss

What the original's grammar could not say has additions that leave its own strings as they are:

    96C11x7S4p0g2d2n   sizes as HEIGHTxWIDTH; g group, d dilation, n no bias
    10Fn               no bias
    3P2p1a  GPa        p pad; a average, s stochastic pooling; GP pools over the whole map
    norm(alpha=5e-05)  settings that differ: norm(local_size, alpha, beta, k, norm_region),
                       ReLU(negative_slope), bnorm(eps), RoI(pooled_h, pooled_w, spatial_scale)
    scale TanH Sigmoid ELU Softmax
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from adaption.errors import FieldError

__all__ = ["DEFAULTS", "Conv", "Dropout", "Fc", "Pool", "Size", "Token", "Word", "parse_token"]

Size = tuple[int, int]  # height, width

_SIZE = r"\d+(?:x\d+)?"
_CONV = re.compile(rf"(\d+)C({_SIZE})S({_SIZE})(?:p({_SIZE}))?(?:g(\d+))?(?:d({_SIZE}))?(n?)")
_FC = re.compile(r"(\d+)F(n?)")
_POOL = re.compile(rf"(?:({_SIZE})P({_SIZE})(?:p({_SIZE}))?|GP)([as]?)")
_DROPOUT = re.compile(r"D(\d+)")
_WORD = re.compile(r"(\w+)(?:\(([^()]*)\))?")
_METHODS = {"": "MAX", "a": "AVE", "s": "STOCHASTIC"}

DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "A": {},
    "ReLU": {"negative_slope": "0"},
    "norm": {
        "local_size": "5",
        "alpha": "0.0001",
        "beta": "0.75",
        "k": "1",
        "norm_region": "ACROSS_CHANNELS",
    },
    "bnorm": {"eps": "1e-05"},
    # The original writes 0.625, ten times the 1/16 that VGG16's four poolings ask for.
    "RoI": {"pooled_w": "7", "pooled_h": "7", "spatial_scale": "0.0625"},
    "scale": {},
    "TanH": {},
    "Sigmoid": {},
    "ELU": {},
    "Softmax": {},
    "Accuracy": {},
    "loss": {},
}
"""Words of the grammar, and what their settings are when not written."""


@dataclass(frozen=True)
class Conv:
    num_output: int
    kernel: Size
    stride: Size = (1, 1)
    pad: Size = (0, 0)
    group: int = 1
    dilation: Size = (1, 1)
    bias_term: bool = True

    def __str__(self) -> str:
        text = f"{self.num_output}C{_size(self.kernel)}S{_size(self.stride)}p{_size(self.pad)}"
        text += f"g{self.group}" if self.group != 1 else ""
        text += f"d{_size(self.dilation)}" if self.dilation != (1, 1) else ""
        return text + ("" if self.bias_term else "n")


@dataclass(frozen=True)
class Fc:
    num_output: int
    bias_term: bool = True

    def __str__(self) -> str:
        return f"{self.num_output}F" + ("" if self.bias_term else "n")


@dataclass(frozen=True)
class Pool:
    kernel: Size | None  # None: the whole map
    stride: Size = (1, 1)
    pad: Size = (0, 0)
    method: str = "MAX"  # "MAX", "AVE", "STOCHASTIC"

    def __str__(self) -> str:
        suffix = next(letter for letter, name in _METHODS.items() if name == self.method)
        if self.kernel is None:
            return f"GP{suffix}"
        pad = f"p{_size(self.pad)}" if self.pad != (0, 0) else ""
        return f"{_size(self.kernel)}P{_size(self.stride)}{pad}{suffix}"


@dataclass(frozen=True)
class Dropout:
    digits: str  # of the ratio, behind "0."

    @property
    def ratio(self) -> float:
        return float(f"0.{self.digits}")

    @classmethod
    def of(cls, ratio: float) -> Dropout:
        """Raises: FieldError outside of 0..1."""
        if not 0 <= ratio < 1:
            raise FieldError("dropout_ratio", ratio, "0 or more, below 1")
        return cls(f"{ratio:.6f}".rstrip("0")[2:] or "0")

    def __str__(self) -> str:
        return f"D{self.digits}"


@dataclass(frozen=True)
class Word:
    """A layer without numbers, or with settings that differ from the word's defaults."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        inner = ",".join(f"{key}={value}" for key, value in self.settings.items())
        return f"{self.name}({inner})" if inner else self.name


Token = Conv | Fc | Pool | Dropout | Word


def parse_token(text: str) -> Token:
    """One string of a descriptor. Raises: FieldError when the grammar has no such string."""
    if found := _CONV.fullmatch(text):
        outputs, kernel, stride, pad, group, dilation, no_bias = found.groups()
        return Conv(
            int(outputs),
            _parsed(kernel),
            _parsed(stride),
            _parsed(pad or "0"),
            int(group or 1),
            _parsed(dilation or "1"),
            not no_bias,
        )
    if found := _FC.fullmatch(text):
        return Fc(int(found[1]), not found[2])
    if found := _POOL.fullmatch(text):
        kernel, stride, pad, method = found.groups()
        if kernel is None:
            return Pool(None, method=_METHODS[method])
        return Pool(_parsed(kernel), _parsed(stride), _parsed(pad or "0"), _METHODS[method])
    if found := _DROPOUT.fullmatch(text):
        return Dropout(found[1])
    found = _WORD.fullmatch(text)
    if found and found[1] in DEFAULTS:
        return Word(found[1], _settings(text, found[1], found[2] or ""))
    raise FieldError(
        "net descriptor",
        text,
        f"64C3S1p1, 4096F, 2P2, D5, {', '.join(DEFAULTS)}",
        "docs/reference/descriptors.md has the whole grammar",
    )


def _settings(text: str, word: str, inner: str) -> dict[str, str]:
    made = {}
    for part in inner.split(",") if inner else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in DEFAULTS[word] or not re.fullmatch(r"[\w.+-]+", value):
            allowed = ", ".join(f"{name}=..." for name in DEFAULTS[word]) or "no settings"
            raise FieldError("net descriptor", text, f"{word} with {allowed}")
        made[key] = value
    return made


def _parsed(text: str) -> Size:
    height, _, width = text.partition("x")
    return int(height), int(width or height)


def _size(size: Size) -> str:
    return f"{size[0]}" if size[0] == size[1] else f"{size[0]}x{size[1]}"
