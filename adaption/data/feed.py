"""What the data layers share: batches that follow from a seed and a position, made ahead.

Caffe: base_data_layer.cpp. Random numbers, shuffles too, are a function of one seed, drawn when a
layer is first run, and of the number of the sample. So reading ahead, the number of threads and of
processes change nothing, and a layer can go on from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from adaption.data.ahead import WORKERS
from adaption.data.base import Array, Job, Source
from adaption.data.part import PartOfSource, kept_samples
from adaption.data.transform import DRAWS, Transform
from adaption.errors import AdaptionError, DataError, FieldError
from adaption.io.kinds import is_there, near_file
from adaption.later import Tensor, np, torch
from adaption.layers.base import Layer, Progress, Runtime

__all__ = [
    "FedLayer",
    "Feed",
    "Order",
    "Samples",
    "check_batch_size",
    "check_source",
    "job_batches",
    "load_and_stack",
    "shuffled",
    "skipped",
    "stack",
    "uniform",
    "whole_number",
]

Tops = list[Array]

# Values of a batch, 1 MiB of float32. scripts/bench/data.py: making one takes a millisecond or
# more, handing it over between threads a quarter of one.
_WORTHWHILE = 1 << 18

_SKIP, _SHUFFLE = range(2)  # keep random numbers of different use apart


class Samples(NamedTuple):
    """The samples of a batch."""

    images: Array | Sequence[Array]  # (N, C, H, W), or each (C, H, W)
    labels: Array  # (N,), float32
    names: Sequence[str]  # for messages


@dataclass(frozen=True)
class Order:
    """Which samples a process takes: the numbers `start`, `start` + `step`, ...

    Numbers count the samples of all processes that share the data, from 0 without end.
    """

    seed: int
    start: int
    step: int = 1

    def batches(self, size: int) -> Iterator[Array]:
        """The numbers of the samples of each batch."""
        first = self.start
        while True:
            yield first + self.step * np.arange(size)
            first += self.step * size


class Feed:
    """The batches of a data layer.

    Args:
        batches: for an order, the calls that make its batches, each in any thread.
        seed: of the order.
        share: (rank, count) of the processes that share the data; see `shard`.
        samples: how many samples all of them have taken already.
        depth, workers: batches made ahead, and threads that make them; 0 workers make none.
    """

    def __init__(
        self,
        batches: Callable[[Order], Iterator[Callable[[], Tops]]],
        batch_size: int,
        seed: int,
        share: tuple[int, int] = (0, 1),
        *,
        samples: int = 0,
        depth: int = 4,
        workers: int = 0,
    ) -> None:
        self.seed = seed
        self.samples = samples
        self._batches = batches
        self._batch_size = batch_size
        self._share = share
        self._depth = depth
        self._workers = workers
        self._next: Callable[[], Tops] | None = None

    def take(self) -> Tops:
        """The next batch. Raises: DataError when one of its samples cannot be read."""
        if self._next is None:
            self._next = self._begin()
        try:
            made = self._next()
        except BaseException:
            self._next = None  # whoever asks again gets this batch, or its error, again
            raise
        self.samples += self._batch_size * self._share[1]
        return made

    def _begin(self) -> Callable[[], Tops]:
        rank, count = self._share
        calls = self._batches(Order(self.seed, self.samples + rank, count))
        if self._workers and self._depth:
            from adaption.data.prefetch import Prefetch

            return Prefetch(calls, self._depth, self._workers).take
        return lambda: next(calls)()


class FedLayer(Layer):
    """Base of the layers whose batches come from a Feed."""

    batch_size: int
    prefetch: int = 4  # batches made ahead; Caffe: data_param.prefetch, and what others have

    def is_random(self, runtime: Runtime) -> bool:
        """Whether the batches depend on a seed."""
        raise NotImplementedError

    def batches(self, runtime: Runtime, order: Order) -> Iterator[Callable[[], Tops]]:
        """The calls that make the batches of `order`; they must not refer to the runtime."""
        raise NotImplementedError

    def epoch_size(self) -> int | None:
        """Samples of one pass over the data; None where there is no such thing."""
        raise NotImplementedError

    def one_pass(self) -> tuple[Source, Transform | None] | None:
        """The data from its start to its end, and its preprocessing in TEST.

        Returns: None where the layer has no source that is read so.
        Raises: DataError when it cannot be opened.
        """
        return None

    def kept(self, source: Source) -> Source:
        """What `source_part` leaves of the layer's source. Raises: FieldError."""
        if not self.spec.message.HasField("source_part"):
            return source
        return PartOfSource(source, kept_samples(self.spec.message, len(source)))

    @property
    def is_decoded(self) -> bool:
        """Whether the samples are compressed images."""
        return True

    def workers(self) -> int:
        """Threads that make batches ahead; none where handing a batch over costs as much."""
        if self.is_decoded:
            return WORKERS
        return int(prod(self.top_shapes()[0]) >= _WORTHWHILE)

    def run(self, runtime: Runtime, *tensors: Tensor) -> list[Tensor]:
        if "feed" not in runtime.state:
            share = shard(runtime)
            seed = _common_seed(runtime, share) if self.is_random(runtime) else 0
            runtime.state["feed"] = self._feed(runtime, seed, share, 0)
        feed: Feed = runtime.state["feed"]
        tops = feed.take()[: len(self.spec.tops)]
        return [torch.from_numpy(a).to(runtime.device) for a in tops]

    def _feed(self, runtime: Runtime, seed: int, share: tuple[int, int], samples: int) -> Feed:
        lent = Runtime(
            training=runtime.training, original_semantics=runtime.original_semantics
        )  # the feed is kept in the runtime's state, and a circle would keep its threads alive
        return Feed(
            partial(self.batches, lent),
            self.batch_size,
            seed,
            share,
            samples=samples,
            depth=self.prefetch,
            workers=self.workers(),
        )

    def save_state(self, runtime: Runtime) -> dict[str, Any]:
        feed: Feed | None = runtime.state.get("feed")
        return {} if feed is None else {"seed": feed.seed, "samples": feed.samples}

    def load_state(self, runtime: Runtime, state: Mapping[str, Any]) -> None:
        runtime.state.pop("feed", None)
        if not state:
            return
        seed, samples = whole_number(state, "seed"), whole_number(state, "samples")
        runtime.state["feed"] = self._feed(runtime, seed, shard(runtime), samples)

    def progress(self, runtime: Runtime) -> Progress | None:
        size = self.epoch_size()
        feed: Feed | None = runtime.state.get("feed")
        return None if size is None else Progress(feed.samples if feed else 0, size)


