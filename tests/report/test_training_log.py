"""Training logs as Caffe's releases and forks have written them over the years, and ours."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from adaption.errors import FileFormatError
from adaption.report.training_log import LogRow, TrainingLog, read_log


def log_of(folder: Path, text: str, name: str = "train.log") -> TrainingLog:
    path = folder / name
    path.write_text(text)
    return read_log(path)


def test_recorded_log(shared: Path) -> None:
    log = read_log(shared / "golden/cli/train.log")
    assert [(row.iteration, row.loss, row.lr) for row in log.train] == [
        (0, 2.37591, 0.01),
        (5, 2.04166, 0.00999625),
        (10, 1.64536, 0.00999251),
        (15, 1.05982, 0.00998876),
        (20, 0.886803, 0.00998503),
        (25, 0.526526, 0.00998129),
        (30, 0.71057, None),
    ]
    assert [(row.iteration, row.outputs) for row in log.tests[0]] == [
        (0, {"accuracy": 0.1375, "loss": 2.35573}),
        (10, {"accuracy": 0.5375, "loss": 1.72062}),
        (20, {"accuracy": 0.725, "loss": 0.936248}),
        (30, {"accuracy": 0.78125, "loss": 0.691706}),
    ]
    # From the line that says Solving, as in parse_log.py: 40:58.973824 to 40:59.073331.
    assert log.train[0].seconds == pytest.approx(0.099507)
    assert log.losses == {"loss"} and log.restarts == []


@pytest.mark.parametrize(
    ("lines", "row"),
    [
        pytest.param(
            "I0210 13:39:22.381027 25210 solver.cpp:204] Iteration 100, loss = 0.25\n"
            "I0210 13:39:22.381027 25210 solver.cpp:204] Iteration 100, lr = 0.00992565\n",
            LogRow(100, 0.0, 0.00992565, 0.25),
            id="2014, without train outputs",
        ),
        pytest.param(
            "I0315 10:00:00.000000  99 solver.cpp:218] Iteration 20 (1.6e-42 iter/s, 2.5s/20 iters)"
            ", loss = 6.98756\n"
            "I0315 10:00:00.500000  99 solver.cpp:237]     Train net output #0: loss1/loss ="
            " 6.95 (* 0.3 = 2.085 loss)\n"
            "I0315 10:00:00.500000  99 sgd_solver.cpp:105] Iteration 20, lr = 1e-05\n",
            LogRow(20, 0.0, 1e-5, 6.98756, {"loss1/loss": 6.95}),
            id="release 1.0",
        ),
        pytest.param(
            "I20230315 10:00:00.000000  99 solver.cpp:371] Iteration 40 (8.1 iter/s, 2.4s/20 iter),"
            " 0.1/30ep, loss = 3.5\n"
            "I20230315 10:00:01.000000  99 sgd_solver.cpp:180] Iteration 40, lr = 0.01, m = 0.9\n",
            LogRow(40, 0.0, 0.01, 3.5),
            id="fork with epochs, glog with years",
        ),
        pytest.param(
            "Iteration 7, loss = nan\n    Train net output #0: loss = -nan (* 1 = -nan loss)\n",
            LogRow(7, None, None, math.nan, {"loss": math.nan}),
            id="no prefix, not a number",
        ),
        pytest.param(
            "trainer_1 | I0210 13:39:22.381027 25210 solver.cpp:204] Iteration 3, loss = 1\n"
            "trainer_1 | I0210 13:39:22.381027 25210 solver.cpp:204]  Train net output #0: prob ="
            " 0.25\n"
            "trainer_1 | I0210 13:39:22.381027 25210 solver.cpp:204]  Train net output #1: prob ="
            " 0.75\n",
            LogRow(3, 0.0, None, 1.0, {"prob": 0.25, "prob[1]": 0.75}),
            id="prefix behind another, blob of two values",
        ),
    ],
)
def test_train_lines(lines: str, row: LogRow, tmp_path: Path) -> None:
    (found,) = log_of(tmp_path, lines).train
    assert repr(found) == repr(row)  # repr, since nan equals nothing


def test_test_lines(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        "I0101 00:00:00.000000 1 solver.cpp:341] Iteration 0, Testing net (#0)\n"
        "I0101 00:00:01.000000 1 solver.cpp:409]     Test loss: 0.5\n"
        "I0101 00:00:01.000000 1 solver.cpp:409]     Test net output #0: accuracy = 0.1\n"
        "I0101 00:00:01.000000 1 solver.cpp:341] Iteration 0, Testing net (#1)\n"
        "I0101 00:00:02.000000 1 solver.cpp:409]     Test net output #0: accuracy = 0.2\n"
        "I0101 00:00:03.000000 1 solver.cpp:500] Iteration 500, Testing net\n"
        "I0101 00:00:04.000000 1 solver.cpp:502] Test score #0: 0.98\n"
        "I0101 00:00:04.000000 1 solver.cpp:502] Test score #1: 0.0625\n",
    )
    assert log.tests == {
        0: [
            LogRow(0, 1.0, None, 0.5, {"accuracy": 0.1}),
            LogRow(500, 4.0, None, None, {"#0": 0.98, "#1": 0.0625}),
        ],
        1: [LogRow(0, 2.0, None, None, {"accuracy": 0.2})],
    }


def run(start: int, stop: int, loss: float, day: str = "0101") -> str:
    """Part of a log: a test every 200 iterations, and a line every 100."""
    lines = [f"I{day} 00:00:00.000000 1 solver.cpp:279] Solving net"]
    for i in range(start, stop, 100):
        head = f"I{day} 01:00:00.000000 1 solver.cpp:1]"
        if i % 200 == 0:
            lines.append(f"{head} Iteration {i}, Testing net (#0)")
            lines.append(f"{head}     Test net output #0: accuracy = {loss}")
        lines.append(f"{head} Iteration {i}, loss = {loss}")
        lines.append(f"{head} Iteration {i}, lr = {loss}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("is_one_file", [True, False], ids=["one file", "two files"])
def test_what_is_done_again_counts_once(is_one_file: bool, tmp_path: Path) -> None:
    parts = [run(0, 700, 1.0), run(300, 500, 2.0, "0102")]
    if is_one_file:
        log = log_of(tmp_path, "".join(parts))
    else:
        paths = [tmp_path / "a.log", tmp_path / "b.log"]
        for path, text in zip(paths, parts, strict=True):
            path.write_text(text)
        log = read_log(*paths)
    assert [(row.iteration, row.loss, row.lr) for row in log.train] == [
        (0, 1.0, 1.0),
        (100, 1.0, 1.0),
        (200, 1.0, 1.0),
        (300, 2.0, 2.0),
        (400, 2.0, 2.0),
    ]
    assert [(row.iteration, row.outputs["accuracy"]) for row in log.tests[0]] == [
        (0, 1.0),
        (200, 1.0),
        (400, 2.0),
    ]
    assert log.restarts == [300]
    assert log.train[-1].seconds == 25 * 3600  # from the first start


def test_a_new_year(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        "I1231 23:59:59.000000 1 solver.cpp:1] Iteration 0, loss = 1\n"
        "I0101 00:00:01.000000 1 solver.cpp:1] Iteration 1, loss = 1\n",
    )
    assert [row.seconds for row in log.train] == [0.0, 2.0]


def test_events(tmp_path: Path) -> None:
    """The file of --log-json, resumed once, its last line cut off."""
    events = [
        {"event": "start", "seconds": 1.0, "net": "lenet"},
        {"event": "test", "seconds": 2.0, "iter": 0, "net": 1, "outputs": {"p": [0.5, 0.25]}},
        {"event": "train", "seconds": 3.0, "iter": 0, "loss": 2.5, "lr": 0.1,
         "outputs": {"loss": 2.5}, "loss_weights": {"loss": 1.0}},
        {"event": "train", "seconds": 4.0, "iter": 100, "loss": 1.5, "lr": 0.1, "outputs": {}},
        {"event": "start", "seconds": 1.0, "net": "lenet"},
        {"event": "train", "seconds": 2.0, "iter": 50, "loss": 2.0, "lr": 0.1, "outputs": {}},
    ]  # fmt: skip
    text = "".join(json.dumps(event) + "\n" for event in events)
    log = log_of(tmp_path, text + '{"event": "train", "iter": 6', "train.jsonl")
    assert log.train == [
        LogRow(0, 3.0, 0.1, 2.5, {"loss": 2.5}),
        LogRow(50, 6.0, 0.1, 2.0),
    ]
    assert log.tests == {1: [LogRow(0, 2.0, None, None, {"p": 0.5, "p[1]": 0.25})]}
    assert log.restarts == [50] and log.losses == {"loss"}


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "train", "iter": 2, "loss": "x"}',
        '{"event": "train", "iter": 2, "outputs": [1]}',
        '{"event": "train", "iter": 2, "outputs": {"a": {}}}',
        '{"event": "train", "iter": -1}',
        '{"event": "train", "iter": 1e400}',
        '{"event": "test", "iter": 2, "net": "x"}',
        '{"event": "train", "iter": 2, "loss_weights": 3}',
        '{"event": "train", "iter": ' + "9" * 5000 + "}",
        "[" * 100_000,
        "Iteration " + "9" * 5000 + ", loss = 1",
        "I1128 22:00:00.0 1 solver.cpp:1] Iteration 2, loss = 1.2.3",
        "    Test net output #0: a = 1..2",
        "Test loss: what",
    ],
)
def test_a_line_that_is_garbled_tells_nothing(line: str, tmp_path: Path) -> None:
    log = log_of(tmp_path, f"Iteration 1, loss = 3\n{line}\nIteration 3, loss = 2\n")
    assert [(row.iteration, row.loss) for row in log.train] == [(1, 3.0), (3, 2.0)]


def test_json_form_holds_no_nan(tmp_path: Path) -> None:
    log = log_of(tmp_path, "Iteration 7, loss = nan\n")
    assert log.to_dict()["train"][0]["loss"] is None
    json.dumps(log.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "name: 'LeNet'\n",
            "holds no line of a training run, such as `Iteration 100, loss = 2.3`\n"
            "  fix: give what `caffe train` or `adaption train` writes to standard error, or the"
            " file of --log-json",
            id="no log",
        ),
        pytest.param(
            None,
            "no such file, a training log was expected\n  fix: check the path",
            id="no file",
        ),
    ],
)
def test_errors(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    if text is not None:
        path.write_text(text)
    with pytest.raises(FileFormatError) as caught:
        read_log(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"speedup_inference": "snapshot"},
        {"memory": [1.0]},
        {"size_ratio": 10**400},
        {"iter": 10**400},
        {"layers": [{"layer": "ip", "word_length": "8", "nonzero": 1.0}]},
        {"layers": [{"layer": ["ip"], "word_length": 8, "nonzero": 1.0}]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_events_with_values_of_another_type_are_left_out(
    wrong: dict[str, object], tmp_path: Path
) -> None:
    layers = [{"layer": "ip", "word_length": 8, "nonzero": 1.0}]
    train = {"event": "train", "iter": 3, "lr": 0.1, "loss": 1.0, "seconds": 1.0}
    event = {"event": "performance", "iter": 3, "speedup": 1.5, "layers": layers}
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(json.dumps(e) for e in (train, event, {**event, **wrong})) + "\n")
    assert read_log(log).performance == [event]
