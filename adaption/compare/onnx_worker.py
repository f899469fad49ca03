"""Runs models in onnxruntime, for `onnx_session`: called, or as a script in its own process.

onnxruntime ends its process on some damaged models. Here that is this process, and whoever asked
reads the end of a pipe. Nothing of adaption is imported, so that it is ready at once.

A message on either pipe: the length of its head (8 bytes, little-endian), the head in JSON, then
the bytes of the arrays that the head lists by name, type and shape.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from contextlib import suppress
from typing import IO, Any

import numpy as np

LENGTH = struct.Struct("<Q")


def send(pipe: IO[bytes], head: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    """Write one message."""
    listed = {n: np.ascontiguousarray(a).reshape(a.shape) for n, a in arrays.items()}
    head = {**head, "arrays": [[n, a.dtype.str, list(a.shape)] for n, a in listed.items()]}
    text = json.dumps(head).encode()
    pipe.write(LENGTH.pack(len(text)) + text)
    for array in listed.values():
        if array.nbytes:
            pipe.write(array.reshape(-1).view(np.uint8).data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Read one message. Raises: EOFError when the other side has gone."""
    (length,) = LENGTH.unpack(_exactly(pipe, LENGTH.size))
    head = json.loads(_exactly(pipe, length))
    arrays = {}
    for name, kind, shape in head.pop("arrays"):
        array = np.empty(shape, kind)
        if array.nbytes:
            _fill(pipe, array.reshape(-1).view(np.uint8).data)
        arrays[name] = array
    return head, arrays


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    content = bytearray(count)
    _fill(pipe, memoryview(content))
    return bytes(content)


def _fill(pipe: IO[bytes], out: memoryview) -> None:
    done = 0
    while done < len(out):
        read = pipe.readinto(out[done:])  # type: ignore[attr-defined]
        if not read:
            raise EOFError
        done += read


class Sessions:
    """The sessions of this process, by number, and the constants that several share, by owner."""

    def __init__(self) -> None:
        self.sessions: dict[int, Any] = {}
        self.held: dict[int, dict[str, Any]] = {}
        self.kept: dict[int, list[Any]] = {}  # what a session reads as long as it lives

    def hold(self, head: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
        self.held[head["owner"]] = arrays
        return {}

    def load(self, head: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
        constants = self.held.get(head["owner"], {})
        session, kept = loaded(arrays["model"].tobytes(), head, constants)
        self.sessions[head["session"]], self.kept[head["session"]] = session, kept
        return {"inputs": [i.name for i in session.get_inputs()]}

    def run(self, head: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
        found = self.sessions[head["session"]].run(head["outputs"], arrays)
        return {"made": dict(zip(head["outputs"], map(np.asarray, found), strict=True))}

    def drop(self, head: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
        self.sessions.pop(head.get("session", -1), None)
        self.kept.pop(head.get("session", -1), None)
        self.held.pop(head.get("owner", -1), None)
        return {}


def runtime() -> Any:
    """The package onnxruntime, silent: 1.29 and newer would report models to their makers."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at the import
    import onnxruntime

    return onnxruntime


def loaded(
    content: bytes, settings: dict[str, Any], constants: dict[str, Any]
) -> tuple[Any, list[Any]]:
    """A session, and what has to live as long as it does."""
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = settings["threads"]
    for key, value in settings["config"].items():
        options.add_session_config_entry(key, value)
    names = settings["held"]
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(constants[name]) for name in names]
    if names:
        options.add_external_initializers(names, values)
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(content, options, providers=providers), values


def main() -> None:
    # What libraries print must not get between messages.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    questions = sys.stdin.buffer
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sessions = Sessions()
    while True:
        try:
            head, arrays = receive(questions)
        except EOFError:
            return
        try:
            made = getattr(sessions, head["do"])(head, arrays)
        except Exception as error:  # onnxruntime's own classes have no common base
            send(answers, {"error": str(error).strip().partition("\n")[0]}, {})
            continue
        send(answers, {n: v for n, v in made.items() if n != "made"}, made.get("made", {}))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):  # the one who asked says it
        main()
