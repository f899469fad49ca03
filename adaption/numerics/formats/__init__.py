"""Number formats: immutable values that know their own grid. One file per kind."""

from adaption.numerics.formats.base import Format, number_format, parse_format
from adaption.numerics.formats.dynamic import DynamicFixed
from adaption.numerics.formats.fixed import FixedPoint
from adaption.numerics.formats.wrpn import BinaryWeight, Wrpn

__all__ = [
    "BinaryWeight",
    "DynamicFixed",
    "FixedPoint",
    "Format",
    "Wrpn",
    "number_format",
    "parse_format",
]
