"""score: the accuracy of one net on data of any kind."""

from __future__ import annotations

import os
from typing import Any

from adaption.data import Transform
from adaption.job.load import open_net
from adaption.options import COMMON, NET, RunOptions, takes_options
from adaption.precision.classifiers import find_classifiers
from adaption.precision.evaluate import run_net
from adaption.report import track

__all__ = ["score"]

PathLike = str | os.PathLike[str]


@takes_options(options=(COMMON, *NET, "score"))
def score(
    net: PathLike,
    weights: PathLike,
    data: Any = None,
    *,
    transform: Transform | None = None,
    root: PathLike | None = None,
    options: RunOptions = RunOptions(),
    quiet: bool = False,
    **choices: Any,
) -> dict[str, float | None] | None:
    """Top-1 and Top-5 shares of a net on labelled data; None without labels or class scores.

    Args:
        net, weights: prototxt and caffemodel, float or low precision.
        data, transform, root, options, quiet, choices: as of `measure`.
    Raises: AdaptionError on bad input.
    """
    opened = open_net(net, weights, data, options, transform=transform, root=root)
    batches = track(opened.feed, f"testing {os.fspath(weights)}", quiet=quiet, unit="batches")
    scores = find_classifiers(opened.feed.spec, opened.net, options.score)
    return run_net(opened.net, batches, scores=scores).accuracy()
