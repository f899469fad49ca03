"""Session: a model loaded into onnxruntime, in a process of its own unless this one wrote it."""

from __future__ import annotations

import atexit
import itertools
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import torch

from adaption.compare import onnx_worker
from adaption.export.onnx.file import is_held
from adaption.export.onnx.graph import Array

__all__ = ["Session", "SessionError", "in_this_process", "release_held"]

LARGE = 64 << 20  # bytes of constants

_number = itertools.count()
_here = threading.local()  # .depth: how many blocks of `in_this_process` are open


class SessionError(Exception):
    """onnxruntime refuses a model, or fails on it, or ends."""


@contextmanager
def in_this_process() -> Iterator[None]:
    """Run models of this block in this process: it has just written them, and it is quicker."""
    _here.depth = getattr(_here, "depth", 0) + 1
    try:
        yield
    finally:
        _here.depth -= 1


class Session:
    """A model loaded into onnxruntime, on the CPU, with as many threads as torch uses.

    The model given is used up: it is empty afterwards. `held` are constants that it lacks, `config`
    entries of onnxruntime's session options.
    Raises: SessionError.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        outputs: Sequence[str],
        held: Mapping[str, Array] = MappingProxyType({}),
        config: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._outputs = list(outputs)
        names = [t.name for t in model.graph.initializer if is_held(t)]
        options = dict(config)
        if sum(held[name].nbytes for name in names) > LARGE:
            # Packed copies of all weights would double what the session holds.
            options["session.disable_prepacking"] = "1"
        settings = {"held": names, "config": options, "threads": torch.get_num_threads()}
        try:
            content = model.SerializeToString()
        except Exception as error:  # protobuf's classes moved between its releases
            raise SessionError(_first_line(error)) from error
        model.Clear()  # onnxruntime makes a copy of its own while it loads
        way = _Inside if getattr(_here, "depth", 0) or not sys.executable else _Apart
        self._session: _Inside | _Apart = way(content, settings, held)

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once. Feeds that the model does not ask for are left aside.

        Raises: SessionError.
        """
        given = {name: array for name, array in feeds.items() if name in self._session.inputs}
        if not self._outputs:  # to onnxruntime, none means all
            return {}
        return self._session.run(self._outputs, given)


class _Inside:
    """onnxruntime in this process."""

    def __init__(self, content: bytes, settings: dict[str, Any], held: Mapping[str, Array]) -> None:
        try:
            self._session, self._kept = onnx_worker.loaded(content, settings, dict(held))
        except Exception as error:  # onnxruntime's own classes have no common base
            raise SessionError(_first_line(error)) from error
        self.inputs = {i.name for i in self._session.get_inputs()}

    def run(self, outputs: list[str], feeds: dict[str, Array]) -> dict[str, Array]:
        try:
            found = self._session.run(outputs, feeds)
        except Exception as error:
            raise SessionError(_first_line(error)) from error
        return dict(zip(outputs, found, strict=True))


class _Apart:
    """onnxruntime in the worker process."""

    def __init__(self, content: bytes, settings: dict[str, Any], held: Mapping[str, Array]) -> None:
        self._worker = _worker()
        self._number = next(_number)
        owner = self._worker.hold(held) if settings["held"] else None
        head = {"do": "load", "session": self._number, "owner": owner, **settings}
        answer, _ = self._worker.ask(head, {"model": np.frombuffer(content, np.uint8)})
        self.inputs = set(answer["inputs"])
        weakref.finalize(self, self._worker.drop, {"session": self._number})

    def run(self, outputs: list[str], feeds: dict[str, Array]) -> dict[str, Array]:
        head = {"do": "run", "session": self._number, "outputs": outputs}
        arrays = {name: np.asarray(array) for name, array in feeds.items()}
        return self._worker.ask(head, arrays)[1]


class _Worker:
    """A process that runs models, started with the first and used for all."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owners: dict[int, int] = {}  # id of a mapping of constants -> its number there
        self._dropped: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [sys.executable, str(Path(onnx_worker.__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def ask(
        self, head: dict[str, Any], arrays: dict[str, Array]
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """The answer. Raises: SessionError when it is an error, or the worker has ended."""
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None and answers is not None
        with self._lock:
            try:
                while self._dropped:
                    onnx_worker.send(questions, {"do": "drop", **self._dropped.pop()}, {})
                    onnx_worker.receive(answers)
                onnx_worker.send(questions, head, arrays)
                answer, made = onnx_worker.receive(answers)
            except (EOFError, OSError, ValueError):
                raise SessionError(self._end()) from None
        if "error" in answer:
            raise SessionError(str(answer["error"]))
        return answer, made

    def hold(self, arrays: Mapping[str, Array]) -> int:
        """The number under which the worker holds constants; they are sent once."""
        key = id(arrays)
        if key not in self._owners:
            number = next(_number)
            self.ask({"do": "hold", "owner": number}, dict(arrays))
            self._owners[key] = number
        return self._owners[key]

    def release(self, key: int) -> None:
        """Let go of constants whose mapping, of this id, has gone."""
        number = self._owners.pop(key, None)
        if number is not None:
            self.drop({"owner": number})

    def drop(self, what: dict[str, Any]) -> None:
        """Let the worker forget a session or constants, with the next question."""
        self._dropped.append(what)

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()
        self._process.kill()
        self._process.wait()

    def _end(self) -> str:
        """Why the worker has ended, in words."""
        self.close()
        code = self._process.returncode
        with suppress(ValueError):
            if code < 0 and code != -signal.SIGKILL:
                return f"onnxruntime ended on this model ({signal.Signals(-code).name})"
        return "onnxruntime ended on this model"


_workers: list[_Worker] = []
_starting = threading.Lock()


def _worker() -> _Worker:
    with _starting:
        if _workers and not _workers[-1].lives:
            _workers.pop().close()
        if not _workers:
            _workers.append(_Worker())
        return _workers[-1]


def release_held(key: int) -> None:
    """Forget constants of a model file that has gone; see `_Worker.release`."""
    for worker in _workers:
        worker.release(key)


@atexit.register
def _close_all() -> None:
    while _workers:
        _workers.pop().close()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
