"""What displays say of rounding, against rounding the tensors that the net had."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from adaption.net import Net, Point
from adaption.solver import Solver, train
from adaption.solver.listener import Listener
from adaption.solver.log import CaffeLog, rounding_lines
from adaption.solver.rounding import RoundingShares
from adaption.solver.settings import NetRole
from tests.solver.runs import write_run

Rows = Sequence[dict[str, Any]]


class Watcher(Listener):
    """Keeps every tensor of the iterations that are displayed, beside who else watches."""

    def __init__(self) -> None:
        self.seen: dict[Point, list[Tensor]] = {}
        self.kept: list[dict[Point, list[Tensor]]] = []

    def built(self, role: NetRole, net: Net) -> None:
        if not hasattr(self, "net"):
            self.net = net
            net.watch({"weight", "bias", "activation"}, self.look)

    def look(self, point: Point, x: Tensor) -> None:
        self.seen.setdefault(point, []).append(x.clone())

    def starting(self, iteration: int) -> None:
        self.seen = {}

    def trained(self, iteration: int, loss: float, outputs: object) -> None:
        self.kept.append(self.seen)


def test_shares_are_those_of_rounding(here: Path) -> None:
    path = write_run(here, rounding="DETERMINISTIC", solver="max_iter: 9 iter_size: 2")
    told: list[tuple[int, Rows]] = []
    watcher = Watcher()
    solver = Solver(
        path, listeners=[watcher, RoundingShares(lambda i, rows: told.append((i, rows)))]
    )
    solver.solve()
    assert [i for i, _ in told] == [0, 4, 8]  # display: 4
    for (_, rows), seen in zip(told, watcher.kept, strict=True):
        assert {Point(row["layer"], row["kind"]) for row in rows} == set(solver.net.plan)
        for row in rows:
            fmt = solver.net.plan[Point(row["layer"], row["kind"])]
            x = torch.cat([t.flatten() for t in seen[Point(row["layer"], row["kind"])]])
            y = fmt.quantize(x)
            assert row["q"] == str(fmt)
            assert row["saturated"] == float((~fmt.inside(x)).double().mean())
            assert row["flushed"] == float(((x != 0) & (y == 0)).double().mean())
            assert row["zero"] == float((y == 0).double().mean())
        worst = [max(row["saturated"], row["flushed"]) for row in rows]
        assert worst == sorted(worst, reverse=True) and worst[0] > 0
    assert watcher.net.nodes[1].points.watch == watcher.look  # as it was


@pytest.mark.parametrize("rounding", ["DETERMINISTIC", "STOCHASTIC"])
def test_looking_changes_no_bit(rounding: str, here: Path) -> None:
    path = write_run(here, rounding=rounding, solver="max_iter: 6 display: 2 snapshot: 0")
    runs = [Solver(path), Solver(path, listeners=[RoundingShares(lambda i, rows: None)])]
    for run in runs:
        run.solve()
    for a, b in zip(*(run.params for run in runs), strict=True):
        assert torch.equal(a.blob.tensor, b.blob.tensor)


def few_bits(solver: Path) -> Path:
    """The run of `solver` with shorter words."""
    net = Path("net.prototxt")
    net.write_text(net.read_text().replace("bd: 1 ad: 7", "bd: 1 ad: 2").replace("ad: 4", "ad: 0"))
    return solver


def test_a_log_at_eight_bits_is_as_caffe_writes_it(here: Path) -> None:
    lines: list[str] = []
    path = write_run(here, rounding="DETERMINISTIC", solver="max_iter: 1")
    train(path, log=lambda source, text: lines.append(text), log_json="log.jsonl")
    assert not [line for line in lines if "Rounding of" in line]
    assert '"event": "rounding"' in Path("log.jsonl").read_text()


def test_both_logs_say_it(here: Path) -> None:
    lines: list[str] = []
    train(
        few_bits(write_run(here, rounding="DETERMINISTIC", solver="max_iter: 9")),
        log=lambda source, text: lines.append(text),
        log_json="log.jsonl",
    )
    events = [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]
    shown = [event for event in events if event["event"] == "rounding"]
    assert [event["iter"] for event in shown] == [0, 4, 8]
    found = [line for line in lines if "Rounding of" in line]
    want = [f"     {line}" for event in shown for line in rounding_lines(event["points"])]
    assert found == want and found
    assert re.fullmatch(
        r" {5}Rounding of \w+:\w+ to Q\d.\d: \S+% saturated, \S+% flushed to 0, \S+% zeros",
        found[0],
    )


def test_nothing_is_said_of_a_float_net(here: Path) -> None:
    told: list[int] = []
    run = Solver(write_run(here), listeners=[RoundingShares(lambda i, rows: told.append(i))])
    run.solve()
    assert told == []


def test_only_the_worst_that_matter_have_a_line() -> None:
    rows = [
        {"layer": f"l{i}", "kind": "weight", "q": "Q1.3", "bits": bits}
        | {"saturated": s, "flushed": f, "zero": 0.5}
        for i, (bits, s, f) in enumerate(
            [(4, 0.5, 0.1), (8, 0.5, 0.0), (7, 0.0, 0.4), (4, 0.011, 0.0), (4, 0.0, 0.009)]
        )
    ]
    lines: list[str] = []
    CaffeLog(lambda source, text: lines.append(text)).rounding(0, rows)
    assert lines == [
        "     Rounding of l0:weight to Q1.3: 50.0% saturated, 10.0% flushed to 0, 50.0% zeros",
        "     Rounding of l2:weight to Q1.3: 0.0% saturated, 40.0% flushed to 0, 50.0% zeros",
        "     Rounding of l3:weight to Q1.3: 1.1% saturated, 0.0% flushed to 0, 50.0% zeros",
    ]
