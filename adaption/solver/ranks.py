"""Ranks: the processes that train one net together. Caffe: parallel.cpp of BVLC 1.0.

Each process runs the whole net on its own share of the data. Gradients are summed over the
processes and divided by their number at the end of the backward passes, before anything else is
done to them; all take the same update then, so their weights stay equal. The first process logs,
tests and writes snapshots.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from adaption.errors import RankError
from adaption.solver.heartbeat import Heartbeat

__all__ = ["ALONE", "Group", "Ranks"]

BUCKET_BYTES = 32 << 20  # per exchange: few enough for latency, small enough to overlap copies

_URGENCY: tuple[str | None, ...] = (None, "snapshot", "stop", "abandon")


class Ranks:
    """The one process of an ordinary run, for which there is nothing to exchange."""

    rank = 0
    count = 1

    @property
    def is_first(self) -> bool:
        """Whether this process logs, tests and writes snapshots."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Make each tensor the mean over all processes, in place. Caffe: on_gradients_ready."""

    def copy_first(self, tensors: Sequence[Tensor]) -> None:
        """Make each tensor what it is in the first process, in place. Caffe: NCCL::Broadcast."""

    def most_urgent(self, request: str | None) -> str | None:
        """What any process asks for: "abandon" before "stop" before "snapshot" before None."""
        return request

    def from_first(self, value: Any) -> Any:
        """The first process's value, of those that JSON can say."""
        return value

    def from_each(self, value: Any) -> list[Any]:
        """Every process's value, by rank."""
        return [value]

    def beat(self) -> None:
        """Say that this process has come further, where that takes long between two exchanges."""

    def writing(self) -> AbstractContextManager[None]:
        """For a block that writes files: it may take long without computing."""
        return nullcontext()


ALONE = Ranks()


class Group(Ranks):
    """This process's place in torch's process group, which has to be there already.

    Every method has to be called in all processes, in the same order.
    Raises: RankError when a process has ended, or does not answer in time.
    """

    def __init__(self, heartbeat: Heartbeat | None = None) -> None:
        self.rank = dist.get_rank()
        self.count = dist.get_world_size()
        self._heartbeat = heartbeat

    def beat(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.beat()

    def writing(self) -> AbstractContextManager[None]:
        return nullcontext() if self._heartbeat is None else self._heartbeat.writing()

    def average(self, tensors: Sequence[Tensor]) -> None:
        with self._telling("the gradients"), torch.no_grad():
            sent = []
            for bucket in _buckets(tensors):
                flat = torch.cat([t.reshape(-1) for t in bucket])
                sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
            for bucket, flat, work in sent:
                work.wait()
                flat.mul_(1 / self.count)
                _copy_back(flat, bucket)

    def copy_first(self, tensors: Sequence[Tensor]) -> None:
        with self._telling("the weights"), torch.no_grad():
            for bucket in _buckets(tensors):
                flat = torch.cat([t.reshape(-1) for t in bucket])
                dist.broadcast(flat, src=0)
                _copy_back(flat, bucket)

    def most_urgent(self, request: str | None) -> str | None:
        level = torch.tensor(_URGENCY.index(request))
        with self._telling("requests"):
            dist.all_reduce(level, op=dist.ReduceOp.MAX)
        return _URGENCY[int(level)]

    def from_first(self, value: Any) -> Any:
        text = _bytes_of(value) if self.is_first else torch.empty(0, dtype=torch.uint8)
        with self._telling("the state"):
            size = torch.tensor(len(text))
            dist.broadcast(size, src=0)
            if not self.is_first:
                text = torch.empty(int(size), dtype=torch.uint8)
            dist.broadcast(text, src=0)
        return json.loads(bytes(text.tolist()))

    def from_each(self, value: Any) -> list[Any]:
        text = _bytes_of(value)
        with self._telling("the state"):
            sizes = [torch.tensor(0) for _ in range(self.count)]
            dist.all_gather(sizes, torch.tensor(len(text)))
            longest = max(int(size) for size in sizes)
            padded = torch.zeros(longest, dtype=torch.uint8)
            padded[: len(text)] = text
            texts = [torch.empty_like(padded) for _ in sizes]
            dist.all_gather(texts, padded)
        return [
            json.loads(bytes(t[: int(size)].tolist())) for t, size in zip(texts, sizes, strict=True)
        ]

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            with nullcontext() if self._heartbeat is None else self._heartbeat.waiting():
                yield
        except RuntimeError as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RankError(
                f"another of the {self.count} training processes has ended or does not answer"
                f" (while {what} were exchanged: {reason})",
                "see what that process said; go on from the last snapshot",
            ) from error


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in runs of about BUCKET_BYTES."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and size + tensor.nbytes > BUCKET_BYTES:
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


def _copy_back(flat: Tensor, bucket: Sequence[Tensor]) -> None:
    for tensor, part in zip(bucket, torch.split(flat, [t.numel() for t in bucket]), strict=True):
        tensor.copy_(part.view(tensor.shape))


def _bytes_of(value: Any) -> Tensor:
    return torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8)
