"""Caffe's log lines: on standard error behind glog's prefix, for parse_log.py and old greps.

They are records of `logging.getLogger("adaption")`, whose handler here writes them; a program that
wants them elsewhere takes this handler away and adds its own. A record's `source` is the place.

`I1125 22:27:01.123456 12345 solver.cpp:228] Iteration 0, loss = 2.3`: severity, month and day,
local time, process, the place in Caffe's source. Newer glogs write the year, too; Caffe's
extract_seconds.py does not read that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime

from adaption.errors import plain_text

__all__ = ["Log", "error", "info", "silent", "warning"]

Log = Callable[[str, str], None]
"""Takes a place in Caffe's source and a text, as `info` does; what logs, takes one of these."""

SEVERITIES = "IWEF"
_LIKE_A_PREFIX = re.compile(r"\A[IWEF]\d{4}")


def info(source: str, text: str) -> None:
    """Write one line of severity INFO; only the first of several lines gets the prefix.

    Args:
        source: Caffe's file and line, "solver.cpp:228".
        text: the message, numbers as C++ streams print them ("%g").
    """
    _write("I", source, text)


def warning(source: str, text: str) -> None:
    """Write one line of severity WARNING; see `info`."""
    _write("W", source, text)


def error(source: str, text: str) -> None:
    """Write one line of severity ERROR; see `info`."""
    _write("E", source, text)


def silent(source: str, text: str) -> None:
    """Write nothing: the Log for callers who only want the result."""


def _write(severity: str, source: str, text: str) -> None:
    if SEVERITIES.index(severity) >= _least_severity():
        LOGGER.log(_LEVELS[severity], "%s", text, extra={"source": source})


class GlogHandler(logging.Handler):
    """Writes records as glog would, to what is standard error at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        severity = next((s for s, level in _LEVELS.items() if level >= record.levelno), "E")
        source = getattr(record, "source", f"{record.filename}:{record.lineno}")
        prefix = f"{severity}{datetime.now():%m%d %H:%M:%S.%f} {os.getpid():5d} {source}] "
        first, *more = plain_text(record.getMessage()).split("\n")
        # A name with a line end in it makes no line that looks like one of the log.
        lines = "\n".join([first, *(_LIKE_A_PREFIX.sub(r"  \g<0>", line) for line in more)])
        with contextlib.suppress(OSError):  # a full disk under a log must not end days of training
            print(prefix + lines, file=sys.stderr, flush=True)


def _logger() -> logging.Logger:
    found = logging.getLogger("adaption")
    if not found.handlers:  # else the program has said where the lines go
        found.addHandler(GlogHandler())
        found.propagate = False  # the root's handlers would write each line once more
    if found.level == logging.NOTSET:
        found.setLevel(logging.INFO)
    return found


_LEVELS = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR}
LOGGER = _logger()


def _least_severity() -> int:
    """Index of the least severity shown; glog's environment variable, as old scripts set it."""
    with contextlib.suppress(ValueError):
        return int(os.environ.get("GLOG_minloglevel", "0"))
    return 0
