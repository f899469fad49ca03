"""Number formats, rounding, straight-through estimators and measures. Knows nothing of nets."""

from adaption.numerics.formats import FixedPoint, Format
from adaption.numerics.measures import saturated_share, sqnr_db, zero_share
from adaption.numerics.rounding import ROUNDINGS
from adaption.numerics.ste import quantize_, quantize_ste

__all__ = [
    "ROUNDINGS",
    "FixedPoint",
    "Format",
    "quantize_",
    "quantize_ste",
    "saturated_share",
    "sqnr_db",
    "zero_share",
]
