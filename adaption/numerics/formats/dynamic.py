"""DYNAMIC_FIXED and SHIFTED_DYNAMIC_FIXED: one exponent per tensor, from its greatest magnitude.

Source: Sakai, Tamiya, "S-DFP: shifted dynamic fixed point for quantized deep neural network
training" (2021); without a bias, dynamic fixed point as in Das et al. (2018).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from adaption.errors import FieldError, NonFiniteError
from adaption.later import Tensor, torch
from adaption.numerics.formats.base import Format, NumberFields, check_common, format_kind
from adaption.numerics.formats.fixed import FixedPoint
from adaption.numerics.rounding import ROUNDINGS

__all__ = ["DynamicFixed"]

EXPONENTS = (-126, 127)  # of float32's normal numbers


@format_kind("DYNAMIC_FIXED", "SHIFTED_DYNAMIC_FIXED")
@dataclass(frozen=True, slots=True)
class DynamicFixed(NumberFields):
    """P-bit codes i, values i 2^e; e = floor(log2 max|x|) - (P - 2) + exponent_bias.

    Without a sign the codes have all P bits and e is one less. A bias below 0 makes the step finer
    and lets the greatest values saturate; above 0 the step grows. e stays in min_exponent ..
    max_exponent; a tensor of zeros has e = 0.

    Args:
        delayed: take e from the tensor that was rounded at this point before, as the net keeps it.
    """

    word_length: int
    exponent_bias: int = 0
    rounding: str = "half_even"
    is_signed: bool = True
    range: str = "symmetric"
    mask_saturated: bool = False
    min_exponent: int = EXPONENTS[0]
    max_exponent: int = EXPONENTS[1]
    delayed: bool = False

    follows_tensor: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 2 <= self.word_length <= 32:
            raise FieldError("word_length", self.word_length, "2..32 with a shared exponent")
        check_common(self.rounding, self.range)
        low, high = EXPONENTS
        for name in ("min_exponent", "max_exponent"):
            if not low <= getattr(self, name) <= high:
                raise FieldError(name, getattr(self, name), f"{low}..{high}")
        if self.min_exponent > self.max_exponent:
            raise FieldError("min_exponent", self.min_exponent, f"at most {self.max_exponent}")
        if abs(self.exponent_bias) > 64:
            raise FieldError("exponent_bias", self.exponent_bias, "-64..64")

    @classmethod
    def from_fields(cls, kind: str, values: Mapping[str, Any]) -> DynamicFixed:
        if kind == "DYNAMIC_FIXED" and values.get("exponent_bias"):
            raise FieldError(
                "exponent_bias",
                values["exponent_bias"],
                "0 with kind DYNAMIC_FIXED",
                "write kind: SHIFTED_DYNAMIC_FIXED",
            )
        return super(DynamicFixed, cls).from_fields(kind, values)

    @classmethod
    def from_text(cls, text: str) -> DynamicFixed | None:
        found = re.fullmatch(r"(u?)DFP(\d+)([+-]\d+)?", text)
        if found is None:
            return None
        return cls(int(found[2]), int(found[3] or 0), is_signed=not found[1])

    @property
    def kind_name(self) -> str:
        return "SHIFTED_DYNAMIC_FIXED" if self.exponent_bias else "DYNAMIC_FIXED"

    @property
    def is_random(self) -> bool:
        return self.rounding == "stochastic"

    # -- the exponent ------------------------------------------------------------------------

    def peak(self, x: Tensor) -> Tensor:
        """Greatest magnitude of `x`, a tensor without axes; NaN where a value is NaN."""
        if not x.numel():
            return x.new_zeros(())
        low, high = torch.aminmax(x.detach())
        return torch.maximum(-low, high)

    def exponent(self, peak: float) -> int:
        """e for this greatest magnitude. Raises: NonFiniteError when it is inf or NaN."""
        if not math.isfinite(peak):
            raise NonFiniteError(f"the greatest magnitude is {peak}")
        if peak == 0:
            return 0
        _, above = math.frexp(peak)  # peak < 2^above, exactly, subnormal or not
        e = above - 1 - self._magnitude_bits + self.exponent_bias
        return min(max(e, self.min_exponent), self.max_exponent)

    @property
    def _magnitude_bits(self) -> int:
        """Bits of the greatest code behind its leading one."""
        return self.word_length - 1 - self.is_signed

    def at(self, x: Tensor) -> Format:
        """The grid for this tensor. Raises: NonFiniteError."""
        return self.for_peak(self.peak(x))

    def for_peak(self, peak: Tensor) -> Format:
        """The grid for a greatest magnitude: FixedPoint, whose exponent the CPU reads; on another
        device a grid whose step stays there, so that nothing waits for it."""
        if peak.device.type != "cpu":
            return _DeviceGrid(self, peak)
        return FixedPoint(
            self.word_length,
            -self.exponent(float(peak)),
            self.rounding,
            self.is_signed,
            self.range,
            self.mask_saturated,
        )

    def inside(self, x: Tensor) -> Tensor:
        """Bool, where `x` is within the range that its own greatest magnitude gives."""
        return self.at(x).inside(x)

    def quantize(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """`x` on the grid that its own greatest magnitude gives."""
        return self.at(x).quantize(x, generator)

    def quantize_(
        self, x: Tensor, generator: torch.Generator | None = None, *, then_relu: bool = False
    ) -> Tensor:
        """As `quantize`, in x's own memory; returns `x`. With `then_relu`, ReLU of that."""
        return self.at(x).quantize_(x, generator, then_relu=then_relu)

    def __str__(self) -> str:
        bias = f"{self.exponent_bias:+d}" if self.exponent_bias else ""
        return f"{'' if self.is_signed else 'u'}DFP{self.word_length}{bias}"