def whole_number(state: Mapping[str, Any], name: str) -> int:
    """A number of a saved state. Raises: FieldError when it is none, or below 0."""
    value = state.get(name)
    if type(value) is not int or value < 0:
        raise FieldError(f"{name} of the saved state", value, "a whole number from 0 on")
    return value


def shard(runtime: Runtime) -> tuple[int, int]:
    """(rank, count) of the processes that share the training data. Caffe: DataLayer::Skip."""
    distributed = torch.distributed
    if runtime.training and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _common_seed(runtime: Runtime, share: tuple[int, int]) -> int:
    """A seed drawn from the runtime's generator; where processes share the data, the first's.

    Each takes its part of one shuffled order, so they have to agree on it.
    """
    seed = torch.randint(0, 2**62, (1,), generator=runtime.draws_on_host, dtype=torch.int64)
    if share[1] > 1:
        if torch.distributed.get_backend() == "nccl":
            seed = seed.to(runtime.device)
        torch.distributed.broadcast(seed, src=0)
    return int(seed)


def skipped(seed: int, rand_skip: int) -> int:
    """How many samples `rand_skip` leaves out at the start."""
    return int(np.random.default_rng((seed, _SKIP)).integers(rand_skip)) if rand_skip else 0


def shuffled(size: int, seed: int, *path: int) -> Array:
    """A random order of `size` things, a function of the seed and of where it is used."""
    return np.random.default_rng((seed, _SHUFFLE, *path)).permutation(size)


def uniform(seed: int, numbers: Array, count: int) -> Array:
    """`count` random numbers in [0, 1) for each sample, a function of the seed and its number.

    Returns: float64 (len(numbers), count).
    Source: SplitMix64; Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014.
    """
    places = numbers[:, None] * count + np.arange(1, count + 1)
    z: Array = np.uint64(seed) + places.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = (z ^ (z >> np.uint64(31))) >> np.uint64(11)
    return z.astype(np.float64) * 2.0**-53


def job_batches(
    jobs: Iterator[Job], order: Order, batch_size: int, transform: Transform
) -> Iterator[Callable[[], Tops]]:
    """The batches of jobs that come in the order's order."""
    for numbers in order.batches(batch_size):
        chosen = list(islice(jobs, batch_size))
        yield partial(load_and_stack, chosen, transform, order.seed, numbers)


def load_and_stack(jobs: Sequence[Job], transform: Transform, seed: int, numbers: Array) -> Tops:
    """Read samples one after the other; see `stack`.

    Raises: DataError at the first that cannot be read.
    """
    samples = [job.load() for job in jobs]
    labels = np.array([sample.label or 0 for sample in samples], np.float32)
    read = Samples([s.image for s in samples], labels, [s.name for s in samples])
    return stack(read, transform, seed, numbers)


def stack(samples: Samples, transform: Transform, seed: int, numbers: Array) -> Tops:
    """The tops data (N, C, H, W) and label (N,) of a batch; its first sample sets the shape.

    Args:
        numbers: of the samples, for their random numbers.
    Raises: FieldError when the transform does not fit, DataError when the shapes differ.
    """
    draws = uniform(seed, numbers, DRAWS) if transform.is_random else None
    if isinstance(samples.images, np.ndarray):
        with _naming(samples.names[0]):
            return [transform.apply_to_batch(samples.images, draws), samples.labels]
    data: Array | None = None
    for i, image in enumerate(samples.images):
        with _naming(samples.names[i]):
            row = transform.apply_to_batch(image[None], None if draws is None else draws[i : i + 1])
        if data is None:
            data = np.empty((len(samples.images), *row.shape[1:]), np.float32)
        if row.shape[1:] != data.shape[1:]:
            raise DataError(
                f"sample {samples.names[i]!r} has shape {row.shape[1:]}, the first of its batch"
                f" {data.shape[1:]}",
                "resize the images to one size, or crop them with transform_param.crop_size",
            )
        data[i] = row[0]
    assert data is not None  # batch_size is 1 or more
    return [data, samples.labels]


@contextmanager
def _naming(sample: str) -> Iterator[None]:
    """Name the sample in errors of its transform."""
    try:
        yield
    except AdaptionError as error:
        error.fact = f"sample {sample!r}: {error.fact}"
        raise


def check_source(field: str, source: str) -> None:
    """Raise FieldError when a layer names no source, DataError when it is not there."""
    if not source:
        raise FieldError(f"{field}.source", source, "the path of the data")
    if not is_there(source):
        fix = f"correct {field}.source; it is relative to the working directory, {Path.cwd()}"
        fix = f"{near_file(source)} {fix}".lstrip()
        raise DataError("no such file or folder", fix, file=source)


def check_batch_size(field: str, batch_size: int) -> None:
    """Raise FieldError on a batch size of 0, which is what a missing one reads as."""
    if batch_size < 1:
        raise FieldError(f"{field}.batch_size", batch_size, "1 or more")
