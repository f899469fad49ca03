"""boundary.py, plain_stream.py: what a verb ends with is one message and an exit code."""

from __future__ import annotations

import errno
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NoReturn

import pytest

from adaption.cli.boundary import guarded
from adaption.cli.plain_stream import PlainStream
from adaption.errors import FieldError
from tests.golden_cases import CHECKOUT


def raising(error: BaseException) -> Callable[[], int]:
    def call() -> NoReturn:
        raise error

    return call


def ended(call: Callable[[], int]) -> int:
    return guarded(call, lambda: "adaption verb")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(FieldError("a", 1, "2"), "a is 1, allowed: 2", id="AdaptionError"),
        *(
            pytest.param(
                OSError(number, os.strerror(number), "f"), said, id=errno.errorcode[number]
            )
            for number, said in (
                (errno.ENOSPC, "f: .*no space left on device"),
                (errno.EFBIG, "f: .*file too large"),
                (errno.EIO, "f: .*input/output error"),
                (errno.EACCES, "f: .*permission denied"),
                (errno.EROFS, "f: .*read-only file system"),
                (errno.EISDIR, "f: .*is a directory"),
                (errno.ENAMETOOLONG, "f: .*file name too long"),
                (errno.EMFILE, "f: .*too many open files"),
            )
        ),
        pytest.param(OSError("of a library\nwithout a number"), "of a library", id="no errno"),
        pytest.param(RecursionError("maximum"), "the input nests too deep", id="RecursionError"),
        pytest.param(MemoryError(), "there is not enough memory", id="MemoryError"),
        pytest.param(
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            "there is not enough memory: ",
            id="torch's allocator",
        ),
        pytest.param(KeyError("x"), "a fault in adaption itself: KeyError: 'x'", id="our own"),
        pytest.param(
            ValueError("a\nb\x1b[2J"),
            "a fault in adaption itself: ValueError: a",
            id="control characters",
        ),
    ],
)
def test_one_message(error: BaseException, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert ended(raising(error)) == 2
    out, err = capfd.readouterr()
    assert not out
    lines = err.splitlines()
    assert re.match(f"adaption verb: {said}", lines[0]), err
    assert len(lines) <= 2
    assert err.replace("\n", "").isprintable()


def test_the_traceback_on_request(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTION_TRACEBACK", "1")
    assert ended(raising(KeyError("x"))) == 2
    assert "Traceback (most recent call last)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "code", "word"),
    [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated"), ("SIGHUP", 129, "terminated")],
)
@pytest.mark.parametrize("hidden", [False, True], ids=["plain", "within an import"])
def test_signals(
    name: str, code: int, word: str, hidden: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is staged is removed on the way, and a second signal does not disturb that."""
    cleaned = []

    def call() -> int:
        try:
            os.kill(os.getpid(), getattr(signal, name))
            time.sleep(10)
        except BaseException as error:
            os.kill(os.getpid(), getattr(signal, name))
            cleaned.append(error)
            if hidden:
                raise ImportError("cannot import name") from None
            raise
        return 0

    before = signal.getsignal(getattr(signal, name))
    assert ended(call) == code
    assert len(cleaned) == 1
    assert capfd.readouterr().err == f"adaption verb: {word}\n"
    assert signal.getsignal(getattr(signal, name)) is before


def test_signals_that_are_ignored_stay_so() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        def hangs_up() -> int:
            os.kill(os.getpid(), signal.SIGHUP)
            return 0

        assert ended(hangs_up) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_reader_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)

        def call() -> int:
            print("x" * 100_000, flush=True)
            return 0

        assert ended(call) == 0


def test_control_characters_are_spelled_out() -> None:
    out = io.StringIO()
    stream = PlainStream(out)
    print("a\x1b]0;title\x07\x1b[2J\r\u202eb\tc\nd", file=stream)
    stream.writelines(["\x9b31m", "\n"])
    assert out.getvalue().replace("\n", "").replace("\t", "").isprintable()
    assert "\\x1b]0;title\\x07" in out.getvalue()
    assert stream.trusted is out


PRINTS = (
    "import sys; from adaption.cli.boundary import guarded;"
    " sys.exit(guarded(lambda: print(sys.argv[1]) or 0, lambda: 'adaption verb'))"
)


def printed(
    text: str, redirection: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """How a verb ends that prints a text, in a process of its own."""
    command = f"{shlex.join([sys.executable, '-c', PRINTS, text])} {redirection}"
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **environment}
    return subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        pytest.param(">&-", 0, b"", id="closed"),
        pytest.param(">&- 2>&- <&-", 0, b"", id="all closed"),
        pytest.param(">/dev/full", 2, b"no space left on device", id="full"),
        pytest.param(">/dev/full 2>&1", 2, b"", id="both full"),
        pytest.param("| true; exit ${PIPESTATUS[0]}", 0, b"", id="no reader"),
    ],
)
def test_stdout_that_takes_nothing(redirection: str, code: int, said: bytes) -> None:
    done = printed("x" * 100_000, redirection)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_letters_that_stdout_has_not() -> None:
    done = printed("conv→1 \x1b[2J", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == rb"conv\u21921 \x1b[2J" + b"\n"


def test_main_is_guarded(capfd: pytest.CaptureFixture[str]) -> None:
    from adaption.cli.main import main

    assert main(["inspect", "/dev/null"]) == 2
    assert capfd.readouterr().err.startswith("adaption inspect: /dev/null: ")
