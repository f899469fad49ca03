"""Which nets a solver asks for, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adaption import glog
from adaption.errors import AdaptionError
from adaption.graph import insert_splits
from adaption.proto import caffe_pb2
from adaption.solver import Solver, train
from adaption.solver.settings import NetRole, read_solver, role_of_train_net, roles_of_test_nets
from tests.golden_cases import SHARED
from tests.solver.conftest import Copy
from tests.solver.runs import write_run

NET = """
name: "{name}"
layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 1 dim: 2 }} }} }}
layer {{
  name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {{ num_output: 1 }}
}}
"""
BASE = 'base_lr: 0.1 lr_policy: "fixed" '


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.prototxt").write_text(NET.format(name=name))
    return tmp_path


def solver_of(text: str) -> Path:
    path = Path("solver.prototxt")
    path.write_text(text)
    return path


def test_golden_solver_states(suite: Copy) -> None:
    """Train and test states of golden/filtering: layer names of every net."""
    folder = suite("filtering")
    want = json.loads((folder / "solver_states.json").read_text())
    solver = read_solver("solver_states.solver.prototxt")

    def names(role: NetRole) -> list[str]:
        return [layer.name for layer in insert_splits(role.spec).layers]

    assert names(role_of_train_net(solver)) == want["train"]
    assert [names(role) for role in roles_of_test_nets(solver)] == want["tests"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
def test_zoo_solvers_are_read() -> None:
    """Every published solver is understood as it stands."""
    count = 0
    for path in sorted((SHARED / "zoo").rglob("*.prototxt")):
        text = path.read_text(errors="replace")
        if "base_lr" not in text:
            continue
        count += 1
        read_solver(path)
    assert count


@pytest.mark.parametrize(
    ("lines", "train", "tests"),
    [
        pytest.param('net: "a.prototxt"', "net file: a.prototxt", [], id="net alone"),
        pytest.param(
            'net: "a.prototxt" test_iter: 1 test_iter: 1 test_interval: 5',
            "net file: a.prototxt",
            ["net file: a.prototxt"] * 2,
            id="net tested twice",
        ),
        pytest.param(
            'train_net: "a.prototxt" test_net: "b.prototxt" test_net: "c.prototxt" test_iter: 1'
            " test_iter: 1 test_interval: 5",
            "train_net file: a.prototxt",
            ["test_net file: b.prototxt", "test_net file: c.prototxt"],
            id="nets of their own",
        ),
        pytest.param(
            'net: "a.prototxt" test_net: "b.prototxt" test_iter: 1 test_iter: 1 test_interval: 5',
            "net file: a.prototxt",
            ["test_net file: b.prototxt", "net file: a.prototxt"],
            id="test net first, then the generic one",
        ),
        pytest.param(
            'net_param { layer { name: "in" type: "Input" top: "x" } }',
            "net_param",
            [],
            id="inline",
        ),
    ],
)
def test_nets(here: Path, lines: str, train: str, tests: list[str]) -> None:
    solver = read_solver(solver_of(BASE + lines))
    assert role_of_train_net(solver).source == train
    assert [role.source for role in roles_of_test_nets(solver)] == tests


def test_states(here: Path) -> None:
    lines = (
        'net: "a.prototxt" train_state { level: 2 stage: "x" } test_iter: 1 test_interval: 1'
        ' test_state { stage: "deep" }'
    )
    solver = read_solver(solver_of(BASE + lines))
    spec = role_of_train_net(solver, stages=["y"]).spec
    assert (spec.phase, spec.level, spec.stages) == ("TRAIN", 2, ("x", "y"))
    (test,) = roles_of_test_nets(solver)
    assert (test.spec.phase, test.spec.stages) == ("TEST", ("deep",))
    assert test.message.state == caffe_pb2.NetState(phase="TEST", stage=["deep"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            BASE + 'net: "a.prototxt" net_param {}',
            "solver.prototxt: net is 'net_param and net', allowed: one of net, net_param,"
            " train_net, train_net_param",
            id="two train nets",
        ),
        pytest.param(
            BASE,
            "solver.prototxt: net is 'not set', allowed: one of net, net_param, train_net,"
            " train_net_param",
            id="no net",
        ),
        pytest.param(
            'net: "a.prototxt" base_lr: 1 lr_policy: "cosine"',
            "solver.prototxt: lr_policy is 'cosine', allowed: fixed, step, exp, inv, multistep,"
            " poly, sigmoid",
            id="unknown policy",
        ),
        pytest.param(
            'net: "a.prototxt" base_lr: 1 lr_policy: "step" gamma: 0.1',
            "solver.prototxt: stepsize is 'not set', allowed: a value, since lr_policy is \"step\"",
            id="step without stepsize",
        ),
        pytest.param(
            BASE + 'net: "a.prototxt" type: "Lion"',
            "solver.prototxt: type is 'Lion', allowed: SGD, Nesterov, AdaGrad, RMSProp, AdaDelta,"
            " Adam",
            id="unknown type",
        ),
        pytest.param(
            BASE + 'net: "a.prototxt" type: "AdaGrad" momentum: 0.5',
            "solver.prototxt: momentum is 0.5, allowed: 0, since AdaGrad has none\n"
            "  fix: remove momentum",
            id="AdaGrad with momentum",
        ),
        pytest.param(
            BASE + 'net: "a.prototxt" type: "RMSProp" rms_decay: 1',
            "solver.prototxt: rms_decay is 1.0, allowed: 0 or more and below 1",
            id="rms_decay out of range",
        ),
        pytest.param(
            BASE + 'net: "a.prototxt" test_iter: 1',
            "solver.prototxt: test_interval is 0, allowed: 1 or more, since there is a test net",
            id="test net without interval",
        ),
        pytest.param(
            BASE + 'net: "a.prototxt" test_iter: 1 test_interval: 1 test_state {} test_state {}',
            "solver.prototxt: test_state is 'given 2 times', allowed: not at all, or once per test"
            " net (1)",
            id="two states for one net",
        ),
        pytest.param(
            BASE + 'net: "a.prototxt" iter_size: 0',
            "solver.prototxt: iter_size is 0, allowed: 1 or more",
            id="iter_size 0",
        ),
        pytest.param(
            NET.format(name="a"),
            "solver.prototxt: holds layers, it is a net\n"
            "  fix: give the solver: the file that says net: and base_lr:",
            id="a net",
        ),
        pytest.param(
            BASE + 'net: "a.prototxt" type: "SGD" solver_type: ADAM',
            "solver.prototxt: solver_type is 'ADAM', allowed: nothing, because type is given"
            " ('SGD')\n  fix: remove solver_type",
            id="legacy type beside type",
        ),
    ],
)
def test_bad_solvers(here: Path, text: str, message: str) -> None:
    with pytest.raises(AdaptionError) as caught:
        Solver(solver_of(text))
    assert str(caught.value) == message


def test_net_beside_the_solver(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caffe's paths are relative to the working directory; the message says where to go."""
    solver_of(BASE + 'net: "a.prototxt"')
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    with pytest.raises(AdaptionError) as caught:
        Solver("../solver.prototxt")
    assert str(caught.value) == (
        "../solver.prototxt: net is 'a.prototxt', allowed: a file relative to the working"
        f" directory, {here / 'elsewhere'}\n  fix: it lies beside the solver: run this in {here}"
    )


