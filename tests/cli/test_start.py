"""Verbs that only touch text and wire formats start without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODELS = "models/lenet"
DIGITS = "models/lenet_digits"

# One after the other in one process: what the first ones write, later ones read.
COMMANDS = (
    f"rewrite {MODELS}/deploy.prototxt -o OUT/lp.prototxt --weight Q2.14 --activation Q9.7",
    "edit OUT/lp.prototxt conv1:weight=Q3.13",
    f"draw {MODELS}/deploy.prototxt -o OUT/net.dot",
    f"convert {DIGITS}/lenet_digits.caffemodel {DIGITS}/deploy.prototxt -o OUT/same.caffemodel",
    f"rewrite {DIGITS}/deploy.prototxt -o OUT/digits.prototxt --weight Q2.6 --activation Q5.3",
    f"convert {DIGITS}/lenet_digits.caffemodel OUT/digits.prototxt -o OUT/lp.caffemodel",
    f"inspect {MODELS}/deploy.prototxt",
    f"inspect {DIGITS}/lenet_digits.caffemodel",
    f"inspect {MODELS}/solver.prototxt",
    f"extract {MODELS}/train_val.prototxt -o OUT/lenet.json",
    "create LeNet --file OUT/lenet.json --weight Q2.6 -o OUT",
    f"widen {MODELS}/deploy.prototxt -o OUT/wide.prototxt --factor 2",
    f"cost {MODELS}/deploy.prototxt",
    f"upgrade {MODELS}/deploy.prototxt -o OUT/new.prototxt",
    "plot-log OUT/train.log",
    f"rewrite {MODELS}/train_val.prototxt -o OUT/sdfp.prototxt --recipe sdfp --bits 4"
    " --bias-weight -1 --bias-activation -1 --bias-gradient -1",
    f"rewrite {MODELS}/train_val.prototxt -o OUT/wrpn.prototxt --recipe wrpn --weight-bits 2"
    " --activation-bits 4",
)
LOG = """\
I1128 10:00:00.000000 1 solver.cpp:60] Solver scaffolding done.
I1128 10:00:01.000000 1 solver.cpp:228] Iteration 0 (0 iter/s, 1s/10 iters), loss = 2.3
I1128 10:00:01.000000 1 sgd_solver.cpp:106] Iteration 0, lr = 0.01
I1128 10:00:02.000000 1 solver.cpp:228] Iteration 10 (10 iter/s, 1s/10 iters), loss = 1.1
I1128 10:00:02.000000 1 sgd_solver.cpp:106] Iteration 10, lr = 0.01
"""


@pytest.fixture(scope="module")
def loads_torch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For each command its exit code and whether torch was there behind it."""
    out = tmp_path_factory.mktemp("start")
    (out / "train.log").write_text(LOG)
    code = (
        "import sys, contextlib, io\n"
        "from adaption.cli.main import main\n"
        "for line in sys.argv[1:]:\n"
        "    with contextlib.redirect_stdout(io.StringIO()):\n"
        "        code = main(line.split(' '))\n"
        "    print(code, 'torch' in sys.modules)\n"
    )
    lines = [command.replace("OUT", str(out)) for command in COMMANDS]
    done = subprocess.run(
        [sys.executable, "-c", code, *lines], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == len(COMMANDS), done.stderr
    return dict(zip(COMMANDS, said, strict=True))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c.split(" ")[:2]))
def test_verb_does_without_torch(loads_torch: dict[str, str], command: str) -> None:
    assert loads_torch[command] == "0 False"
