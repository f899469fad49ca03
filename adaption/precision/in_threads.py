"""Parts of a count done in threads, where numpy and torch themselves take one."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from adaption.later import torch

__all__ = ["in_threads"]

T = TypeVar("T")


def in_threads(work: Callable[[int, int], T], most: int) -> list[T]:
    """`work(part, parts)` for each part, in order; as many parts as torch has threads, no more
    than `most`. Worth it for calls of a millisecond or more, spent outside the interpreter."""
    parts = max(1, min(torch.get_num_threads(), most))
    if parts == 1:
        return [work(0, 1)]
    pool = _pool(os.getpid(), parts - 1)  # a forked process has none of the threads
    others = [pool.submit(work, part, parts) for part in range(1, parts)]
    return [work(0, parts), *(other.result() for other in others)]


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="adaption-count")
