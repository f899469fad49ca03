"""Programs that a row starts as processes of their own: command lines, and what they print."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["run", "verb"]


def verb(name: str, *words: object) -> list[object]:
    """The command line of `adaption NAME WORDS`."""
    return [sys.executable, "-m", "adaption", name, *words]


def run(command: Sequence[object], folder: Path | None = None) -> str:
    """Standard output of a program, started in `folder`.

    Raises: RuntimeError with the message of a program that fails.
    """
    words = [str(word) for word in command]
    silent = {"ORT_DISABLE_TELEMETRY": "1", **os.environ}  # onnxruntime reports nothing
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False, env=silent
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[1:4])}: {done.stderr or done.stdout}")
    return done.stdout
