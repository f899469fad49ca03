"""pycaffe's process-wide switches. Nets read them when they are built."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from adaption.errors import UsageError
from adaption.glog import info
from adaption.net.device import as_device

__all__ = [
    "TEST",
    "TRAIN",
    "allow_python",
    "has_nccl",
    "init_log",
    "log",
    "set_device",
    "set_ignore_unknown",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_original_semantics",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
]

TRAIN = 0
TEST = 1


@dataclass
class Settings:
    original_semantics: bool = False
    ignore_unknown: bool = False
    seed: int | None = None
    nets_built: int = 0
    python_modules: list[str] = field(default_factory=list)
    solver_count: int = 1
    solver_rank: int = 0
    is_gpu: bool = False
    gpu: int = 0

    @property
    def device(self) -> str:
        """Where the next net computes."""
        return f"cuda:{self.gpu}" if self.is_gpu else "cpu"

    def next_seed(self) -> int | None:
        """A seed for the next net: nets differ, a process with `set_random_seed` repeats itself."""
        if self.seed is None:
            return None
        self.nets_built += 1
        return self.seed + self.nets_built - 1


settings = Settings()


def set_original_semantics(on: bool) -> None:
    """Reproduce the original ADaPTION's defects, too, in nets built from now on."""
    settings.original_semantics = bool(on)


def set_ignore_unknown(on: bool) -> None:
    """Run nets and solvers built from now on in spite of unknown fields in their files."""
    settings.ignore_unknown = bool(on)


def allow_python(*modules: str) -> None:
    """Let nets built from now on run layers of type "Python" from these modules.

    Args:
        modules: names as the prototxt's `python_param { module }` gives them; they are imported
            when a net needs them. Without this such layers are refused: a model file is data.
    """
    settings.python_modules += [name for name in modules if name not in settings.python_modules]


def set_random_seed(seed: int) -> None:
    """Seed the random numbers of nets built from now on."""
    settings.seed = int(seed)
    settings.nets_built = 0


def set_mode_cpu() -> None:
    """Compute on the CPU, in nets built from now on."""
    settings.is_gpu = False


def set_mode_gpu() -> None:
    """Compute on the GPU that `set_device` named, or the first, in nets built from now on.

    Raises: UsageError when torch has no such device.
    """
    as_device(f"cuda:{settings.gpu}")
    settings.is_gpu = True


def set_device(device: int) -> None:
    """Name the GPU, from 0, that `set_mode_gpu` means; nets that are built keep theirs.

    Raises: UsageError when torch has no such device.
    """
    settings.gpu = as_device(f"cuda:{int(device)}").index


def init_log(level: int | str = 0, to_stderr: bool = True) -> None:
    """Log lines of this severity and above: 0 INFO, 1 WARNING, 2 ERROR. Caffe: init_log.

    Args:
        level: or, as some forks have it, the name of the program, which changes nothing.
        to_stderr: whether lines go to stderr, where they always go here.
    """
    if not isinstance(level, str):
        os.environ["GLOG_minloglevel"] = str(level)


def solver_count() -> int:
    """How many solvers train together, as `set_solver_count` was told."""
    return settings.solver_count


def set_solver_count(count: int) -> None:
    """Say how many processes train together; it is 1 here, where `adaption train` starts them.

    Raises: UsageError on any other number.
    """
    if int(count) != 1:
        raise UsageError(
            f"set_solver_count({count}): one process trains alone here",
            "train on several devices with adaption train --gpu 0,1",
        )
    settings.solver_count = int(count)


def solver_rank() -> int:
    """Number of this process among those that train together."""
    return settings.solver_rank


def set_solver_rank(rank: int) -> None:
    """Say which of the processes that train together this is. Raises: UsageError but for 0."""
    if int(rank) != 0:
        raise UsageError(
            f"set_solver_rank({rank}): one process trains alone here",
            "train on several devices with adaption train --gpu 0,1",
        )
    settings.solver_rank = int(rank)


def set_multiprocess(on: bool) -> None:
    """Say that processes train together. Raises: UsageError when they do; see solver_count."""
    if on:
        raise UsageError(
            "set_multiprocess(True): one process trains alone here",
            "train on several devices with adaption train --gpu 0,1",
        )


def has_nccl() -> bool:
    """Whether pycaffe's NCCL class is there; it is not."""
    return False


def log(text: str) -> None:
    """Write a line to the log. Caffe: _caffe.cpp, Log."""
    info("_caffe.cpp:122", text)
