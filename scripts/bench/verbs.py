"""Verbs that only touch text or wire, each as a process of its own, from start to end.

They run on VGG16's prototxt, `convert` on the embedded example, `plot-log` on a log made here.
Python's own start, with nothing imported, takes turns with them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from figures import Figure
from nets import ROOT
from turns import Settings, in_turn, spread_of

ROWS = ("verbs",)
TARGET = 0.3  # seconds
VGG16 = str(ROOT / "models/vgg16/deploy.prototxt")
DIGITS = ROOT / "models/lenet_digits"
FORMATS = ("--weight", "Q2.6", "--activation", "Q6.2")
VERBS = {
    "edit": ("vgg16.prototxt", "conv1_1:weight=Q2.5"),
    "rewrite": (VGG16, "-o", "made.prototxt", *FORMATS),
    "upgrade": (VGG16, "-o", "upgraded.prototxt"),
    "draw": (VGG16, "-o", "vgg16.dot"),
    "convert": (str(DIGITS / "lenet_digits.caffemodel"), "digits.prototxt", "-o", "d.caffemodel"),
    "plot-log": ("train.log", "-o", "train.svg"),
    "inspect": (VGG16,),
}
LOG = """I1129 10:00:{second:02}.000000 1 solver.cpp:239] Iteration {n} (10 iter/s, 1s/10 iters), loss = {loss}
I1129 10:00:{second:02}.000000 1 sgd_solver.cpp:112] Iteration {n}, lr = 0.01
"""  # noqa: E501


def figures(settings: Settings, rows: tuple[str, ...]) -> Iterator[Figure]:
    """A row per verb; all take turns."""
    folder = settings.folder
    run(folder, "rewrite", VGG16, "-o", "vgg16.prototxt", *FORMATS)
    run(folder, "rewrite", str(DIGITS / "deploy.prototxt"), "-o", "digits.prototxt", *FORMATS)
    lines = (LOG.format(second=i, n=10 * i, loss=1 / (i + 1)) for i in range(50))
    (folder / "train.log").write_text("".join(lines))
    calls = {verb: partial(run, folder, verb, *words) for verb, words in VERBS.items()}
    nothing = [sys.executable, "-c", "pass"]
    seconds = in_turn(
        {"python": partial(subprocess.run, nothing, check=True), **calls},
        settings.rounds_or(7, 2),
    )
    start = f"Python's start {spread_of(seconds['python']).median:.2f} s"
    for verb in VERBS:
        taken = spread_of(seconds[verb])
        yield Figure(
            rows[0], f"adaption {verb}", f"{taken.median:.2f} s", start, taken, "s", TARGET
        )


def run(folder: Path, *words: str) -> None:
    """One command. Raises: CalledProcessError when it fails, with what it said."""
    command = [sys.executable, "-m", "adaption", *words]
    subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True)
