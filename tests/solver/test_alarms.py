"""Alarms of a training run: what saturates, and what is NaN."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from adaption.solver import Listener, train
from tests.solver.runs import write_run


class Heard(Listener):
    """Keeps alarms, and the shares of the log."""

    def __init__(self) -> None:
        self.alarms: list[str] = []
        self.shares: list[Sequence[Mapping[str, Any]]] = []

    def notice(self, text: str) -> None:
        if text.startswith("alarm: "):
            self.alarms.append(text)

    def rounding(self, iteration: int, points: Sequence[Mapping[str, Any]]) -> None:
        self.shares.append(points)


@pytest.mark.parametrize(
    ("activation", "least"),
    [
        # In-place layers behind the point change its values: the share is of those it rounds.
        pytest.param("bd: 1 ad: 2", 0.4, id="much"),
        pytest.param("bd: 2 ad: 1", 0.1, id="little"),
        pytest.param("bd: 3 ad: 0", None, id="hardly any"),
    ],
)
def test_an_alarm_has_the_share_of_the_log(
    activation: str, least: float | None, here: Path
) -> None:
    path = write_run(here, rounding="DETERMINISTIC", solver="max_iter: 9")
    net = Path("net.prototxt")
    net.write_text(net.read_text().replace("bd: 4 ad: 4", activation))
    heard = Heard()
    train(path, listeners=[heard])
    assert len(heard.shares) == 3  # displays
    if least is None:
        assert heard.alarms == []
        return
    (point,) = [p for p in heard.shares[0] if p["layer"] == "act"]
    assert point["saturated"] > least
    share = f"act:activation {point['saturated']:.0%}"
    # Once, as no other tensor joins.
    assert heard.alarms == [f"alarm: iteration 0: values beyond their format's range: {share}"]


@pytest.mark.parametrize("stop_on_nan", [False, True])
def test_nan_is_said_once_and_ends_a_run_that_asks(stop_on_nan: bool, here: Path) -> None:
    heard = Heard()
    solver = write_run(here, solver="max_iter: 9 display: 2 snapshot: 0 base_lr: 1e30")
    result = train(solver, listeners=[heard], stop_on_nan=stop_on_nan)
    (alarm,) = heard.alarms
    assert re.fullmatch(
        r'alarm: iteration 2: the loss is nan, .*; blob 0 of layer "conv" .*', alarm
    )
    assert (result.diverged is not None) == stop_on_nan
    assert result.iter == (3 if stop_on_nan else 9)