def test_legacy_type(here: Path) -> None:
    solver = Solver(solver_of(BASE + 'net: "a.prototxt" solver_type: ADAM momentum: 0.9'))
    assert solver.param.type == "Adam"
    assert len(solver.history) == 4


def test_seed_repeats_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_run(tmp_path, rounding="STOCHASTIC")
    runs = []
    for seed in (1, 1, 2):
        solver = Solver(path, seed=seed)
        solver.step(3)
        runs.append(solver.net.params["conv"][0].data.copy())
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


@pytest.mark.parametrize(
    ("file", "given", "prefix", "said"),
    [
        ("my.solver.prototxt", "", "my.solver", "was not specified and is set to my.solver"),
        ("sub/quick_solver.prototxt", "", "sub/quick_solver", "was not specified"),
        ("s.prototxt", 'snapshot_prefix: ""', "s", "was not specified"),
        ("s.prototxt", 'snapshot_prefix: "snaps"', "snaps/s", "was a directory"),
        ("sub/s.prototxt", 'snapshot_prefix: "snaps/"', "snaps/s", "was a directory"),
        ("s.prototxt", 'snapshot_prefix: "./"', "./s", "was a directory"),
        ("s.prototxt", 'snapshot_prefix: "snaps/net"', "snaps/net", ""),
        ("s.prototxt", 'snapshot_prefix: "fresh"', "fresh", ""),
    ],
)
@pytest.mark.parametrize("every", ["", "snapshot: 1"])
def test_where_snapshots_go(
    file: str,
    given: str,
    prefix: str,
    said: str,
    every: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As Caffe 1.0's UpgradeSnapshotPrefixProperty; without a prefix nothing was written at all."""
    monkeypatch.chdir(tmp_path)
    for folder in ("snaps", "sub"):
        Path(folder).mkdir()
    Path("n.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param {'
        " shape { dim: 2 dim: 3 } shape { dim: 2 dim: 1 } } }"
        ' layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {'
        ' num_output: 1 } } layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "t" }'
    )
    rest = f'net: "n.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 2 {every} {given}'
    Path(file).write_text(rest)
    solver = read_solver(file)
    assert solver.message.snapshot_prefix == prefix
    assert train(file).snapshot == Path(f"{prefix}_iter_2.solverstate")
    assert Path(f"{prefix}_iter_2.caffemodel").is_file()
    assert said in solver.prefix and bool(said) == bool(solver.prefix)
    train(file, log=glog.info)
    assert (said in capsys.readouterr().err) if said else True


def test_a_solver_without_a_file_has_no_name_to_give() -> None:
    message = caffe_pb2.SolverParameter(base_lr=0.1, lr_policy="fixed")
    assert read_solver(message).message.snapshot_prefix == ""
