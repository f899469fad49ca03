"""The folder of results of the main job: what lies in it, and what lay in it before."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adaption.errors import AdaptionError, UsageError, system_error
from adaption.io.entries import Entries
from adaption.io.files import read_json

__all__ = ["RESULTS", "SUMMARY", "earlier_results", "files_entry", "taken_off_note"]

PathLike = str | os.PathLike[str]

SUMMARY = "summary.json"
RESULTS = (
    *("net_lp.prototxt", "net_lp.caffemodel", "net_lp.onnx"),
    *("plan.json", "report.html", SUMMARY),
)


def files_entry(net: PathLike, weights: PathLike, folder: Path, stage: Path) -> dict[str, Any]:
    """The entry `files` of summary.json: where each file will lie, and its size in `stage`."""

    def entry(path: Path, size_of: Path) -> dict[str, Any]:
        size = size_of.stat().st_size if size_of.exists() else None
        return {"path": os.fspath(path), "size_bytes": size}

    made = {
        "net_lp": "net_lp.prototxt",
        "weights_lp": "net_lp.caffemodel",
        "onnx": "net_lp.onnx",
        "plan": "plan.json",
        "report": "report.html",
    }
    files = {"net": entry(Path(net), Path(net)), "weights": entry(Path(weights), Path(weights))}
    for key, name in made.items():
        if key == "report" or (stage / name).exists():
            files[key] = entry(folder / name, stage / name)
    return files


def earlier_results(folder: Path) -> list[str]:
    """What is said of results that this run replaces. Raises: UsageError."""
    try:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"output {os.fspath(folder)!r} is a file", "name a folder")
        if not any((folder / name).exists() for name in RESULTS):
            return []
    except OSError as error:
        raise system_error(error, "cannot be written", file=folder) from None
    try:
        values = Entries(read_json(folder / SUMMARY, "a summary"))
        made = f"of net {values.text('net', '?')!r} in {values.text('lengths', '?')} bits"
    except AdaptionError:
        made = "without a summary"
    return [f"{os.fspath(folder)} held results {made}: they are replaced"]


def taken_off_note(formatted: Sequence[str], net: PathLike, weights: PathLike) -> str:
    names = ", ".join(formatted[:6]) + (", ..." if len(formatted) > 6 else "")
    files = shlex.join([os.fspath(net), os.fspath(weights)])
    return (
        f"The net has formats already, of {len(formatted)} layers ({names}): they are taken off,"
        ' and "float" is the net with its full precision weights. How it does as it is:'
        f" adaption test {files} --data DATA, or adaption verify {files} float lp."
    )
