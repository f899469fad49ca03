"""run_pytest of scripts/lib.sh: in parallel, unless the arguments say otherwise."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

LIB = Path(__file__).resolve().parents[2] / "scripts/lib.sh"
PYTHON = """#!/bin/sh
case $1 in
-c) echo "$PROCESSORS" ;;
-m) shift; printf '%s|' "$@"; echo "${OMP_NUM_THREADS-unset}" ;;
esac
"""


def run_pytest(folder: Path, *arguments: str, **environment: str) -> str:
    """What pytest is called with, and the number of threads, in a shell with another python."""
    python = folder / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    found = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    found |= {"PATH": f"{folder}:{os.environ['PATH']}", "PROCESSORS": "6", **environment}
    script = f'set -euo pipefail; source "{LIB}"; run_pytest "$@"'
    call = ["bash", "-c", script, "bash", *arguments]
    done = subprocess.run(call, env=found, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_one_process_for_each_processor(tmp_path: Path) -> None:
    want = "pytest|-n|6|--dist|loadfile|tests/io|-k|not wire|1"
    assert run_pytest(tmp_path, "tests/io", "-k", "not wire") == want


def test_threads_that_are_given_stay(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, OMP_NUM_THREADS="3") == "pytest|-n|6|--dist|loadfile|3"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-n", "2"],
        ["-n0"],
        ["-nauto"],
        ["--numprocesses=2"],
        ["--pdb"],
        ["tests", "--co", "-q"],
        ["--trace"],
        ["-p", "no:xdist"],
    ],
    ids=" ".join,
)
def test_arguments_rule(arguments: list[str], tmp_path: Path) -> None:
    assert run_pytest(tmp_path, *arguments) == "|".join(["pytest", *arguments, "unset"])


def test_a_single_processor(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, "-x", "--no-header", PROCESSORS="1") == (
        "pytest|-x|--no-header|unset"
    )
