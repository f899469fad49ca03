"""scripts/fuzz.py: a short run of every format, and what the fuzzer itself promises."""

from __future__ import annotations

import json
import multiprocessing
import random
import runpy
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from adaption.io import wire
from adaption.proto import caffe_pb2

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))  # children started afresh get the path, too

from fuzzing.corpus import Corpus  # noqa: E402
from fuzzing.formats import FORMATS  # noqa: E402
from fuzzing.mutate import damage, damage_json, damage_message, damage_text  # noqa: E402
from fuzzing.runner import fuzz  # noqa: E402

# Inputs of each format; those that take a process or a net each have fewer.
COUNT = 10
POSSIBLE = [
    pytest.param(
        name, marks=pytest.mark.skipif(not one.is_possible, reason=f"needs the package {one.needs}")
    )
    for name, one in FORMATS.items()
]
FEW = {"leveldb": 1, "onnx": 2, "names": 2, "net": 2}


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """One process for all formats: it forks, which this one with its threads should not."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield pool


@pytest.mark.parametrize("name", POSSIBLE)
def test_a_few_inputs_of_every_format(name: str, pool: ProcessPoolExecutor) -> None:
    count = FEW.get(name, COUNT)
    result = pool.submit(fuzz, name, count, seed=1, corpus=Corpus(shared=False)).result()
    assert not result.faults, result
    assert result.tried == result.accepted + result.refused == count


@pytest.mark.slow
@pytest.mark.parametrize("name", POSSIBLE)
def test_some_inputs_are_accepted_and_some_refused(name: str, pool: ProcessPoolExecutor) -> None:
    """Where all are refused, only the first check of a reader is tried."""
    result = pool.submit(fuzz, name, 100, seed=2, corpus=Corpus(shared=False)).result()
    assert not result.faults, result
    assert result.accepted and result.refused, result


BROKEN = """
import json, os, sys, time
sys.path[:0] = [{root!r}, {scripts!r}]
import fuzzing.runner as runner
from fuzzing.base import FORMATS, Format
from fuzzing.corpus import Corpus
from adaption.errors import AdaptionError

class Long(AdaptionError):
    def __str__(self):
        return "1\\n2\\n3\\n4"

def run(path):
    letter = path.read_bytes()
    if letter == b"a":
        raise AdaptionError("refused", "with a fix")
    if letter == b"b":
        raise KeyError("foreign")
    if letter == b"c":
        raise Long("says too much")
    if letter == b"d":
        os.abort()
    if letter == b"e":
        time.sleep(600)
    if letter == b"f":
        bytearray(8 << 30)
    if letter == b"h":
        while True:
            pass

class Letters(Format):
    def input(self, number, seed=0):
        return b"abcdefgh"[number : number + 1]

runner.SLOW_S, runner.HANGS_S = 0.2, 4.0
runner.LOADED = ()
FORMATS["broken"] = Letters("broken", "f", True, lambda c: [], None, run)
{call}
"""


def broken(call: str, folder: Path) -> str:
    """What a call prints where the format "broken" is known."""
    code = BROKEN.format(root=str(SCRIPTS.parent), scripts=str(SCRIPTS), call=call)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    return done.stdout


def test_a_slow_case_is_a_fault_in_this_process_too(tmp_path: Path) -> None:
    """--case ended with the signal, and reported nothing."""
    call = 'print(runner.run_one("broken", 7))'
    assert broken(call, tmp_path) == "takes longer than 0.2 s\n"


def test_what_counts_as_a_fault(tmp_path: Path) -> None:
    call = 'print(json.dumps(vars(runner.fuzz("broken", 8, corpus=Corpus(shared=False)))))'
    result = json.loads(broken(call, tmp_path))
    assert (result["tried"], result["refused"], result["accepted"]) == (8, 1, 1)
    assert len(result["faults"]) == 6
    numbers = {number: fault for fault, number in result["examples"].items()}
    assert numbers[1].startswith("KeyError ")
    assert numbers[2].startswith("a message of 4 lines")
    assert numbers[3] == "the process ended: SIGABRT"
    assert numbers[4] == "takes longer than 4 s"
    assert numbers[5].startswith("MemoryError ")
    assert numbers[7] == "takes longer than 0.2 s"


def test_inputs_follow_from_their_number() -> None:
    corpus = Corpus(shared=False)
    chosen = FORMATS["prototxt"]
    chosen.prepare(corpus)
    first = [chosen.input(number) for number in range(20)]
    assert first == [chosen.input(number) for number in range(20)]
    assert len(set(first)) == 20
    assert first != [chosen.input(number, seed=1) for number in range(20)]


def test_damage() -> None:
    """Most of what is damaged is another input; damaged messages often still are messages."""
    message = caffe_pb2.NetParameter(name="n", layer=[caffe_pb2.LayerParameter(name="a")])
    content = message.SerializeToString()
    text, numbers = 'name: "n"\nlayer { type: "ReLU" }\n', '{"a": [1, 2.5, {"b": "c"}]}'
    draw = random.Random(0)
    assert len({damage(draw, content) for _ in range(200)}) > 100
    assert len({damage_text(draw, text) for _ in range(200)}) > 100
    assert len({damage_json(draw, numbers) for _ in range(200)}) > 60
    damaged = {damage_message(draw, content) for _ in range(200)}
    assert len(damaged) > 60
    assert sum(_is_message(one) for one in damaged) > 30


def _is_message(content: bytes) -> bool:
    try:
        list(wire.walk(content))
    except wire.WireError:
        return False
    return True


@pytest.mark.slow
def test_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["fuzz", "npz", "--own", "--count=3", f"--json={tmp_path / 'x'}"]
    )
    script = runpy.run_path(str(SCRIPTS / "fuzz.py"))
    assert script["main"]() == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split()[:2] == ["npz", "3"]
    assert out[-1] == "no faults"
    line = json.loads((tmp_path / "x").read_text())
    assert (line["name"], line["tried"], line["start"], line["faults"]) == ("npz", 3, 0, {})


def test_a_format_whose_package_is_missing_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FORMATS["leveldb"], "needs", "no_such_package")
    monkeypatch.setattr(sys, "argv", ["fuzz.py", "leveldb"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / "fuzz.py"), run_name="__main__")
    assert ended.value.code == 0
    assert "leveldb          left out: needs the package no_such_package" in capsys.readouterr().out
