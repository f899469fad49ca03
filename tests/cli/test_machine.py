"""What verbs that run a net ask of the C library and of OpenMP."""

from __future__ import annotations

import mmap
import os
import platform
import subprocess
import sys

import pytest

from adaption.cli.machine import sleep_between_layers

PROGRAM = """
import ctypes, resource, sys
from adaption.cli.machine import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blob = libc.malloc(48 << 20)
    ctypes.memset(blob, 1, 48 << 20)
    libc.free(blob)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_a_blob_takes_the_memory_of_the_one_before() -> None:
    pages = (48 << 20) // mmap.PAGESIZE
    assert faults("kept") < pages / 10
    assert faults("as it is") > pages / 2


@pytest.mark.parametrize(
    ("said", "want"),
    [
        pytest.param({}, "10000", id="nothing said"),
        pytest.param({"GOMP_SPINCOUNT": "7"}, "7", id="a count"),
        pytest.param({"OMP_WAIT_POLICY": "active"}, None, id="a policy"),
    ],
)
def test_threads_sleep_soon_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str], want: str | None
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    sleep_between_layers()
    assert os.environ.get("GOMP_SPINCOUNT") == want
