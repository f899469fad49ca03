"""WrpnFormats: what `rewrite --recipe wrpn` writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.errors import FieldError
from adaption.options.base import option
from adaption.options.checks import OneOf, OrNone, Switch
from adaption.options.recipes.base import RecipeOptions, recipe_options

__all__ = ["FLOAT_BITS", "WrpnFormats"]

FLOAT_BITS = 32
MOST_BITS = 16  # of a WRPN format


def _bits(name: str, value: Any) -> int:
    allowed = f"1..{MOST_BITS}, or {FLOAT_BITS} for float"
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal():
        raise FieldError(name, value, allowed)
    bits = int(text)
    if not 1 <= bits <= MOST_BITS and bits != FLOAT_BITS:
        raise FieldError(name, bits, allowed)
    return bits


@recipe_options("wrpn")
@dataclass(frozen=True, kw_only=True, repr=False)
class WrpnFormats(RecipeOptions):
    """Which formats WRPN gives a net, and what it writes beside them.

    Raises: FieldError.
    """

    weight_bits: int | None = option(
        None,
        OrNone(_bits),
        "bits of weights: 1 (a sign times the mean magnitude) to 16; 32 leaves them float",
        metavar="K",
    )
    activation_bits: int | None = option(
        None,
        OrNone(_bits),
        "bits of activations, 1 to 16: a clip to [0, 1] that is rounded replaces each ReLU; 32"
        " leaves the ReLUs",
        metavar="K",
    )
    first_last: str = option(
        "float",
        OneOf(("float", "quantized")),
        "first and last weight layer: float weights, and the last hidden activation is clipped, not"
        " rounded (float, the default), or as all others (quantized)",
    )
    first_activation: str = option(
        "quantized",
        OneOf(("float", "quantized")),
        "activation behind the first weight layer: rounded (quantized, the default), or clipped"
        " only (float)",
    )
    keep_fillers: bool = option(
        False,
        Switch(),
        "leave weight_filler of quantized layers as it is, instead of uniform in -1..1",
    )
    per_filter: bool = option(
        False, Switch(), "of weights of one bit: a mean magnitude per filter, instead of per layer"
    )
