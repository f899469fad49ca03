"""Which layers stay in which NetState, split layers included, as the original recorded it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import text_format

from adaption.errors import AdaptionError, FieldError
from adaption.graph import NetState, build_spec, insert_splits
from adaption.io.netfile import read_net
from adaption.proto import caffe_pb2
from tests.golden_cases import SHARED, cases

FOLDER = SHARED / "golden" / "filtering"
# solver_states records the nets of a solver; its solver file is no net.
CASES = [c for c in cases("filtering") if not c.id.startswith("solver_states")]


def names(path: Any, state: NetState) -> list[str]:
    file = read_net(path)
    spec = build_spec(file.message, state, file=file.file, lines=file.lines)
    return [item.name for item in insert_splits(spec)]


@pytest.mark.parametrize("case", CASES)
def test_golden(case: Any) -> None:
    for row in json.loads(case.prototxt.with_suffix(".json").read_text()):
        given = row["state"]
        state = NetState(given["phase"], given["level"] or 0, tuple(given["stages"] or ()))
        if row["error"]:
            with pytest.raises(AdaptionError):
                names(case.prototxt, state)
        else:
            assert names(case.prototxt, state) == row["layers"], given


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no golden vectors at {SHARED}")
def test_states_of_a_solver() -> None:
    """train_state and test_state as a solver hands them over."""
    solver = text_format.Parse(
        (FOLDER / "solver_states.solver.prototxt").read_text(), caffe_pb2.SolverParameter()
    )
    want = json.loads((FOLDER / "solver_states.json").read_text())
    net = FOLDER / "solver_states.prototxt"
    train, tests = solver.train_state, solver.test_state
    assert names(net, NetState("TRAIN", train.level, tuple(train.stage))) == want["train"]
    got = [names(net, NetState("TEST", s.level, tuple(s.stage))) for s in tests]
    assert got == want["tests"]


def layers(text: str, *state: Any) -> list[str]:
    message = text_format.Parse(text, caffe_pb2.NetParameter())
    return [item.name for item in build_spec(message, NetState(*state))]


ONE = 'layer {{ name: "a" type: "DummyData" top: "a" {} }}'


@pytest.mark.parametrize(
    ("rule", "state", "kept"),
    [
        pytest.param("", ("TEST",), True, id="no rule"),
        pytest.param("include { }", ("TEST",), True, id="an empty include holds for every state"),
        pytest.param("exclude { }", ("TEST",), False, id="an empty exclude, too"),
        pytest.param("include { phase: TRAIN }", ("TEST",), False, id="phase"),
        pytest.param("include { phase: TRAIN } include { min_level: 2 }", ("TEST", 2), True,
                     id="one of two rules is enough"),
        pytest.param("include { phase: TEST min_level: 2 }", ("TEST", 1), False,
                     id="all conditions of one rule"),
        pytest.param("include { min_level: -1 max_level: -1 }", ("TEST", -1), True,
                     id="negative levels"),
        pytest.param("include { max_level: 0 }", ("TEST", 1), False, id="max_level 0 is a rule"),
        pytest.param('include { stage: "a" stage: "b" }', ("TEST", 0, ("b", "c", "a")), True,
                     id="all stages"),
        pytest.param('include { stage: "a" stage: "b" }', ("TEST", 0, ("a",)), False,
                     id="one stage missing"),
        pytest.param('include { not_stage: "a" not_stage: "b" }', ("TEST", 0, ("b",)), False,
                     id="any not_stage"),
        pytest.param('exclude { stage: "a" not_stage: "b" }', ("TEST", 0, ("a", "b")), True,
                     id="exclude needs all, too"),
    ],
)  # fmt: skip
def test_rule(rule: str, state: Any, kept: bool) -> None:
    assert layers(ONE.format(rule), *state) == (["a"] if kept else [])


def test_stages_of_the_file_and_of_the_caller_add_up() -> None:
    text = 'state { stage: "f" phase: TRAIN level: 5 }' + ONE.format(
        'include { stage: "f" stage: "c" phase: TEST max_level: 4 }'
    )
    message = text_format.Parse(text, caffe_pb2.NetParameter())
    spec = build_spec(message, NetState("TEST", 1, ("c", "f", "c")))
    assert [item.name for item in spec] == ["a"]
    assert (spec.phase, spec.level, spec.stages) == ("TEST", 1, ("f", "c"))


def test_bad_phase() -> None:
    with pytest.raises(FieldError) as caught:
        NetState("VAL")
    assert str(caught.value) == "phase is 'VAL', allowed: TRAIN, TEST"
