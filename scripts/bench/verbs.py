"""Verbs that only touch text or wire, each as a process of its own, from start to end.

They run on VGG16's prototxt, `convert` on the embedded example, `plot-log` on a log made here.
Python's own start, with nothing imported, takes turns with them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from commands import run, verb
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
    "cost": (VGG16,),
    "extract": (VGG16, "-o", "vgg16.json"),
    "widen": (VGG16, "-o", "wide.prototxt", "--factor", "2"),
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
    digits = DIGITS / "deploy.prototxt"
    run(verb("rewrite", VGG16, "-o", "vgg16.prototxt", *FORMATS), folder)
    run(verb("rewrite", digits, "-o", "digits.prototxt", *FORMATS), folder)
    lines = (LOG.format(second=i, n=10 * i, loss=1 / (i + 1)) for i in range(50))
    (folder / "train.log").write_text("".join(lines))
    calls = {name: partial(run, verb(name, *words), folder) for name, words in VERBS.items()}
    calls["python"] = partial(run, [sys.executable, "-c", "pass"])
    seconds = in_turn(calls, settings.rounds_or(7, 2))
    start = f"Python's start {spread_of(seconds['python']).median:.2f} s"
    for name in VERBS:
        taken = spread_of(seconds[name])
        yield Figure(
            rows[0], f"adaption {name}", f"{taken.median:.2f} s", start, taken, "s", TARGET
        )
