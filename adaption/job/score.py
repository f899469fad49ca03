"""score: the accuracy of one net on data of any kind."""

from __future__ import annotations

import os
from collections.abc import Sequence

from adaption.data import Transform
from adaption.graph import NetState
from adaption.io.caffemodel import read_weights
from adaption.io.netfile import read_net
from adaption.job.feed import BatchSize, feed_from_data, feed_from_layers
from adaption.job.load import load_all
from adaption.job.part import Part
from adaption.net import Net
from adaption.precision.classifiers import find_classifiers
from adaption.precision.evaluate import run_net
from adaption.report import track

__all__ = ["score"]

PathLike = str | os.PathLike[str]


def score(
    net: PathLike,
    weights: PathLike,
    data: PathLike | None = None,
    *,
    transform: Transform | None = None,
    root: PathLike | None = None,
    batch_size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    level: int = 0,
    stages: Sequence[str] = (),
    score: str | None = None,
    quiet: bool = False,
) -> dict[str, float | None] | None:
    """Top-1 and Top-5 shares of a net on labelled data; None without labels or class scores.

    Args:
        net, weights: prototxt and caffemodel, float or low precision.
        data, transform, root, batch_size, limit, seed, level, stages, score, quiet: as of
            `quantize`.
    Raises: AdaptionError on bad input.
    """
    net_file, trained = read_net(net), read_weights(weights)
    spec = Part(NetState("TEST", level, tuple(stages))).of(net_file)
    size = BatchSize(batch_size, limit, seed)
    if data is None:
        feed = feed_from_layers(spec, transform, size)
    else:
        feed = feed_from_data(spec, data, transform, size, root=root, weights=trained)
    made = Net(feed.spec, seed=seed)
    load_all(made, trained)
    batches = track(feed, f"testing {os.fspath(weights)}", quiet=quiet, unit="batches")
    return run_net(made, batches, scores=find_classifiers(feed.spec, made, score)).accuracy()
