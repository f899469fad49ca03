"""The edge of the shell: whatever a verb ends with becomes one message and an exit code.

Exit codes: 0 done, 1 a check that was asked for failed, 2 bad input or a refusal of the system,
130 interrupted, 143 terminated, 129 the terminal has gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

from adaption.cli.plain_stream import PlainStream
from adaption.errors import AdaptionError, ResourceError, one_line, system_error

__all__ = ["Ended", "guarded"]

BAD_INPUT = 2
TRACEBACK = "ADAPTION_TRACEBACK"  # environment variable: show where an error came from
CLEANING_S = 3.0  # further signals do not disturb what is being removed


class Ended(KeyboardInterrupt):
    """A signal asked the process to end; cleaning up goes on as after Ctrl-C."""


class _Signals:
    """Turns SIGINT, SIGTERM and SIGHUP into `Ended`, so that what is staged is removed."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.since = 0.0

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None and time.monotonic() - self.since < CLEANING_S:
            return
        self.number, self.since = number, time.monotonic()
        raise Ended

    @contextmanager
    def taken(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {}
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            # What whoever started us has set to be ignored (nohup, a shell's &) stays ignored.
            if number is None or signal.getsignal(number) in (signal.SIG_IGN, None):
                continue
            before[number] = signal.signal(number, self.handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def code(self) -> int:
        return 128 + (self.number or signal.SIGINT)

    @property
    def word(self) -> str:
        return "interrupted" if self.code == 130 else "terminated"


def guarded(call: Callable[[], int], name: Callable[[], str]) -> int:
    """What `call` returns, or the exit code of what it ended with, which is said on stderr.

    Args:
        name: of the program and verb, for the message; asked for when there is one.
    """
    _open_streams()
    signals = _Signals()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(PlainStream, before)
    try:
        with signals.taken():
            try:
                code = call()
                sys.stdout.flush()
                return code
            except SystemExit:  # argparse: help, or a wrong flag
                sys.stdout.flush()
                raise
            except BrokenPipeError:
                _silence(sys.stdout)  # its reader has gone; Python would complain at exit
                return 0
    except SystemExit:
        raise
    except BaseException as error:
        if signals.number is not None or isinstance(error, KeyboardInterrupt):
            # An interrupt within an import may come out as any other error.
            _say(f"{name()}: {signals.word}")
            return signals.code
        _say(f"{name()}: {_told(error)}")
        if TRACEBACK in os.environ:
            import traceback

            with suppress(OSError, ValueError):
                traceback.print_exception(error)
        return BAD_INPUT
    finally:
        sys.stdout, sys.stderr = before
        _settle(sys.stdout)
        _settle(sys.stderr)


def _told(error: BaseException) -> AdaptionError:
    """The error as the user should read it."""
    if isinstance(error, AdaptionError):
        return error
    if isinstance(error, OSError):
        return system_error(error)
    if isinstance(error, RecursionError):
        return AdaptionError("the input nests too deep", "flatten it, or correct what made it")
    if _is_out_of_memory(error):
        detail = one_line(str(error).strip().partition("\n")[0])
        return ResourceError(
            "there is not enough memory" + (f": {detail}" if detail else ""),
            "close other programs, or take less at a time (smaller batches, fewer samples)",
        )
    detail = one_line(str(error).strip().partition("\n")[0])
    what = f"{type(error).__name__}: {detail}{_place(error.__traceback__)}"
    return AdaptionError(
        f"a fault in adaption itself: {what}",
        f"please report it with the command and its files; {TRACEBACK}=1 shows the traceback",
    )


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    # torch says so in a RuntimeError on the CPU, in a class of its own on a GPU.
    said = str(error)
    return isinstance(error, RuntimeError) and (
        "DefaultCPUAllocator" in said or "out of memory" in said
    )


def _place(traceback: TracebackType | None) -> str:
    """Our line that was running last, as " (net/blob.py:12)"."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    found = ""
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file.startswith(package + os.sep):
            found = f" ({file[len(package) + 1 :]}:{traceback.tb_lineno})"
        traceback = traceback.tb_next
    return found


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # stderr may be as gone or as full as what failed
        print(text, file=sys.stderr, flush=True)


def _open_streams() -> None:
    """Give every standard stream a place, and stdout a way to print any letter.

    With a closed descriptor 1 the next file opened would get that number, and whatever prints
    would write into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123
    if getattr(sys.stdout, "errors", "") in ("strict", "surrogateescape"):
        with suppress(OSError, ValueError, AttributeError):
            sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _settle(stream: object) -> None:
    """Flush, or stop Python from failing to do it when it exits."""
    try:
        stream.flush()  # type: ignore[attr-defined]
    except (OSError, ValueError):
        _silence(stream)


def _silence(stream: object) -> None:
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[attr-defined]
