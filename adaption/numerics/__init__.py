"""Number formats, rounding, straight-through estimators and measures. Knows nothing of nets."""

from typing import TYPE_CHECKING

from adaption.later import names_of
from adaption.numerics.formats import (
    BinaryWeight,
    DynamicFixed,
    FixedPoint,
    Format,
    Wrpn,
    number_format,
    parse_format,
)
from adaption.numerics.measures import saturated_share, sqnr_db, zero_share
from adaption.numerics.rounding import ROUNDINGS

if TYPE_CHECKING:
    from adaption.numerics.ste import quantize_, quantize_ste, quantize_ste_, view_ste

__all__ = [
    "ROUNDINGS",
    "BinaryWeight",
    "DynamicFixed",
    "FixedPoint",
    "Format",
    "Wrpn",
    "number_format",
    "parse_format",
    "quantize_",
    "quantize_ste",
    "quantize_ste_",
    "saturated_share",
    "sqnr_db",
    "view_ste",
    "zero_share",
]

if not TYPE_CHECKING:
    _STE = ("quantize_", "quantize_ste", "quantize_ste_", "view_ste")  # they need torch
    __getattr__ = names_of(__name__, dict.fromkeys(_STE, "adaption.numerics.ste"))
