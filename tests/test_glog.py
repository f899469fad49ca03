"""Log lines are read by Caffe's own tools; the expressions are those of tools/extra."""

from __future__ import annotations

import logging
import os
import re
from datetime import datetime, timedelta

import pytest

from adaption import glog


def test_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    before = datetime.now()
    glog.info("solver.cpp:228", "Iteration 0, loss = 2.3")
    shown = capsys.readouterr()
    assert shown.out == ""
    match = re.fullmatch(
        r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +(\d+) solver\.cpp:228\] Iteration 0, loss = 2\.3\n",
        shown.err,
    )
    assert match, shown.err
    assert int(match[1]) == os.getpid()
    # extract_seconds.py: month, day and time of the first two words, year from the file.
    day, time = shown.err.split()[:2]
    written = datetime.strptime(f"{before.year}{day[1:]} {time}", "%Y%m%d %H:%M:%S.%f")
    assert timedelta(0) <= written - before < timedelta(minutes=1)


def test_only_the_first_line_has_the_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    glog.warning("net.cpp:58", "Initializing net from parameters: \nname: x")
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("W") and first.endswith(
        "net.cpp:58] Initializing net from parameters: "
    )
    assert second == "name: x"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        pytest.param("0", "IW", id="INFO"),
        pytest.param("1", "W", id="WARNING"),
        pytest.param("2", "", id="ERROR"),
        pytest.param("x", "IW", id="no number counts as 0"),
    ],
)
def test_minloglevel(
    level: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GLOG_minloglevel", level)
    glog.info("a.cpp:1", "text")
    glog.warning("a.cpp:2", "text")
    assert "".join(line[0] for line in capsys.readouterr().err.splitlines()) == shown


def test_silent(capsys: pytest.CaptureFixture[str]) -> None:
    glog.silent("a.cpp:1", "text")
    assert capsys.readouterr().err == ""


def test_a_program_may_take_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Records of the logger `adaption`: with another handler, nothing goes to standard error."""
    logger = logging.getLogger("adaption")
    taken: list[logging.LogRecord] = []
    other = logging.Handler()
    other.emit = taken.append  # type: ignore[method-assign]
    before = logger.handlers
    logger.handlers = [other]
    try:
        glog.warning("net.cpp:58", "text with 100 %s")
    finally:
        logger.handlers = before
    (record,) = taken
    assert (record.levelname, record.getMessage()) == ("WARNING", "text with 100 %s")
    assert vars(record)["source"] == "net.cpp:58"
    assert capsys.readouterr().err == ""


def test_level_of_the_logger(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("adaption")
    logger.setLevel(logging.ERROR)
    try:
        glog.info("a.cpp:1", "text")
    finally:
        logger.setLevel(logging.INFO)
    assert capsys.readouterr().err == ""
