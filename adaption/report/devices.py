"""What there is to compute on. Caffe: device_query in caffe.cpp, DeviceQuery in common.cpp."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from adaption.errors import FieldError, UsageError
from adaption.glog import Log, silent
from adaption.report.format import one_line, size

__all__ = ["Devices", "Gpu", "device_query", "gpu_ids"]


@dataclass(frozen=True)
class Gpu:
    """One CUDA device; `properties` are named as torch names them, sizes in bytes."""

    id: int
    name: str
    properties: dict[str, int]


@dataclass(frozen=True)
class Devices:
    """This machine as torch sees it. `cuda` is the version torch was built for, None for none."""

    cpu: str
    cpu_capability: str  # instruction set that torch uses: "AVX2"
    cores: int  # that this process may use
    threads: int  # that torch computes with
    memory_bytes: int | None
    torch: str
    cuda: str | None
    gpus: tuple[Gpu, ...]
    note: str = ""  # why there is no GPU

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"format": "adaption.devices/1", **asdict(self)}

    def __str__(self) -> str:
        memory = "" if self.memory_bytes is None else f", {size(self.memory_bytes)} memory"
        lines = [
            f"CPU: {one_line(self.cpu)}, {self.cores} cores, {self.cpu_capability}{memory}",
            f"torch {self.torch}, {self.threads} threads",
        ]
        for gpu in self.gpus:
            total = size(gpu.properties.get("total_memory"))
            lines.append(f"GPU {gpu.id}: {one_line(gpu.name)}, {total} memory")
        return "\n".join([*lines, self.note] if self.note else lines)


# Caffe's words, and torch's name of the property; a torch that does not know it leaves it out.
_LINES = (
    ("Major revision number:         ", "major"),
    ("Minor revision number:         ", "minor"),
    ("Name:                          ", "name"),
    ("Total global memory:           ", "total_memory"),
    ("Total shared memory per block: ", "shared_memory_per_block"),
    ("Total registers per block:     ", "regs_per_multiprocessor"),
    ("Warp size:                     ", "warp_size"),
    ("Maximum threads per block:     ", "max_threads_per_block"),
    ("Clock rate:                    ", "clock_rate"),
    ("Number of multiprocessors:     ", "multi_processor_count"),
)


def device_query(gpu: str = "all", *, log: Log = silent) -> Devices:
    """The CPU, torch, and the GPUs with these numbers.

    Args:
        gpu: "all", "" for none, or numbers with commas between: "0,1".
        log: gets Caffe's lines, `glog.info` writes them.
    Raises: UsageError when a GPU is asked for by number and is not there.
    """
    log("caffe.cpp:138", f"Querying GPUs {gpu}")
    gpus = tuple(_gpu(number) for number in gpu_ids(gpu))
    for one in gpus:
        for text in _caffe_lines(one):
            log("common.cpp:186", text)
    return Devices(
        cpu=_cpu_name(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _cores(),
        threads=torch.get_num_threads(),
        memory_bytes=_memory(),
        torch=torch.__version__,
        cuda=torch.version.cuda,
        gpus=gpus,
        note="" if torch.cuda.is_available() else f"no GPU: {_why_not()}",
    )


def gpu_ids(gpu: str) -> list[int]:
    """Numbers of the GPUs that Caffe's flag --gpu names; "all" may be none.

    Raises: FieldError when it does not parse, UsageError when a number is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpu == "all":
        return list(range(count))
    if not gpu:
        return []
    parts = [part.strip() for part in gpu.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise FieldError("--gpu", gpu, 'all, or numbers with commas between: "0,1"')
    numbers = [int(part) for part in parts]
    if not count:
        raise UsageError(
            f"--gpu {gpu}: {_why_not()}",
            "leave out --gpu to compute on the CPU, or install torch with CUDA and the driver",
        )
    absent = [number for number in numbers if number >= count]
    if absent or len(set(numbers)) < len(numbers):
        raise FieldError("--gpu", gpu, f"different numbers in 0..{count - 1}")
    return numbers


def _why_not() -> str:
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    return f"torch {torch.__version__} (CUDA {torch.version.cuda}) finds no CUDA device"


def _gpu(number: int) -> Gpu:
    properties = torch.cuda.get_device_properties(number)
    names = [name for _, name in _LINES if name != "name" and hasattr(properties, name)]
    return Gpu(number, properties.name, {name: int(getattr(properties, name)) for name in names})


def _caffe_lines(gpu: Gpu) -> Iterator[str]:
    yield f"Device id:                     {gpu.id}"
    values = {**gpu.properties, "name": gpu.name}
    for label, name in _LINES:
        if name in values:
            yield f"{label}{values[name]}"


def _cpu_name() -> str:
    """The model's name as the kernel has it, else what Python knows."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    return os.cpu_count() or 1


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
