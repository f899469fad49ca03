"""Budget: how much word lengths may cost, in accuracy, in memory or in computation."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.options.base import Options, option
from adaption.options.checks import Bytes, Number, OrNone, Whole

__all__ = ["Budget"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Budget(Options):
    """What word lengths of weights, chosen layer by layer, may cost.

    With `max_drop` the cheapest word lengths are wanted, without it the most accurate ones.

    Raises: FieldError.
    """

    max_drop: float | None = option(
        None,
        OrNone(Number("0 or more, in points", lambda points: 0 <= points <= 100)),
        "find the word length of each layer's weights: the fewest bits with which top-1 accuracy"
        " falls by at most so many points (0.5), on calibration samples that no format comes from;"
        " without labels, at most so many percent of the predictions change",
        metavar="POINTS",
    )
    max_size: int | None = option(
        None,
        OrNone(Bytes("a number of bytes, as in 40k or 1.5M")),
        "the same, such that all parameters, packed, take at most so many bytes (40k, 1.5M)",
        metavar="SIZE",
    )
    max_macbits: float | None = option(
        None,
        OrNone(Number("above 0", lambda count: 0 < count < float("inf"))),
        "the same, such that a sample takes at most so many MAC bits (3e8): MACs * (weight bits +"
        " activation bits)",
        metavar="N",
    )
    least_bits: int = option(
        2,
        Whole("2..24", least=2, greatest=24),
        "the fewest bits that a search gives to weights (default {default}); the most are those of"
        " --bits",
        metavar="N",
    )

    @property
    def is_set(self) -> bool:
        """Whether anything is limited, so that word lengths are to be searched."""
        return any(x is not None for x in (self.max_drop, self.max_size, self.max_macbits))

    @property
    def cost(self) -> str:
        """What is saved first: "macs" where only computation is limited, else "weights"."""
        return "macs" if self.max_macbits is not None and self.max_size is None else "weights"
