"""What may be edited by hand, or cut: plans, measurements, sidecars, logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fuzzing.base import of_json, of_text, register
from fuzzing.corpus import Corpus
from fuzzing.made import KEPT, MADE, RECIPE_SIDECAR, SIDECAR, SMALL_NET


@register("plan", "plan.json", lambda c: [MADE.need("small_p.json")], of_json, cheap=False)
def plan(path: Path) -> None:
    from adaption.precision.proposal import Proposal

    found = Proposal.load(path)
    found.rows()
    json.dumps(found.head())
    _rewrite(found)


def _rewrite(found: Any) -> None:
    from adaption.io.netfile import read_net
    from adaption.precision.rewrite import rewrite

    rewrite(read_net(SMALL_NET), found)


@register("measured", "measured.json", lambda c: [MADE.need("small_m.json")], of_json, cheap=False)
def measured(path: Path) -> None:
    from adaption.precision.measure import Measurement
    from adaption.precision.propose import propose
    from adaption.report.measurement import measurement_grid

    found = Measurement.load(path)
    rows = list(found.rows())
    measurement_grid(found.net, found.samples, rows).plain()
    found.merge(found)
    found.facts()
    propose(SMALL_NET, found, bits=8)


@register("sidecar", SIDECAR, lambda c: [MADE.need(SIDECAR)], of_json, cheap=False)
def sidecar(path: Path) -> None:
    """Resume with a damaged sidecar."""
    _resume("a", path)


@register(
    "recipe-sidecar", RECIPE_SIDECAR, lambda c: [MADE.need(RECIPE_SIDECAR)], of_json, cheap=False
)
def recipe_sidecar(path: Path) -> None:
    """The same where a recipe keeps its state there."""
    _resume("b", path)


def _resume(prefix: str, path: Path) -> None:
    from adaption.solver import Solver

    if prefix not in KEPT:
        KEPT[prefix] = Solver(f"{prefix}.prototxt", seed=1)
    KEPT[prefix].restore(path.with_suffix(""))


def _logs(corpus: Corpus) -> list[bytes]:
    return [*(MADE.need(name) for name in ("a.log", "a.jsonl", "b.jsonl")), *corpus.logs()]


@register("log", "f.log", _logs, of_text)
def log(path: Path) -> None:
    from adaption.report.plot_log import LogPlot
    from adaption.report.training_log import read_log

    found = read_log(path)
    LogPlot((found,), ()).table()
    json.dumps(found.to_dict(), allow_nan=False)
