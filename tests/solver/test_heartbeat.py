"""A process that hangs is noticed: by what it says of itself, and in a run of two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adaption.solver.heartbeat import BUSY_FACTOR, Heartbeat, Pulse, View

IDLE = 100.0
NET = """
layer { name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } data_filler { type: "gaussian" std: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""
SOLVER = 'net: "n.prototxt" base_lr: 0.001 lr_policy: "fixed" max_iter: 10000000 display: 20000'


@pytest.mark.parametrize(
    ("pulses", "complaint"),
    [
        pytest.param({}, "has said nothing for 101 s", id="silent"),
        pytest.param(
            {t: Pulse(t, progress=3, cpu=1.0) for t in range(1, 103)},
            "has neither computed nor waited for others for 101 s",
            id="talks, but does nothing",
        ),
        pytest.param(
            {t: Pulse(t, progress=3, cpu=t / 2) for t in range(1, 102)}, "", id="computes"
        ),
        pytest.param(
            {t: Pulse(t, progress=3, is_waiting=True) for t in range(1, 2000)}, "", id="waits"
        ),
        pytest.param(
            {t: Pulse(t, progress=3, is_writing=True) for t in range(1, 990)}, "", id="writes"
        ),
        pytest.param(
            {t: Pulse(t, progress=3, is_writing=True) for t in range(1, 1003)},
            "has not come any further for 1001 s",
            id="writes for too long",
        ),
        pytest.param(
            {t: Pulse(t, progress=3, cpu=t) for t in range(1, 1003)},
            "has not come any further for 1001 s",
            id="computes for too long",
        ),
        pytest.param({5: Pulse(1, has_ended=True)}, "", id="has ended"),
    ],
)
def test_what_is_complained_of(pulses: dict[int, Pulse], complaint: str) -> None:
    view = View(0.0, IDLE)
    for at, pulse in pulses.items():
        view.hear(pulse, float(at))
    assert view.complaint(float(max(pulses, default=0)) + (0 if len(pulses) > 1 else 101)) == (
        complaint
    )


def test_a_process_that_was_asleep_itself_counts_anew() -> None:
    view = View(0.0, IDLE)
    view.restart(1000.0)
    assert view.complaint(1000.0 + IDLE) == ""
    assert view.complaint(1000.0 + BUSY_FACTOR * IDLE) != ""


class Store:
    """torch's stores, as far as they are used."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def set(self, key: str, value: str) -> None:
        self.values[key] = value

    def get(self, key: str) -> str:
        return self.values[key]

    def check(self, keys: list[str]) -> bool:
        return all(key in self.values for key in keys)


def test_two_hear_of_each_other_and_one_is_missed() -> None:
    store, said = Store(), []
    first = Heartbeat(store, 0, 2, idle_s=0.6, give_up=said.append)
    second = Heartbeat(store, 1, 2, idle_s=0.6, give_up=said.append)
    with first.beating():
        with second.beating():
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                first.beat()
                second.beat()
                time.sleep(0.05)
        assert said == []
        assert json.loads(store.values["adaption/pulse/1"])["has_ended"]
        time.sleep(1.0)  # it has ended, and is not missed
        assert said == []
        store.values["adaption/pulse/1"] = json.dumps(vars(Pulse(10**6)))
        time.sleep(1.5)
    assert said and said[0].startswith("process 1 of 2 has said nothing for ")


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no POSIX signals")
def test_a_stopped_process_ends_the_run(tmp_path: Path) -> None:
    """kill -STOP of one of two: the other tells, and ends, within seconds here."""
    (tmp_path / "n.prototxt").write_text(NET)
    (tmp_path / "s.prototxt").write_text(SOLVER)
    child = (
        "import sys\nfrom adaption.solver import Listener, train\n"
        "import multiprocessing\n"
        "class Say(Listener):\n"
        "    def trained(self, iteration, loss, outputs):\n"
        "        print(*[p.pid for p in multiprocessing.active_children()], flush=True)\n"
        "if __name__ == '__main__':\n"
        "    train('s.prototxt', devices=['cpu', 'cpu'], listeners=[Say()])\n"
    )
    (tmp_path / "run.py").write_text(child)
    with subprocess.Popen(
        [sys.executable, "run.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "ADAPTION_RANK_TIMEOUT": "3",
            "OMP_NUM_THREADS": "1",
        },
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        other = int(process.stdout.readline().split()[0])
        os.kill(other, signal.SIGSTOP)
        said = process.communicate(timeout=60)[1]  # ends when the other is gone, too
    assert process.returncode == 2
    assert "adaption: process 1 of 2 has said nothing for " in said
    assert "go on from the last snapshot" in said
