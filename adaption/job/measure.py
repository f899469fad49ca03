"""measure: the dynamic range of every tensor of a net over data, resumable, in constant memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from adaption.data import Transform
from adaption.data.given import is_path
from adaption.errors import DataError, UsageError
from adaption.io.kinds import is_there
from adaption.io.limits import Size, within_limit
from adaption.io.outputs import keep_inputs
from adaption.job.feed import Feed
from adaption.job.load import open_net
from adaption.net import Net
from adaption.options import COMMON, NET, RunOptions, takes_options
from adaption.precision.measure import Measurement, differences, measure_net, measure_weights
from adaption.report import track

__all__ = ["measure", "merge_measurements"]

PathLike = str | os.PathLike[str]


@takes_options(options=(COMMON, *NET, "skip", "device"))
@within_limit
def measure(
    net: PathLike | Net,
    weights: PathLike | Iterable[Any],
    data: Any = None,
    *,
    out: PathLike | None = None,
    resume: bool = False,
    save_every: float = 30.0,
    backward: bool = False,
    legacy_rule: bool = False,
    every_layer: bool = False,
    every_value: bool = False,
    transform: Transform | None = None,
    root: PathLike | None = None,
    options: RunOptions = RunOptions(),
    quiet: bool = False,
    memory_limit: Size | None = None,
    **choices: Any,
) -> Measurement:
    """Measure weights, biases, activations and, on request, gradients over data of any kind.

    Args:
        net, weights: prototxt and caffemodel of the float net. A Net that holds its weights may be
            given with batches in place of `weights`; see precision.measure.measure_net.
        data: folder, list file, LMDB, LevelDB, HDF5 or npz; None: the net's own data layer. Or what
            the caller holds: an array, arrays by blob name, batches of them; see data.source_of.
        out: file to save the measurement in, every `save_every` seconds and at the end.
        resume: go on where the measurement in `out` was stopped.
        backward: also measure the diffs of weights, biases and tops; the net needs a loss.
        legacy_rule: also count what the rule adaption-legacy looks at with a threshold.
        every_layer, every_value: run each layer on its own; count all values; see measure_net.
        transform: preprocessing; None takes the data layer's own, or none.
        root: folder that the files of a list are relative to.
        options: how the net is built and run; see RunOptions. With `skip` and `limit` several
            machines can share a data set and merge what they measured.
        quiet: show no progress.
        memory_limit: the most that one array, image or blob may take, as in "8G".
        choices: fields of RunOptions as keywords.
    Raises: AdaptionError on bad input; DataError when the measurement to resume is another's.
    """
    kinds = _Kinds(backward, legacy_rule, every_layer, every_value)
    if isinstance(net, Net):
        made = _go_on(net, weights, None, kinds, _Saving(out, save_every))  # type: ignore[arg-type]
        return made
    if resume and out is None:
        raise UsageError("resume needs the file to go on with", "name it with -o")
    mean = None if transform is None else transform.mean_file
    keep_inputs([out], [net, weights, data if is_path(data) else None, mean])  # type: ignore[list-item]
    begun = Measurement.load(out) if resume and out is not None and is_there(out) else None
    if begun is not None:
        options = replace(options, batch_size=begun.batch_size)
    opened = open_net(net, weights, data, options, transform=transform, root=root)  # type: ignore[arg-type]
    running, feed = opened.net, opened.feed
    wanted = _new(running, feed, options, kinds)
    if begun is None:
        begun = wanted
    else:
        _require_same(begun, wanted, out)
        if begun.is_complete:
            return begun
    done = begun.batches
    label = "measuring" if not done else f"measuring from batch {done} on"
    rest = track(islice(feed, done, None), label, len(feed) - done, quiet=quiet, unit="batches")
    made = _go_on(running, rest, begun, kinds, _Saving(out, save_every))
    made.notices = list(running.notices)
    return made


def merge_measurements(paths: Sequence[PathLike], out: PathLike | None = None) -> Measurement:
    """Several measurements of one net as one, saved in `out` if given.

    Raises:
        UsageError: without any.
        DataError: names the file whose net, weights or preprocessing differ from the first one's.
    """
    if not paths:
        raise UsageError("no measurements to merge", "name the files that `measure` wrote")
    made = Measurement.load(paths[0])
    for path in paths[1:]:
        try:
            made = made.merge(Measurement.load(path))
        except DataError as error:
            raise error.at(file=path) from None
    if out is not None:
        made.save(out)
    return made


@dataclass(frozen=True)
class _Kinds:
    """What is measured beside weights, biases and activations."""

    backward: bool
    legacy_rule: bool
    every_layer: bool
    every_value: bool


@dataclass
class _Saving:
    """Saves a measurement from time to time, between two batches."""

    path: PathLike | None
    seconds: float
    last: float = field(default_factory=time.monotonic)

    def __call__(self, made: Measurement) -> None:
        if self.path is not None and time.monotonic() - self.last >= self.seconds:
            made.save(self.path)
            self.last = time.monotonic()


def _new(net: Net, feed: Feed, options: RunOptions, kinds: _Kinds) -> Measurement:
    made = measure_weights(net, legacy_rule=kinds.legacy_rule)
    made.preprocessing = feed.preprocessing()
    described = feed.describe()
    made.data = {name: described[name] for name in ("source", "kind")}
    made.data |= options.values("skip", "limit", "seed")
    made.data |= {name: True for name, is_on in vars(kinds).items() if is_on}
    made.batch_size = feed.batches.batch_size
    made.is_complete = False
    return made


def _require_same(begun: Measurement, wanted: Measurement, path: PathLike | None) -> None:
    """Refuse to go on with a measurement of something else."""
    fix = "measure into another file, or without --resume to start anew"
    try:
        begun.merge(wanted)
    except DataError as error:
        raise DataError(f"cannot be resumed: {error.fact}", fix, file=path) from None
    differing = differences(begun.data, wanted.data)
    if differing:
        raise DataError(f"cannot be resumed: {'; '.join(differing)}", fix, file=path)


def _go_on(
    net: Net, batches: Iterable[Any], begun: Measurement | None, kinds: _Kinds, saving: _Saving
) -> Measurement:
    made = measure_net(
        net,
        batches,
        legacy_rule=kinds.legacy_rule,
        backward=kinds.backward,
        every_layer=kinds.every_layer,
        every_value=kinds.every_value,
        into=begun,
        after_batch=saving,
    )
    made.is_complete = True
    if saving.path is not None:
        made.save(saving.path)
    return made
