"""The fenced blocks of README and docs/: which are commands, and how they are run.

A block of commands says `sh`, one of Python says `python`; anything else is only shown. A comment
in the line before may say more:

    <!-- slow -->              runs in the slow tests only
    <!-- network -->           runs where packages can be fetched
    <!-- prints -->            a `text` block: what the block before it prints; `...` stands for
                               any lines
    <!-- not run: REASON -->   needs what a test machine does not have; REASON says what
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(?P<language>\S*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- (slow|network|prints|not run: [^>]+) -->\n\Z")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    line: int
    language: str
    text: str
    mark: str  # "", "slow", "network", "prints", or "not run: ..."

    @property
    def is_run(self) -> bool:
        return self.language in ("sh", "python") and not self.mark.startswith("not run")


def pages() -> list[Path]:
    """README and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    found = []
    for match in FENCE.finditer(text):
        mark = MARK.search(text[: match.start()])
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(line, match["language"], match["text"], mark[1] if mark else ""))
    return found


def run_block(block: Block, folder: Path, environment: dict[str, str]) -> str:
    """What a block prints. Raises: AssertionError with its output when it fails."""
    if block.language == "sh":
        command = ["bash", "-euo", "pipefail", "-c", block.text]
    else:
        command = [sys.executable, "-c", block.text]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=3600
    )
    assert done.returncode == 0, (
        f"line {block.line}: exit code {done.returncode}\n{block.text}\n{done.stdout}{done.stderr}"
    )
    return done.stdout


def environment_of(home: Path) -> dict[str, str]:
    """Variables for commands: this checkout's package and `adaption` come first."""
    found = {**os.environ, "HOME": str(home), "COLUMNS": "100", "PYTHONWARNINGS": "default"}
    found["PATH"] = os.pathsep.join([str(commands_in(home)), found["PATH"]])
    found["PYTHONPATH"] = os.pathsep.join(p for p in (str(ROOT), found.get("PYTHONPATH", "")) if p)
    found["VIRTUAL_ENV"] = sys.prefix
    return found


def commands_in(home: Path) -> Path:
    """A folder with `adaption`, `python` and `torchrun` of the Python that runs the tests."""
    folder = home / "bin"
    if not folder.exists():
        folder.mkdir(parents=True)
        calls = {
            "adaption": "-m adaption",
            "torchrun": "-m torch.distributed.run",
            "python": "",
        }
        for name, call in calls.items():
            script = folder / name
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {call} "$@"\n', "utf-8")
            script.chmod(0o755)
    return folder


def matches(want: str, got: str) -> bool:
    """Whether `got` is what a `prints` block shows; a line `...` stands for any lines."""
    pattern = "".join(
        "(?:.*\n)*?" if line.strip() == "..." else re.escape(line.rstrip()) + r"[ ]*\n"
        for line in want.splitlines()
    )
    return re.fullmatch(pattern, got if got.endswith("\n") else got + "\n") is not None
