"""Which samples `assign` uses for what: training, gains, mismatches and accuracy never share any
but the first two."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from adaption.data.feed import FedLayer
from adaption.errors import AdaptionError, DataError
from adaption.graph import LayerSpec, NetSpec
from adaption.io.netfile import NetFile, read_net
from adaption.job.assign_nets import spec_of, with_part
from adaption.layers.base import traits_of
from adaption.net import Net
from adaption.proto import caffe_pb2
from adaption.solver.settings import SolverFile

__all__ = ["SHARE", "Split", "split", "training_batches"]

SHARE = 0.1  # of the training source that is held out

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Split:
    """The training net without the samples held out, and the net that reads those.

    net: the file, whose training data layer leaves them out where they are of its own source.
    held_out: the layers of phase TEST behind data that reads the samples held out.
    note: which those are, in words.
    """

    net: NetFile
    held_out: NetSpec
    note: str


def split(file: NetFile, solver: SolverFile, held_out: PathLike | None) -> Split:
    """Hold the last tenth of the training source out, or what a net's phase TEST reads.

    Raises: DataError when the training data is not one source in a fixed order.
    """
    if held_out is not None:
        other = spec_of(read_net(held_out), "TEST", solver)
        own = spec_of(file, "TEST", solver)
        note = f"the samples that phase TEST of {os.fspath(held_out)} reads"
        return Split(file, _fed(own, _only_source(other, "TEST")), note)
    train = spec_of(file, "TRAIN", solver)
    item = _only_source(train, "TRAIN")
    layer = traits_of(item, train)
    try:
        opened = layer.one_pass() if isinstance(layer, FedLayer) and layer.takes_part else None
        if opened is None:
            raise DataError(f"is a {item.type} layer, which has no last samples to hold out", _FIX)
    except AdaptionError as error:
        raise error.at(
            file=train.file, layer=item.name, layer_type=item.type, line=item.line
        ) from None
    size, skip = len(opened[0]), int(item.message.source_part.skip)
    count = max(1, round(SHARE * size))
    if size < 2:
        raise DataError(f"holds {size} samples, too few to hold some out", _FIX).at(
            file=opened[0].path
        )
    kept = with_part(file, train, item.name, skip, size - count)
    message = caffe_pb2.LayerParameter()
    message.CopyFrom(item.message)
    message.source_part.skip, message.source_part.limit = skip + size - count, count
    rest = replace(item, message=message)
    note = f"the last {count} of {size} samples of {opened[0].path}, which no run trains with"
    return Split(kept, _fed(spec_of(file, "TEST", solver), rest), note)


_FIX = "give --held-out NET, a net whose phase TEST reads other samples"


def _sources(spec: NetSpec) -> list[LayerSpec]:
    found = [item for item in spec if not item.bottoms and not item.is_input]
    return [item for item in found if traits_of(item, spec).is_source]


def _only_source(spec: NetSpec, phase: str) -> LayerSpec:
    sources = _sources(spec)
    if len(sources) != 1:
        raise DataError(f"has {len(sources)} data layers in phase {phase}, allowed: one", _FIX).at(
            file=spec.file
        )
    return sources[0]


def _fed(spec: NetSpec, source: LayerSpec) -> NetSpec:
    """The net with one data layer in place of its own ones."""
    own = _sources(spec)
    missing = [top for item in own for top in item.tops if top not in source.tops]
    if missing:
        raise DataError(
            f'data layer "{source.name}" makes {", ".join(source.tops)}; phase TEST also reads'
            f" {', '.join(missing)} from data",
            "give data layers of both phases the same tops",
        ).at(file=spec.file)
    return spec.with_layers((source, *(item for item in spec if item not in own)))


def training_batches(
    train: NetSpec, count: int, *, seed: int, device: str
) -> Iterator[dict[str, Tensor]]:
    """The first batches that a training run sees, as blobs by name, until `count` samples came."""
    sources = train.with_layers(tuple(_sources(train)))
    net = Net(sources, phase="TRAIN", seed=seed, device=device)
    seen = 0
    while seen < count:
        with torch.no_grad():
            net.forward()
        blobs = {name: net.blobs[name].tensor.clone() for item in sources for name in item.tops}
        have = len(next(iter(blobs.values())))
        yield {name: x[: count - seen] for name, x in blobs.items()}
        seen += have
