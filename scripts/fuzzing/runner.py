"""Runs inputs of a format in child processes, and counts how each ends."""

from __future__ import annotations

import importlib
import json
import mmap
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzzing.corpus import Corpus
from fuzzing.formats import FORMATS

__all__ = ["Result", "fuzz", "run_one"]

# Inputs of one child process, by whether the format is cheap; a fresh one forgets what leaked.
CHUNK = {True: 2000, False: 500}
SLOW_S = 10.0  # of processor time for one input: a busy machine is no fault
HANGS_S = 60.0  # in all, for one that waits for something
MEMORY = 2 << 30  # bytes that a child may take more than it has at its start
LOADED = ("h5py", "PIL.Image", "torch", "adaption.data", "adaption.job", "adaption.report.plot_log")
LIMIT = "64M"  # what files may ask for meanwhile, so that asking shows


# What a child is at, and how many inputs it has accepted and refused, in memory shared with it.
STATE = struct.Struct("<qqq")


class TooSlow(BaseException):
    """One input has taken longer than SLOW_S or HANGS_S."""


@dataclass
class Result:
    """How the inputs of a format have ended.

    accepted: taken as good. refused: one AdaptionError. faults: anything else, by what and where,
    with the first input that did it.
    """

    name: str
    tried: int = 0
    accepted: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, fault: str, number: int, count: int = 1) -> None:
        self.faults[fault] += count
        self.examples.setdefault(fault, number)


def fuzz(
    name: str, count: int, seed: int = 0, start: int = 0, corpus: Corpus | None = None
) -> Result:
    """Try `count` inputs of a format from number `start` on."""
    result = Result(name)
    began = time.monotonic()
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="adaption-fuzz-", dir=base) as folder:
        os.chdir(folder)
        try:
            for module in LOADED:  # once, not in every child
                importlib.import_module(module)
            os.environ["ADAPTION_MEMORY_LIMIT"] = "4G"
            FORMATS[name].prepare(corpus or Corpus())
            FORMATS[name].input(0, seed)
            os.environ["ADAPTION_MEMORY_LIMIT"] = LIMIT
            number, stop, asked_by = start, start + count, os.getppid()
            while number < stop and os.getppid() == asked_by:  # fuzz.py still runs
                end = min(number + CHUNK[FORMATS[name].is_cheap], stop)
                number = _chunk(result, name, seed, number, end)
        finally:
            os.chdir(before)
            os.environ.pop("ADAPTION_MEMORY_LIMIT", None)
    result.seconds = time.monotonic() - began
    return result


def _chunk(result: Result, name: str, seed: int, number: int, stop: int) -> int:
    """Run inputs in a child; returns the number to go on with, behind one that has ended it."""
    shared = mmap.mmap(-1, STATE.size)
    shared[:] = STATE.pack(number, 0, 0)
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fork beside threads; the child starts none
        child = os.fork()
    if not child:
        os.close(reader)
        _child(name, seed, number, stop, shared, writer)
    os.close(writer)
    status = _wait(child, shared)
    with os.fdopen(reader, "rb") as pipe:
        for line in map(json.loads, pipe.read().splitlines()):
            result.add(line["fault"], line["number"])
    at, accepted, refused = STATE.unpack(shared[:])
    result.accepted += accepted
    result.refused += refused
    if status == 0:
        result.tried += stop - number
        return stop
    result.tried += at - number + 1
    code = -os.waitstatus_to_exitcode(status)
    what = signal.Signals(code).name if code > 0 else f"exit code {-code}"
    result.add(f"the process ended: {what}" if code != signal.SIGKILL else "hangs, or ended", at)
    return int(at) + 1


def _wait(child: int, shared: mmap.mmap) -> int:
    """The status of a child; one that hangs is killed."""
    last, since = bytes(shared[:]), time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.02)
        now = bytes(shared[:])
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > 2 * HANGS_S:  # within C code, where no exception reaches
            os.kill(child, signal.SIGKILL)


def _child(name: str, seed: int, number: int, stop: int, shared: mmap.mmap, writer: int) -> None:
    code = 1
    try:
        with os.fdopen(writer, "w") as pipe:
            _run_all(name, seed, number, stop, shared, pipe)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _run_all(name: str, seed: int, number: int, stop: int, shared: mmap.mmap, pipe: Any) -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))

    accepted = refused = 0
    for index in range(number, stop):
        shared[:] = STATE.pack(index, accepted, refused)
        fault = run_one(name, index, seed)
        accepted += fault == ""
        refused += fault is None
        if fault:
            print(json.dumps({"fault": fault, "number": index}), file=pipe, flush=True)
    shared[:] = STATE.pack(stop, accepted, refused)


def _too_slow(signum: int, _: object) -> None:
    raise TooSlow(HANGS_S if signum == signal.SIGALRM else SLOW_S)


def run_one(name: str, number: int, seed: int = 0) -> str | None:
    """What is wrong with how an input ends: "" when it is accepted, None when it is refused."""
    from adaption.errors import AdaptionError

    chosen = FORMATS[name]
    path = Path(chosen.file)
    path.write_bytes(chosen.input(number, seed))
    signal.signal(signal.SIGPROF, _too_slow)
    signal.signal(signal.SIGALRM, _too_slow)
    signal.setitimer(signal.ITIMER_PROF, SLOW_S)
    signal.setitimer(signal.ITIMER_REAL, HANGS_S)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            chosen.run(path)
        return ""
    except AdaptionError as error:
        return _bad_message(error)
    except TooSlow as error:
        return f"takes longer than {error.args[0]:g} s"
    except BaseException as error:
        return f"{type(error).__name__} {_place(error)}: {str(error).partition(chr(10))[0][:80]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _bad_message(error: Any) -> str | None:
    text = str(error)
    if not error.fact or text.count("\n") > 1:
        return f"a message of {text.count(chr(10)) + 1} lines: {text[:80]!r}"
    if not text.replace("\n", "").isprintable():
        return f"control characters in a message: {text[:80]!r}"
    if len(text) > 20_000:
        return f"a message of {len(text)} characters: {text[:80]!r}"
    return None


def _place(error: BaseException) -> str:
    """The last line of the package that was running."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f"{os.sep}adaption{os.sep}" in f.filename] or frames
    last = ours[-1]
    return f"{Path(last.filename).parent.name}/{Path(last.filename).name}:{last.lineno}"
