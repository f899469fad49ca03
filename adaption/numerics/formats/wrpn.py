"""WRPN: k bits, uniform on [-1, 1] (weights) or [0, 1] (activations).

Source: Mishra, Nurvitadhi, Cook, Marr, "WRPN: Wide Reduced-Precision Networks" (ICLR 2018).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from adaption.errors import FieldError
from adaption.later import Tensor, torch
from adaption.numerics.formats.base import NumberFields, format_kind
from adaption.numerics.formats.fixed import FixedPoint

__all__ = ["BinaryWeight", "Unrounded", "Wrpn"]

MOST_BITS = 16  # beyond some 20, float32 quotients i / n are no fixed points of the rounding


@format_kind("WRPN")
@dataclass(frozen=True, slots=True)
class Wrpn(FixedPoint):
    """The grid i / n: weights (signed) -n..n with n = 2^(k-1) - 1, activations 0..n, n = 2^k - 1.

    w_q = round(n clip(w, -1, 1)) / n, x_q = round(n clip(x, 0, 1)) / n; ties to even. The gradient
    is 0 outside the clip, which replaces a ReLU at activations.
    """

    frac_length: int = 0
    rounding: str = "half_even"
    mask_saturated: bool = True

    hidden: ClassVar[tuple[str, ...]] = ("divisor", "frac_length", "range")
    stated: ClassVar[tuple[str, ...]] = ("word_length", "rounding", "is_signed")

    def __post_init__(self) -> None:
        least = 2 if self.is_signed else 1
        if not least <= self.word_length <= MOST_BITS:
            raise FieldError("word_length", self.word_length, f"{least}..{MOST_BITS} with WRPN")
        object.__setattr__(self, "divisor", self.max_code)
        super(Wrpn, self).__post_init__()

    @property
    def master_range(self) -> tuple[float, float]:
        """Of weights: beyond it they would get no gradient, and never come back."""
        return -1.0, 1.0

    @property
    def is_binary(self) -> bool:
        """Never, though n is 1 for weights of two bits: WRPN's sums are scaled in float32."""
        return False

    @classmethod
    def from_fields(cls, kind: str, values: Mapping[str, Any]) -> Any:
        rest = dict(values)
        if rest.get("word_length") == 1 and rest.get("is_signed", True):
            for name in ("word_length", "is_signed", "rounding"):
                rest.pop(name, None)
            return BinaryWeight.from_fields(kind, rest)
        if rest.pop("per_filter", False):
            raise FieldError("per_filter", True, "false, except for weights of one bit")
        return super(FixedPoint, cls).from_fields(kind, rest)  # frac_length is no field of WRPN

    @classmethod
    def from_text(cls, text: str) -> Any:
        found = re.fullmatch(r"([WA])(\d+)", text)
        if found is None:
            return None
        values = {"word_length": int(found[2]), "is_signed": found[1] == "W"}
        return cls.from_fields(cls.kind, values)

    @property
    def scale_text(self) -> str:
        return f"1/{self.divisor}"

    @property
    def unrounded(self) -> Unrounded:
        """The clip without the rounding: of a net in float, the activation function is left."""
        return Unrounded(self.min_value, self.max_value)

    def __str__(self) -> str:
        return f"{'W' if self.is_signed else 'A'}{self.word_length}"


@dataclass(frozen=True, slots=True)
class BinaryWeight(NumberFields):
    """WRPN weights of one bit: E sign(w), E = mean |w|, sign(0) = +1.

    Args:
        per_filter: one E per index of the first axis, instead of one per tensor.

    The gradient is the identity inside [-1, 1] and 0 outside; E counts as a constant in it.
    """

    per_filter: bool = False
    mask_saturated: bool = True

    kind: ClassVar[str] = "WRPN"
    word_length: ClassVar[int] = 1
    is_signed: ClassVar[bool] = True
    is_random: ClassVar[bool] = False
    follows_tensor: ClassVar[bool] = True

    @property
    def master_range(self) -> tuple[float, float]:
        return -1.0, 1.0

    @property
    def scale_text(self) -> str:
        return f"the mean magnitude of {'a filter' if self.per_filter else 'the layer'}"

    def at(self, x: Tensor) -> BinaryWeight:
        """Itself; `scale` reads the tensor."""
        return self

    def scale(self, x: Tensor) -> Tensor:
        """E, in a shape that multiplies codes of `x`."""
        magnitude = x.detach().abs()
        if not self.per_filter or x.dim() < 2:
            return magnitude.mean()
        return magnitude.mean(dim=tuple(range(1, x.dim())), keepdim=True)

    def inside(self, x: Tensor) -> Tensor:
        """Bool, where -1 <= x <= 1."""
        return (x >= -1) & (x <= 1)

    def codes(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """+1 or -1 for each value, in x's dtype."""
        return torch.where(x.detach() < 0, -1.0, 1.0).to(x.dtype)

    def quantize(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """E sign(x), no gradient."""
        return self.codes(x) * self.scale(x)

    def quantize_(
        self, x: Tensor, generator: torch.Generator | None = None, *, then_relu: bool = False
    ) -> Tensor:
        """As `quantize`, in x's own memory; returns `x`. With `then_relu`, ReLU of that."""
        memory = x.detach()
        memory.copy_(self.quantize(memory))
        if then_relu:
            memory.relu_()
        return x

    def to_fields(self) -> dict[str, Any]:
        """The NumberFormat fields that say this format."""
        values: dict[str, Any] = {"kind": self.kind, "word_length": 1, "is_signed": True}
        if self.per_filter:
            values["per_filter"] = True
        if not self.mask_saturated:
            values["mask_saturated"] = False
        return values

    def __str__(self) -> str:
        return "W1"


@dataclass(frozen=True, slots=True)
class Unrounded(NumberFields):
    """float32 values within low..high: what a WRPN format is but for its rounding."""

    low: float
    high: float

    word_length: ClassVar[int] = 32
    is_random: ClassVar[bool] = False
    follows_tensor: ClassVar[bool] = False
    mask_saturated: ClassVar[bool] = True

    def at(self, x: Tensor) -> Unrounded:
        """Itself: the bounds are constants."""
        return self

    def inside(self, x: Tensor) -> Tensor:
        """Bool, where low <= x <= high."""
        return (x >= self.low) & (x <= self.high)

    def quantize(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """`x`, clipped; no gradient."""
        return x.detach().clamp(self.low, self.high)

    def quantize_(
        self, x: Tensor, generator: torch.Generator | None = None, *, then_relu: bool = False
    ) -> Tensor:
        """As `quantize`, in x's own memory; returns `x`. With `then_relu`, ReLU of that."""
        memory = x.detach().clamp_(self.low, self.high)
        if then_relu:
            memory.relu_()
        return x

    def __str__(self) -> str:
        return f"clipped to [{self.low:g}, {self.high:g}]"
