"""Verbs that only touch text and wire formats start without torch and whatever else takes time.

Times are in docs/measurements.md; these tests check what they depend on, the modules imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
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


# What takes long to import, and what no verb of text has a use for.
SLOW = (
    *(
        "torch",
        "numpy",
        "onnx",
        "onnxruntime",
        "h5py",
        "lmdb",
        "PIL",
        "matplotlib",
        "jinja2",
        "rich",
    ),
    *("asyncio", "concurrent.futures", "ctypes", "email", "gzip", "hashlib", "html", "logging"),
    *(
        "multiprocessing",
        "secrets",
        "sqlite3",
        "subprocess",
        "tempfile",
        "urllib.request",
        "zipfile",
    ),
    *("adaption.data.source", "adaption.glog", "adaption.io.npy", "adaption.net.display"),
    *("adaption.net.net", "adaption.options.budget", "adaption.options.refinement"),
    *("adaption.precision.measure", "adaption.precision.propose", "adaption.precision.statistics"),
    *("adaption.report.html", "adaption.solver.solver"),
)
# Nets with data layers, whose files bring more than those of a deploy net.
OF_TEXT = (
    f"upgrade {MODELS}/train_val.prototxt -o OUT/new.prototxt",
    f"inspect {MODELS}/train_val.prototxt",
    f"inspect {DIGITS}/lenet_digits.caffemodel",
    f"inspect {MODELS}/solver.prototxt",
    f"draw {MODELS}/train_val.prototxt -o OUT/net.dot",
    f"cost {MODELS}/deploy.prototxt",
    f"extract {MODELS}/train_val.prototxt -o OUT/lenet.json",
    "create LeNet --file OUT/lenet.json --weight Q2.6 -o OUT",
    f"widen {MODELS}/train_val.prototxt -o OUT/wide.prototxt --factor 2",
    f"rewrite {MODELS}/train_val.prototxt -o OUT/lp.prototxt --weight Q2.14 --activation Q9.7",
    "edit OUT/lp.prototxt conv1:weight=Q3.13",
    f"rewrite {MODELS}/train_val.prototxt -o OUT/wrpn.prototxt --recipe wrpn --weight-bits 2"
    " --activation-bits 4",
)
AFTER_EACH = """
import contextlib, io, json, sys
from google.protobuf import descriptor_pool  # that of protobuf 4 takes ctypes
brought = set(sys.modules)
from adaption.cli.main import main
commands, slow = json.loads(sys.argv[1])
for line in commands:
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(line.split(" "))
    print(json.dumps([code, [name for name in slow if name in sys.modules.keys() - brought]]))
"""


def test_what_verbs_of_text_import(tmp_path: Path) -> None:
    lines = [command.replace("OUT", str(tmp_path)) for command in OF_TEXT]
    found = [json.loads(line) for line in _said(AFTER_EACH, lines, SLOW)]
    assert dict(zip(OF_TEXT, found, strict=True)) == {command: [0, []] for command in OF_TEXT}


def test_convert_imports_numpy_and_no_torch(tmp_path: Path) -> None:
    line = f"convert {DIGITS}/lenet_digits.caffemodel {DIGITS}/deploy.prototxt -o {tmp_path}/x"
    (found,) = _said(AFTER_EACH, [line], ["torch", "numpy", "h5py", "zipfile", "logging"])
    assert json.loads(found) == [0, ["numpy"]]


IMPORT_ALL = """
import json, pkgutil, sys
from importlib import import_module
folders, slow = json.loads(sys.argv[1])
for folder in folders:
    for module in pkgutil.iter_modules(import_module(folder).__path__, folder + "."):
        import_module(module.name)
        print(json.dumps([module.name, [name for name in slow if name in sys.modules]]))
"""


def test_looking_into_a_net_takes_no_numpy_whatever_its_layers_are() -> None:
    slow = (
        "torch",
        "numpy",
        "h5py",
        "PIL",
        "concurrent.futures",
        "logging",
        "subprocess",
        "zipfile",
    )
    said = _said(IMPORT_ALL, ["adaption.layers", "adaption.data.layers"], slow)
    found = dict(json.loads(line) for line in said)
    assert "adaption.layers.proposal" in found and "adaption.data.layers.data" in found
    assert {name: heavy for name, heavy in found.items() if heavy} == {}


def _said(code: str, what: Sequence[str], slow: Sequence[str]) -> list[str]:
    call = [sys.executable, "-c", code, json.dumps([what, slow])]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("call", "frozen"), [("main()", "True"), ("main(['completion', 'bash'])", "False")]
)
def test_only_the_command_itself_ends_without_a_search_for_cycles(call: str, frozen: str) -> None:
    code = (
        "import gc, sys; sys.argv = ['adaption']\n"
        "from adaption.cli.main import main\n"
        "try:\n"
        f"    {call}\n"
        "except SystemExit:\n"
        "    pass\n"
        "print(gc.get_freeze_count() > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == frozen, done.stderr
