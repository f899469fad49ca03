"""A solver's text with other nets in it; everything else stays as it is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from adaption.errors import UsageError
from adaption.io import prototxt
from adaption.io.prototxt import Field

__all__ = ["solver_with_nets"]

PathLike = str | os.PathLike[str]

PATHS = ("net", "train_net", "test_net")
INLINE = ("net_param", "train_net_param", "test_net_param")


def solver_with_nets(solver: PathLike, nets: Sequence[tuple[PathLike, PathLike]]) -> bytes:
    """The bytes of a solver prototxt that names other nets.

    A net's path is meant from the folder in which Caffe is started. Where it leads to the net from
    here, the new path is written for here; where it does so from the solver's own folder, for
    there.

    Args:
        nets: files that the solver may name, each with the one to name instead.
    Raises: UsageError when it names a net that is not among them, holds one, or names none.
    """
    document = prototxt.read(solver)
    for name in INLINE:
        if document.root.first(name) is not None:
            raise UsageError(
                f"{name} holds a net, allowed: the path of one",
                f'write the net to a file of its own, and {name.removesuffix("_param")}: "FILE"',
                file=solver,
            )
    fields = [f for name in PATHS for f in document.root.all(name)]
    if not fields:
        raise UsageError("names no net", 'write net: "FILE"', file=solver)
    for field in fields:
        field.set(prototxt.quote(_new_path(field, solver, nets)))
    return document.data()


def _new_path(field: Field, solver: PathLike, nets: Sequence[tuple[PathLike, PathLike]]) -> str:
    folders = (Path.cwd(), Path(solver).resolve().parent)
    for folder in folders:
        named = folder / field.string
        for net, out in nets:
            if named.exists() and Path(net).exists() and named.samefile(net):
                target = Path(out)
                if target.is_absolute():
                    return os.fspath(target)
                return os.path.relpath(Path.cwd() / target, folder)
    listed = ", ".join(os.fspath(net) for net, _ in nets) or "none that is written"
    raise UsageError(
        f"{field.name} is {field.string!r}, which is not among the nets that are widened: {listed}",
        f"add --also {field.string} OUT, or start in the folder that its path is meant from",
        file=solver,
        line=field.line,
    )
