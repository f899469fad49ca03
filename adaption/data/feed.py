"""What the data layers share: endless samples, a batch at a time. Caffe: base_data_layer.cpp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adaption.data.ahead import WORKERS, ahead
from adaption.data.base import Array, Job, Sample
from adaption.data.transform import Transform
from adaption.errors import AdaptionError, DataError, FieldError
from adaption.layers.base import Runtime

__all__ = ["Feed", "check_batch_size", "check_source", "new_rng", "shard", "stack"]


class Feed:
    """Samples of an endless stream, read ahead in threads where they are compressed images."""

    def __init__(self, jobs: Iterator[Job], batch_size: int, *, is_decoded: bool) -> None:
        window = min(2 * batch_size, 64)
        self.batch_size = batch_size
        self._samples = ahead((job.load for job in jobs), WORKERS if is_decoded else 0, window)

    def take(self) -> list[Sample]:
        """The next batch. Raises: DataError when one of its samples cannot be read."""
        return list(islice(self._samples, self.batch_size))


def new_rng(runtime: Runtime) -> np.random.Generator:
    """A numpy generator seeded by one draw from the runtime's."""
    seed = torch.randint(0, 2**62, (), generator=runtime.generator, dtype=torch.int64)
    return np.random.default_rng(int(seed))


def shard(runtime: Runtime) -> tuple[int, int]:
    """(rank, count) of the processes that share the training data. Caffe: DataLayer::Skip."""
    distributed = torch.distributed
    if runtime.training and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def stack(samples: Sequence[Sample], transform: Transform, runtime: Runtime) -> list[Tensor]:
    """The tops data (N, C, H, W) and label (N,) of a batch; its first sample sets the shape.

    The runtime says which phase the transform is for.

    Raises: FieldError when the transform does not fit, DataError when the shapes differ.
    """
    transform = _for_phase(transform, runtime)
    rng = new_rng(runtime) if transform.is_random else None
    images: list[Array] = []
    for sample in samples:
        try:
            image = transform.apply(sample.image, rng)
        except AdaptionError as error:
            error.fact = f"sample {sample.name!r}: {error.fact}"
            raise
        if images and image.shape != images[0].shape:
            raise DataError(
                f"sample {sample.name!r} has shape {image.shape}, the first of its batch"
                f" {images[0].shape}",
                "resize the images to one size, or crop them with transform_param.crop_size",
            )
        images.append(image)
    labels = np.array([sample.label or 0 for sample in samples], np.float32)
    return [torch.from_numpy(a).to(runtime.device) for a in (np.stack(images), labels)]


def _for_phase(transform: Transform, runtime: Runtime) -> Transform:
    """The transform for the runtime's phase, kept because it holds the mean it has read."""
    phase = "TRAIN" if runtime.training else "TEST"
    kept = runtime.state.get("transform")
    if kept is None or kept.phase != phase:
        kept = runtime.state["transform"] = transform.with_phase(phase)
    made: Transform = kept
    return made


def check_source(field: str, source: str) -> None:
    """Raise FieldError when a layer names no source, DataError when it is not there."""
    if not source:
        raise FieldError(f"{field}.source", source, "the path of the data")
    if not Path(source).exists():
        raise DataError(
            "no such file or folder",
            f"correct {field}.source; it is relative to the working directory, {Path.cwd()}",
            file=source,
        )


def check_batch_size(field: str, batch_size: int) -> None:
    """Raise FieldError on a batch size of 0, which is what a missing one reads as."""
    if batch_size < 1:
        raise FieldError(f"{field}.batch_size", batch_size, "1 or more")
