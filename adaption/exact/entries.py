"""What a blob stands for while a program grows: codes, codes still to be computed, or floats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adaption.exact.program import Value
from adaption.exact.selection import Member
from adaption.layers.base import Shape

__all__ = ["Entry", "FloatValue", "Function", "Pending", "Real"]

Real = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FloatValue:
    """A float32 tensor. `reason` says why it is no code: empty for what comes from inputs, or from
    scaled sums. `differs` is the first layer on its way that other programs may compute with other
    last bits; empty where there is none.
    """

    name: str
    shape: Shape
    reason: str = ""
    differs: str = ""


@dataclass(frozen=True, eq=False)
class Pending:
    """`base` · scale + shift, not yet computed: affine layers that follow are folded into it."""

    layer: str
    base: Value
    scale: Real | None
    shift: Real


@dataclass(frozen=True, eq=False)
class Function:
    """The layer of `member`, a function of each value of `source`, not yet computed: it becomes a
    table together with the rounding of whatever reads it, or runs in float32."""

    member: Member
    source: Value | Function

    @property
    def shape(self) -> Shape:
        return self.source.shape

    @property
    def base(self) -> Value:
        """The codes that it starts from."""
        return self.source if isinstance(self.source, Value) else self.source.base


Entry = Value | Pending | Function | FloatValue
