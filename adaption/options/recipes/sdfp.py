"""SdfpOptions: a net in shifted dynamic fixed point. Defaults are those of sdfp_param."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.options.base import option
from adaption.options.checks import OneOf, Switch, Whole
from adaption.options.formats import ROUNDINGS
from adaption.options.recipes.base import RecipeOptions, recipe_options

__all__ = ["SdfpOptions"]

_BIAS = Whole("-16..16", -16, 16)


@recipe_options("sdfp")
@dataclass(frozen=True, kw_only=True, repr=False)
class SdfpOptions(RecipeOptions):
    """Words and exponent biases of shifted dynamic fixed point.

    Raises: FieldError.
    """

    bits: int = option(8, Whole("2..16", 2, 16), "word length (default {default})", metavar="P")
    bias_weight: int = option(
        -1, _BIAS, "bias on the exponent of weights; 0: none (default {default})", metavar="S"
    )
    bias_activation: int = option(
        -1, _BIAS, "bias on the exponents of what layers read (default {default})", metavar="S"
    )
    bias_gradient: int = option(
        -1, _BIAS, "bias on the exponent of gradients (default {default})", metavar="S"
    )
    first_last: str = option(
        "float", OneOf(("float", "quantized")), "first and last weight layers (default {default})"
    )
    full_range: bool = option(False, Switch(), "use the most negative code, too")
    delayed: bool = option(False, Switch(), "while training, take exponents from the pass before")
    rounding_gradient: str = option(
        "half_even",
        OneOf(ROUNDINGS),
        "of gradients (default half-even); stochastic keeps their mean",
        words={name.replace("_", "-"): name for name in ROUNDINGS},
    )
    mask_saturated: bool = option(
        False, Switch(), "hand no gradient to values that were beyond the range"
    )

    def settings(self) -> dict[str, Any]:
        rest = self.values()
        return {"word_length": rest.pop("bits"), **rest}
