"""Tuning: fine-tuning of a fixed-point net by the float net's scores."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.options.base import Options, option
from adaption.options.checks import Switch, Whole

__all__ = ["Tuning"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Tuning(Options):
    """Whether and how a fixed-point net is fine-tuned to the float net's class scores.

    Raises: FieldError.
    """

    tune: int = option(
        0,
        Whole("0 or more", least=0),
        "at the end, fine-tune the fixed-point net to the float net's class scores, in so many"
        " passes over the calibration data, as in --tune 10. This reads no labels and changes no"
        " formats. Every eighth sample is held back from refining and tuning; the tuned net is used"
        " only if its scores on these are closer to the float net's. With --crop, images are"
        " cropped at random places",
        metavar="PASSES",
    )
    tune_mirror: bool = option(
        False, Switch(), "with --tune: mirror half of the samples left to right, at random"
    )
