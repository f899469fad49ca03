"""Which results meet in a Concat, and one format for all of them.

Most accelerators join values by moving codes, so all bottoms of a Concat need one format; where
they have several, some codes are shifted on the way.
"""

from __future__ import annotations

from collections.abc import Sequence

from adaption.graph import NetSpec
from adaption.layers.base import traits_of
from adaption.numerics import FixedPoint
from adaption.precision.sites import Site

__all__ = ["common_format", "joined_results"]


def joined_results(spec: NetSpec, sites: Sequence[Site]) -> dict[frozenset[str], str]:
    """Names of points whose rounded results meet, with the last Concat where they do.

    Results are followed through layers that keep their format: those that move or pick values,
    ReLU, max pooling. A result in two Concats joins the groups of both.
    """
    made_by = {site.result.name: site.point for site in sites if site.result is not None}
    held: dict[str, frozenset[str]] = {}  # blob -> the points whose results it holds
    groups: dict[frozenset[str], str] = {}
    for item in spec.layers:
        below = [held.get(blob, frozenset()) for blob in item.bottoms]
        found: frozenset[str] = frozenset()
        layer = traits_of(item, spec)
        if layer.joins:
            found = frozenset().union(*below)
            met = found
            for group in [g for g in groups if g & found]:
                met |= group
                del groups[group]
            groups[met] = item.name
        elif below and layer.keeps_codes():
            found = below[0]
        if item.name in made_by:
            found = frozenset({made_by[item.name]})
        held.update(dict.fromkeys(item.tops, found))
    return {group: name for group, name in groups.items() if len(group) > 1}


def common_format(formats: Sequence[FixedPoint]) -> FixedPoint:
    """The format with the widest range and the longest word among these, signed where one is."""
    is_signed = any(f.is_signed for f in formats)
    word_length = max(f.word_length for f in formats)
    integer_bits = max(f.word_length - f.is_signed - f.frac_length for f in formats)
    frac_length = word_length - is_signed - integer_bits
    return FixedPoint(word_length, frac_length, formats[0].rounding, is_signed)
