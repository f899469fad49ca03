"""RunOptions: how nets are built and run, and over which samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adaption.options.base import SPECIAL, Options, option
from adaption.options.checks import Names, OneOf, OrNone, Switch, Text, Whole

__all__ = ["NET", "PHASES", "RunOptions"]

PHASES = ("TRAIN", "TEST")
NET = ("state", "layers")
"""Topics of the fields that say which net is built; each is a keyword of Net, too."""


@dataclass(frozen=True, kw_only=True, repr=False)
class RunOptions(Options):
    """How nets are built and run, and over which samples. Each call says which fields it uses.

    Raises: FieldError.
    """

    skip: int = option(
        0, Whole("0 or more", least=0), "leave out the first N samples", topic=SPECIAL, metavar="N"
    )
    limit: int | None = option(
        None, OrNone(Whole("1 or more", least=1)), "use N samples at most", metavar="N"
    )
    batch_size: int | None = option(
        None,
        OrNone(Whole("1 or more", least=1)),
        "samples that run together (default: chosen by memory)",
        metavar="N",
    )
    seed: int = option(
        0,
        Whole("a whole number of 64 bits", least=-(2**63), greatest=2**64 - 1),
        "of random numbers (default {default})",
    )
    phase: str = option(
        "TEST",
        OneOf(PHASES),
        "phase of the net state (default {default})",
        topic=SPECIAL,
        is_caffe=True,
    )
    level: int = option(0, Whole(), "level of the net state", topic="state", is_caffe=True)
    stages: Sequence[str] = option(
        (),
        Names(),
        "stages of the net state",
        topic="state",
        flag="stage",
        metavar="A,B",
        is_caffe=True,
    )
    dialect: str | None = option(
        None,
        OrNone(Text()),
        "Caffe fork whose meaning counts where forks disagree about a layer type and its fields do"
        " not tell (segnet, pspnet, textboxes, ...)",
        topic="layers",
        metavar="NAME",
    )
    end: str | None = option(
        None,
        OrNone(Text()),
        "leave out the layers behind this one (unknown ones, ...)",
        topic="layers",
        metavar="LAYER",
    )
    python_modules: Sequence[str] = option(
        (),
        Names(),
        'run layers of type "Python" from this module, found on PYTHONPATH (may be given several'
        " times); otherwise they are refused, since a model file is data",
        topic="layers",
        flag="allow-python",
        metavar="MODULE",
        is_repeated=True,
    )
    ignore_unknown: bool = option(
        False,
        Switch(),
        "run in spite of fields in parameter messages (or the solver) that nobody knows; otherwise"
        " they are refused, since they may change the numbers",
        topic="layers",
    )
    score: str | None = option(
        None,
        OrNone(Text()),
        "blob of class scores whose accuracy is to speak for the net, where it has several"
        " classifiers (default: that of the greatest loss weight, of equal ones the last)",
        topic=SPECIAL,
        metavar="BLOB",
    )
    original_semantics: bool = option(
        False,
        Switch(),
        "reproduce the original ADaPTION where its behaviour is a defect",
        topic=SPECIAL,
    )
    device: str = option("cpu", Text(), 'where to compute: "cpu", "cuda:0"', topic=SPECIAL)

    def for_net(self, *uses: str) -> dict[str, Any]:
        """Keywords of Net: the fields of NET and of `uses`."""
        return self.values(*NET, *uses)
