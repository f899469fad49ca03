"""Freed memory that is kept costs no page faults when it is used again."""

from __future__ import annotations

import mmap
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from adaption.cli.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(12 << 20)  # 48 MB
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_a_blob_takes_the_memory_of_the_one_before() -> None:
    pages = (48 << 20) // mmap.PAGESIZE
    assert faults("kept") < pages / 10 < faults("as it is")
