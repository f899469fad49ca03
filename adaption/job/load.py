"""What jobs over files begin with: the net, its weights, and what it is fed with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adaption.data import Transform
from adaption.errors import WeightsError
from adaption.io.caffemodel import Weights, read_weights
from adaption.io.netfile import NetFile, read_net
from adaption.job.feed import Feed, feed_from_data, feed_from_layers
from adaption.job.part import Part
from adaption.layers.unread import refuse_unknown
from adaption.net import Net
from adaption.net.finite import refuse_not_finite
from adaption.options import RunOptions
from adaption.precision.fold import fold_batch_norm
from adaption.precision.rewrite import low_precision_layers, rewrite

__all__ = ["Opened", "load_all", "open_float", "open_net"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Opened:
    """A net that holds its weights, and its feed."""

    file: NetFile
    weights: Weights
    feed: Feed
    net: Net
    part: Part
    notes: tuple[str, ...] = ()


def open_net(
    net: PathLike,
    weights: PathLike,
    data: Any,
    options: RunOptions,
    *,
    transform: Transform | None = None,
    root: PathLike | None = None,
) -> Opened:
    """Open a net, its weights and its data; without `data` the net's own data layer is read.

    Raises: AdaptionError on anything that does not fit together.
    """
    file, trained = read_net(net), read_weights(weights)
    return _opened(file, trained, data, options, transform, root)


def open_float(
    net: PathLike,
    weights: PathLike,
    data: Any,
    options: RunOptions,
    *,
    fold: bool,
    transform: Transform | None = None,
    root: PathLike | None = None,
) -> Opened:
    """The same of a net as formats are chosen for it: those it has are taken off.

    Args:
        fold: fold batch norm, scale and bias into the weight layer before them.
    """
    file, trained = read_net(net), read_weights(weights)
    notes = []
    if low_precision_layers(file):
        file = rewrite(file)
        notes.append("The net has formats already: they are taken off.")
    if fold:
        folding = fold_batch_norm(file, trained)
        file, trained = folding.net, folding.weights
    return _opened(file, trained, data, options, transform, root, notes)


def _opened(
    file: NetFile,
    trained: Weights,
    data: Any,
    options: RunOptions,
    transform: Transform | None,
    root: PathLike | None,
    notes: Sequence[str] = (),
) -> Opened:
    part = Part(options)
    spec = part.of(file)
    refuse_unknown(spec)
    if data is None:
        feed = feed_from_layers(spec, transform, options)
    else:
        feed = feed_from_data(spec, data, transform, options, root=root, weights=trained)
    made = Net(feed.spec, seed=options.seed)
    load_all(made, trained)
    return Opened(file, trained, feed, made, part, tuple(notes))


def load_all(net: Net, trained: Weights) -> None:
    """Load, and refuse weights that leave a layer of the net without values, or give it NaN."""
    report = net.load(trained)
    count = len(report.missing) + len(report.loaded)
    if report.missing:
        have = [layer.name for layer in trained.layers if layer.blobs]
        raise WeightsError(
            f"has no weights for {len(report.missing)} of {count} layers:"
            f" {', '.join(report.missing[:12])}; it has {', '.join(have[:12])}",
            "give the caffemodel that belongs to this prototxt",
        ).at(file=trained.file)
    refuse_not_finite(net)
