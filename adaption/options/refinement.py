"""Refinement: what is done to weights and biases, beside choosing formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from adaption.options.base import Options, option
from adaption.options.checks import Switch

__all__ = ["BEST", "Refinement"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Refinement(Options):
    """What is done to weights and biases, on calibration data, so that rounding costs less.

    Raises: FieldError.
    """

    refine: bool = option(
        False,
        Switch(),
        "round weights one after the other such that their errors cancel in the layer's result, and"
        " make up for the errors of the layers before; implies --correct-bias (best with --rule"
        " error)",
    )
    equalize: bool = option(
        False,
        Switch(),
        "first scale channels, without changing what the float net computes, so that they fill"
        " the ranges of their tensors (cross-layer equalization)",
    )
    keep_zeros: bool = option(
        False,
        Switch(),
        "with --refine: weights that are 0, as in a pruned net, stay 0 (without it, rounding keeps"
        " them anyway)",
    )
    correct_bias: bool = option(
        False, Switch(), "make biases up for what rounding does to the mean of each channel"
    )
    on_trial: bool = option(
        False,
        Switch(),
        "use --equalize and --keep-zeros only if they bring the result closer to the float net's,"
        " on a quarter of the calibration samples that is held back for this; zeros are kept only"
        " if the squared error falls by a twentieth or more",
    )

    @property
    def walks(self) -> bool:
        """Whether layers are fitted one after the other."""
        return self.refine or self.correct_bias


BEST: Mapping[str, Any] = MappingProxyType(
    {
        "lpact": "after-relu",
        "unsigned": True,
        "rule": "error",
        "backward_weights": True,
        "mask_saturated": True,
        "refine": True,
        "equalize": True,
        "keep_zeros": True,
        "on_trial": True,
    }
)
"""The most accurate fixed-point net without training: fields of Formats and of Refinement, as
keywords of `quantize` (flag --best). It goes with INT8: quantize(..., **INT8, **BEST)."""
