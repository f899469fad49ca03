"""export_net, and the table of what a net can be exported to.

A file in this folder declares one target, a function that writes it:

    @target("npz", suffix=".npz", help="integer codes in one npz")
    def write_npz(request: Request) -> Export: ...
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from adaption.errors import UsageError, bad_choice, near_miss, one_line
from adaption.io.limits import Size, within_limit
from adaption.io.netfile import NetFile, read_net
from adaption.io.outputs import keep_inputs
from adaption.io.precision_note import note_text, read_note
from adaption.net import Net
from adaption.net.finite import refuse_not_finite

__all__ = ["Export", "Request", "Target", "export_net", "target", "target_names"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Export:
    """What an export wrote. `details` are plain values, `table` is for people, `next` is a command
    to go on with."""

    to: str
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    table: str = ""
    next: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        sizes = [{"path": os.fspath(p), "size_bytes": p.stat().st_size} for p in self.files]
        return {"to": self.to, "files": sizes, "notes": list(self.notes), **self.details}

    def __str__(self) -> str:
        lines = [f"written: {p} ({p.stat().st_size} bytes)" for p in self.files]
        lines += [f"note: {one_line(note)}" for note in self.notes]
        return "\n".join([*lines, self.table] if self.table else lines)


@dataclass(frozen=True)
class Request:
    """What is asked of a target: the files of the net, where to write, and the settings given.

    `settings` holds those that the target knows, by name; what was not given is not in it.
    """

    net_path: Path
    weights_path: Path
    out: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    net_options: Mapping[str, Any] = field(default_factory=dict)  # of Net

    @cached_property
    def file(self) -> NetFile:
        """The prototxt."""
        return read_net(self.net_path)

    @cached_property
    def net(self) -> Net:
        """The net in phase TEST, with its weights. Raises: WeightsError where they are NaN."""
        made = Net(self.net_path, self.weights_path, **self.net_options)
        refuse_not_finite(made)
        return made


Writer = Callable[[Request], Export]


@dataclass(frozen=True)
class Target:
    """One row of the table. `suffix` ends the default name of what is written."""

    name: str
    write: Writer
    suffix: str
    help: str
    settings: tuple[str, ...]


_table: dict[str, Target] = {}


def target(
    name: str, *, suffix: str, help: str, settings: Sequence[str] = ()
) -> Callable[[Writer], Writer]:
    """Register a function as the writer of a target; `settings` are those that it reads.

    Raises: ValueError when the name is taken (our own mistake).
    """

    def register(write: Writer) -> Writer:
        if name in _table:
            raise ValueError(f"export target {name!r} is registered by {_table[name].write}")
        _table[name] = Target(name, write, suffix, help, tuple(settings))
        return write

    return register


@cache
def _targets() -> Mapping[str, Target]:
    package = importlib.import_module("adaption.export.targets")
    for module in pkgutil.iter_modules(package.__path__, "adaption.export.targets."):
        importlib.import_module(module.name)
    return _table


def target_names() -> tuple[str, ...]:
    """Every target, sorted."""
    return tuple(sorted(_targets()))


@within_limit
def export_net(
    net: PathLike,
    weights: PathLike,
    *,
    to: str,
    out: PathLike | None = None,
    net_options: Mapping[str, Any] | None = None,
    memory_limit: Size | None = None,
    **settings: Any,
) -> Export:
    """Write a net for another tool.

    Args:
        net, weights: prototxt and caffemodel.
        to: a target, one of `target_names()`.
        out: what to write; by default the prototxt's name with the target's suffix, in the
            current folder.
        net_options: for building the net: level, stages, dialect, end, python_modules,
            input_shapes; see Net.
        settings: of the target, such as style= of "onnx"; None counts as not given.
        memory_limit: the most that one array, image or blob may take, as in "8G".
    Raises: AdaptionError on bad input, and when the target cannot hold the net; UsageError when it
        does not know a setting.
    """
    table = _targets()
    if to not in table:
        raise bad_choice("export target", to, target_names())
    chosen = table[to]
    given = {name: value for name, value in settings.items() if value is not None}
    for name in given:
        if name not in chosen.settings:
            takers = [t for t in target_names() if name in table[t].settings]
            raise UsageError(
                f"target {to} takes no {name}, allowed: {', '.join(chosen.settings) or 'none'}",
                f"leave it out, or export to {' or '.join(takers)}"
                if takers
                else near_miss(name, chosen.settings) or "leave it out",
            )
    path = Path(out) if out is not None else Path(Path(net).stem + chosen.suffix)
    request = Request(Path(net), Path(weights), path, given, net_options or {})
    keep_inputs([request.out], [request.net_path, request.weights_path, given.get("data")])
    made = chosen.write(request)
    return replace(made, notes=(*made.notes, *_recipe_notes(request)))


def _recipe_notes(request: Request) -> list[str]:
    """Weights that a recipe has trained, in a net without its formats."""
    if read_note(request.weights_path) is None:
        return []
    note = request.net.unmet_note(request.weights_path)
    return [] if note is None else [note_text(request.weights_path, note)]
