"""ExactOptions: what exact arithmetic is told beyond the net itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from adaption.errors import FieldError, UsageError
from adaption.numerics import FixedPoint
from adaption.numerics.accumulator import Accumulator

__all__ = ["ExactOptions"]

BIASES = ("odd", "product")


@dataclass(frozen=True)
class ExactOptions:
    """Settings of `build_program`.

    Args:
        input_formats: format by input blob, for inputs without an LPAct of their own.
        biases: how a bias off the grid of its sum is taken: "odd", without effect on any later
            rounding, at the price of one bit; "product", rounded half away from zero to the grid
            of the products, as an int32 bias is in hardware and in ONNX's QDQ form.
        rounding: of every quantization point, instead of the net's own; points that truncate
            (floor) keep that.
        word_length: bits that a weight layer may read; wider values are rounded to it first.
        accumulator: of every weight layer that states none; None: as wide as it needs to be.
    """

    input_formats: Mapping[str, FixedPoint] = field(default_factory=dict)
    biases: str = "odd"
    rounding: str | None = None
    word_length: int = 24
    accumulator: Accumulator | None = None

    def __post_init__(self) -> None:
        if self.biases not in BIASES:
            raise FieldError("biases", self.biases, ", ".join(BIASES))
        if self.rounding not in (None, "half_away", "half_even", "floor"):
            raise FieldError("rounding", self.rounding, "half_away, half_even, floor")
        if not 8 <= self.word_length <= 32:
            raise FieldError("word_length", self.word_length, "8..32")

    def at_point(self, fmt: FixedPoint) -> FixedPoint:
        """The format of a quantization point, with the rounding asked for.

        Raises: UsageError where that is random.
        """
        if self.rounding is not None and fmt.rounding != "floor":
            fmt = replace(fmt, rounding=self.rounding)
        if fmt.is_random:
            raise UsageError(
                f"{fmt} is rounded stochastic, which has no exact form",
                "use rounding_scheme: DETERMINISTIC (rounding: HALF_AWAY) at this point",
            )
        return fmt