@dataclass(frozen=True, eq=False)
class _DeviceGrid:
    """The grid of a DynamicFixed whose exponent is a tensor; a peak that is inf or NaN gives NaN
    everywhere, and whoever holds the peak finds that out later."""

    fmt: DynamicFixed
    peak: Tensor

    kind: ClassVar[str] = ""
    follows_tensor: ClassVar[bool] = False

    @property
    def word_length(self) -> int:
        return self.fmt.word_length

    @property
    def is_random(self) -> bool:
        return self.fmt.is_random

    @property
    def mask_saturated(self) -> bool:
        return self.fmt.mask_saturated

    @property
    def master_range(self) -> None:
        return None

    @property
    def _ends(self) -> tuple[int, int]:
        fixed = FixedPoint(self.word_length, 0, is_signed=self.fmt.is_signed, range=self.fmt.range)
        return fixed.min_code, fixed.max_code

    def step(self) -> Tensor:
        """2^e, built from its bits."""
        fmt = self.fmt
        _, above = torch.frexp(self.peak.float())
        e = above - 1 - fmt._magnitude_bits + fmt.exponent_bias
        e = e.clamp(fmt.min_exponent, fmt.max_exponent).where(self.peak != 0, 0)
        power = ((e.to(torch.int32) + 127) << 23).view(torch.float32)
        return power.where(torch.isfinite(self.peak), math.nan)

    def at(self, x: Tensor) -> _DeviceGrid:
        return self

    def inside(self, x: Tensor) -> Tensor:
        low, high = self._ends
        step = self.step().to(x.dtype)
        return (x >= low * step) & (x <= high * step)

    def quantize(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        step = self.step().to(x.dtype)
        scaled = (x.detach() / step).clamp_(*self._ends)
        return ROUNDINGS[self.fmt.rounding](scaled, generator).mul_(step)

    def quantize_(
        self, x: Tensor, generator: torch.Generator | None = None, *, then_relu: bool = False
    ) -> Tensor:
        memory = x.detach()
        memory.copy_(self.quantize(memory, generator))
        if then_relu:
            memory.relu_()
        return x

    def to_fields(self) -> dict[str, Any]:
        return self.fmt.to_fields()

    def to_dict(self) -> dict[str, Any]:
        return self.fmt.to_dict()
