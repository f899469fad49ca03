"""Starting the processes of a training run, and ending them together.

On one machine the calling process is the first, and starts one for each further device. Under
torchrun (or anything else that sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT) every process
is there already.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import connection, parent_process
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from adaption.errors import AdaptionError, RankError, UsageError
from adaption.net.device import as_device
from adaption.solver.heartbeat import Heartbeat
from adaption.solver.ranks import ALONE, Group, Ranks

__all__ = ["Work", "place", "processes"]

# A process that ends is noticed at once, by its closed connection, one that hangs by its heartbeat.
# This is for the exchange itself; the first tests and writes snapshots while the others wait.
TIMEOUT = timedelta(hours=2)
GRACE_S = 20.0  # for a process to end by itself when another has; NCCL may not notice

Work = Callable[[Ranks, str, dict[str, Any]], object]


def place() -> tuple[int, int]:
    """(rank, count) of this process by its environment, (0, 1) without torchrun.

    Raises: UsageError when RANK and WORLD_SIZE do not fit each other.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return 0, 1
    try:
        rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except ValueError:
        rank, count = -1, 0
    if not 0 <= rank < count:
        raise UsageError(
            f"RANK is {os.environ['RANK']!r} and WORLD_SIZE {os.environ['WORLD_SIZE']!r}",
            "start the processes with torchrun, or unset both",
        )
    return rank, count


@contextmanager
def processes(
    devices: Sequence[str], work: Work, arguments: dict[str, Any]
) -> Iterator[tuple[Ranks, str]]:
    """The processes that train together, and this one's device; all end with the block.

    Args:
        devices: one per process on this machine, of those torchrun started by LOCAL_RANK.
        work: what a further process runs, with its ranks, its device and `arguments`: a function
            of a module, since it is started afresh.
    Raises: RankError when another process has ended; its own error when it told one.
    """
    count = place()[1]
    if max(count, len(devices)) > 1 and not dist.is_available():
        raise UsageError(
            "this torch has no torch.distributed", "train in one process, or install another torch"
        )
    devices = [str(as_device(device)) for device in devices] or ["cpu"]
    if count > 1:
        yield from _among_others(devices)
    elif len(devices) > 1:
        yield from _as_first(devices, work, arguments)
    else:
        yield ALONE, devices[0]


def _among_others(devices: Sequence[str]) -> Iterator[tuple[Ranks, str]]:
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UsageError(
            f"RANK and WORLD_SIZE are set, {' and '.join(missing)} not",
            "start the processes with torchrun",
        )
    local = int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))
    if local >= len(devices) > 1 or (len(devices) == 1 and local and devices[0] != "cpu"):
        raise UsageError(
            f"process {local} of this machine has no device: {', '.join(devices)}",
            "give torchrun --nproc-per-node the number of GPUs, and all of them with --gpu",
        )
    device = devices[local] if len(devices) > 1 else devices[0]
    with _joined(device) as ranks:
        try:
            yield ranks, device
        except AdaptionError as error:
            error.fact = f"process {ranks.rank} of {ranks.count}: {error.fact}"
            raise


def _as_first(
    devices: Sequence[str], work: Work, arguments: dict[str, Any]
) -> Iterator[tuple[Ranks, str]]:
    store = dist.TCPStore(  # type: ignore[attr-defined]
        "127.0.0.1", 0, len(devices), is_master=True, wait_for_workers=False
    )
    context = mp.get_context("spawn")
    others = []
    ends = []
    for rank in range(1, len(devices)):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_other,
            args=(rank, devices, store.port, work, arguments, theirs),
            name=f"adaption-rank-{rank}",
            daemon=True,
        )
        process.start()
        theirs.close()
        others.append(process)
        ends.append(ours)
    is_done = threading.Event()
    threading.Thread(target=_watch, args=(others, is_done), daemon=True).start()
    try:
        with _joined(devices[0], store, 0, len(devices)) as ranks:
            yield ranks, devices[0]
        for process in others:
            process.join(GRACE_S)
        _raise_what_they_told(ends, GRACE_S)
    except RankError:
        _raise_what_they_told(ends, GRACE_S)
        raise
    finally:
        is_done.set()
        for process in others:
            process.terminate()
        for process in others:
            process.join(GRACE_S)
            process.kill()


def _other(
    rank: int,
    devices: Sequence[str],
    port: int,
    work: Work,
    arguments: dict[str, Any],
    end: connection.Connection,
) -> None:
    """What a further process of this machine does."""
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    try:
        store = dist.TCPStore(  # type: ignore[attr-defined]
            "127.0.0.1", port, len(devices), is_master=False
        )
        with _joined(devices[rank], store, rank, len(devices)) as ranks:
            work(ranks, devices[rank], arguments)
    except RankError:
        pass  # the process that ended has more to say
    except AdaptionError as error:
        error.fact = f"process {rank} of {len(devices)}: {error.fact}"
        end.send(error)
    except BaseException:
        end.send(traceback.format_exc())
        raise SystemExit(1) from None


def _raise_what_they_told(ends: Sequence[connection.Connection], seconds: float) -> None:
    """Raise the first error of another process, which closes its pipe when it has ended."""
    waiting = list(ends)
    until = time.monotonic() + seconds
    while waiting and (left := until - time.monotonic()) > 0:
        for end in connection.wait(waiting, left):
            assert isinstance(end, connection.Connection)
            waiting.remove(end)
            try:
                told = end.recv()
            except EOFError:
                continue
            if isinstance(told, AdaptionError):
                raise told
            raise RuntimeError(f"another training process failed:\n{told}")


@contextmanager
def _joined(device: str, store: Any = None, rank: int = -1, count: int = -1) -> Iterator[Ranks]:
    """Be one of torch's process group while the block runs."""
    on_gpu = device != "cpu"
    if on_gpu:
        torch.cuda.set_device(device)
    threads = torch.get_num_threads()
    if store is not None and not on_gpu:
        torch.set_num_threads(max(1, threads // count))  # they share this machine's cores
    # Requests and states travel over gloo, gradients over NCCL where they lie on GPUs.
    backend = "cpu:gloo,cuda:nccl" if on_gpu and dist.is_nccl_available() else "gloo"
    try:
        try:
            dist.init_process_group(
                backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT
            )
        except (RuntimeError, ValueError) as error:
            raise RankError(
                f"the training processes do not find each other: {str(error).splitlines()[0]}",
                "see that all were started, and that MASTER_ADDR and MASTER_PORT can be reached",
            ) from error
        own = dist.get_rank(), dist.get_world_size()
        heartbeat = Heartbeat(_shared_store(store), *own)
        with heartbeat.beating():
            yield Group(heartbeat)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        torch.set_num_threads(threads)


def _shared_store(store: Any) -> Any:
    """A store for the heartbeat: torch's own where torchrun has made it."""
    if store is None:
        store = dist.distributed_c10d._get_default_store()
    return store.clone() if hasattr(store, "clone") else store


def _watch(others: Sequence[Any], is_done: threading.Event) -> None:
    """End this process when another has failed and the exchange with it does not end by itself."""
    while not is_done.is_set():
        connection.wait([process.sentinel for process in others], 1.0)
        failed = [process for process in others if process.exitcode]
        if failed:
            if not is_done.wait(GRACE_S):
                print(
                    f"adaption: {failed[0].name} has ended with exit code {failed[0].exitcode};"
                    " go on from the last snapshot",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(1)
            return
        is_done.wait(0.2)


def _end_with(parent: int) -> None:
    """End this process some time after its parent, however that ended."""
    connection.wait([parent])
    time.sleep(GRACE_S)
    os._exit(1)
