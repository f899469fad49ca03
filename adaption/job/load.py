"""What jobs over files begin with: the net, its weights, and what it is fed with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from adaption.data import Transform
from adaption.errors import WeightsError
from adaption.graph import NetSpec
from adaption.io.caffemodel import Weights, read_weights
from adaption.io.netfile import NetFile, read_net
from adaption.job.feed import Feed, fed_by, feed_from_data, feed_from_layers
from adaption.job.part import Part
from adaption.layers.unread import refuse_unknown
from adaption.net import Net
from adaption.net.finite import refuse_not_finite
from adaption.options import RunOptions
from adaption.precision.fold import Folding, fold_batch_norm
from adaption.precision.proposal import Proposal
from adaption.precision.rewrite import low_precision_layers, rewrite

__all__ = ["Opened", "Prepared", "open_net", "prepare_float"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Prepared:
    """A net that is read but not built, its weights and its feed.

    spec: the layers that are run; the feed has its own, in which data layers have become inputs.
    formatted: layers whose formats were taken off. folding: what was folded, where that was asked.
    """

    file: NetFile
    weights: Weights
    part: Part
    spec: NetSpec
    feed: Feed
    formatted: Sequence[str] = ()
    folding: Folding | None = None

    def build(self) -> Net:
        """The net, holding its weights. Raises: WeightsError."""
        options = self.part.options
        made = Net(self.feed.spec, seed=options.seed, device=options.device)
        _load_all(made, self.weights)
        return made

    def fed(self, rewritten: NetFile) -> NetSpec:
        """The same part of a net that was rewritten from this one, fed alike."""
        return fed_by(self.part.of(rewritten), self.feed)

    def low_spec(self, proposal: Proposal) -> NetSpec:
        """The low-precision net with these formats."""
        return self.fed(rewrite(self.file, proposal))

    @property
    def notes(self) -> list[str]:
        """What was done to the net, one sentence each."""
        said = ["The net has formats already: they are taken off."] if self.formatted else []
        return said + self.fold_notes

    @property
    def fold_notes(self) -> list[str]:
        """What was folded, and what was not and why, one sentence each."""
        if self.folding is None:
            return []
        taken = [f"{', '.join(names)} into {into}" for into, names in self.folding.folded.items()]
        return [f"Folded: {'; '.join(taken) or 'nothing'}.", *self.folding.notes]

    def settings(self) -> dict[str, Any]:
        """What a pass over the data depends on beside the files and which samples there are."""
        state = self.part.state
        return {
            "preprocessing": self.feed.preprocessing(),
            "state": [state.phase, state.level, list(state.stages)],
            "fold": self.folding is not None,
            "batch_size": self.feed.batches.batch_size,
            **self.part.options.changed("layers", "score"),
        }


@dataclass(frozen=True)
class Opened:
    """A net that holds its weights, and its feed."""

    file: NetFile
    weights: Weights
    feed: Feed
    net: Net
    part: Part


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
    made = _prepared(read_net(net), read_weights(weights), data, options, transform, root)
    return Opened(made.file, made.weights, made.feed, made.build(), made.part)


def prepare_float(
    net: PathLike,
    weights: PathLike,
    data: Any,
    options: RunOptions,
    *,
    fold: bool,
    transform: Transform | None = None,
    root: PathLike | None = None,
) -> Prepared:
    """Read a net as formats are chosen for it, those that it has taken off, and its data.

    Args:
        fold: fold batch norm, scale and bias into the weight layer before them.
    Raises: AdaptionError on anything that does not fit together.
    """
    file, trained = read_net(net), read_weights(weights)
    formatted = low_precision_layers(file)
    if formatted:
        file = rewrite(file)
    folding = fold_batch_norm(file, trained) if fold else None
    if folding is not None:
        file, trained = folding.net, folding.weights
    made = _prepared(file, trained, data, options, transform, root)
    return replace(made, formatted=formatted, folding=folding)


def _prepared(
    file: NetFile,
    trained: Weights,
    data: Any,
    options: RunOptions,
    transform: Transform | None,
    root: PathLike | None,
) -> Prepared:
    part = Part(options)
    spec = part.of(file)
    refuse_unknown(spec)
    if data is None:
        feed = feed_from_layers(spec, transform, options)
    else:
        feed = feed_from_data(spec, data, transform, options, root=root, weights=trained)
    return Prepared(file, trained, part, spec, feed)


def _load_all(net: Net, trained: Weights) -> None:
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
