"""pycaffe's process-wide switches. Nets read them when they are built."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from adaption.glog import info
from adaption.net.device import as_device

__all__ = [
    "TEST",
    "TRAIN",
    "allow_python",
    "init_log",
    "log",
    "set_device",
    "set_ignore_unknown",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_original_semantics",
    "set_random_seed",
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


def init_log(level: int = 0) -> None:
    """Log lines of this severity and above: 0 INFO, 1 WARNING, 2 ERROR. Caffe: init_log."""
    os.environ["GLOG_minloglevel"] = str(level)


def log(text: str) -> None:
    """Write a line to the log. Caffe: _caffe.cpp, Log."""
    info("_caffe.cpp:122", text)
