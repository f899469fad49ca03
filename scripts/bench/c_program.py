"""Memory and codes of the generated C program: LeNet at 8 bits, the embedded example beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from commands import run, verb
from figures import Figure
from nets import ROOT
from turns import Settings, spread_of

ROWS = ("c",)
TARGET = 16.0  # kB of memory beside constants
DIGITS = ROOT / "models/lenet_digits"


def figures(settings: Settings, rows: tuple[str, ...]) -> Iterator[Figure]:
    """A row for each net whose weights are at hand."""
    lenet = settings.material / "models/lenet"
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        yield Figure.skipped(rows[0], "LeNet, 8 bits", "no C compiler")
        return
    if lenet.is_dir():
        data = settings.folder / "lenet.npz"
        np.savez(data, data=np.load(lenet / "input.npy"))
        files = (lenet / "deploy.prototxt", lenet / "deploy.caffemodel", data)
        yield of_net(rows[0], "LeNet, 8 bits", settings.folder / "lenet", *files)
        if settings.quick:
            return
    else:
        yield Figure.skipped(rows[0], "LeNet, 8 bits", f"no {lenet}")
    lmdb = DIGITS / "digits_test_lmdb"
    files = (DIGITS / "deploy.prototxt", DIGITS / "lenet_digits.caffemodel", lmdb)
    name = "lenet_digits, 8 bits"
    yield of_net(rows[0], name, settings.folder / "digits", *files, "--scale", "0.0625")


def of_net(
    row: str, what: str, folder: Path, net: Path, weights: Path, data: Path, *flags: str
) -> Figure:
    given = ("--data", str(data), *flags)
    out = folder / "out"
    run(verb("quantize", net, weights, *given, "--limit=20", "--int8", "-o", out, "--quiet"))
    low = (out / "net_lp.prototxt", out / "net_lp.caffemodel")
    run(verb("export", *low, "--to", "c", "-o", folder / "program", "--quiet"))
    manifest = json.loads((folder / "program/manifest.json").read_text())
    memory = manifest["c"]["arena_bytes"] / 1000
    # Exit code 1, and so an exception, where one code differs.
    data_flags = (*given, "--samples=4", "--input-format=auto")
    run(verb("verify", *low, "c", "exact", *data_flags, "--quiet"))
    return Figure(
        row,
        what,
        f"{memory:.1f} kB",
        value=spread_of([memory]),
        unit="kB",
        target=TARGET,
        note="arena beside constants, input and output; codes equal exact arithmetic",
    )
