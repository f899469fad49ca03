"""A solver prototxt as a checked message, and the nets it names. Caffe: Solver::InitTrainNet and
Solver::InitTestNets in solver.cpp."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adaption.errors import AdaptionError, FieldError, FileFormatError
from adaption.graph import NetSpec, NetState, build_spec, unknown_settings
from adaption.graph.filter import PHASES
from adaption.io import prototxt
from adaption.io.kinds import is_there
from adaption.io.netfile import read_net
from adaption.io.prototxt import Notice
from adaption.io.text import as_path, decode
from adaption.io.upgrade import needs_upgrade, upgrade_net, upgrade_solver
from adaption.proto import caffe_pb2
from adaption.solver.rates import check_policy

__all__ = ["NetRole", "SolverFile", "read_solver", "role_of_train_net", "roles_of_test_nets"]

MOST_AVERAGED = 1_000_000  # iterations whose losses are kept

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class SolverFile:
    """A solver definition in today's form, where it came from, and what is unknown in it."""

    message: caffe_pb2.SolverParameter = field(repr=False)
    file: str | None = None
    notices: tuple[str, ...] = ()
    unknown: tuple[Notice, ...] = field(default=(), repr=False)  # see graph.unknown_settings
    prefix: str = ""  # how snapshot_prefix was set, where the file does not say it all

    def refuse_unknown(self) -> None:
        """Raises: UnknownFieldError when unknown fields of the solver may change the numbers."""
        unknown = unknown_settings(self.unknown)
        if unknown is not None:
            raise unknown


@dataclass(frozen=True)
class NetRole:
    """A net that a solver builds, and what for.

    source: "net file: lenet.prototxt" or the solver's field that holds it, as Caffe's log says it.
    message: the definition with its final `state`, as Caffe prints it.
    """

    source: str
    spec: NetSpec
    message: caffe_pb2.NetParameter = field(repr=False)
    notices: tuple[str, ...] = ()


def read_solver(solver: PathLike | caffe_pb2.SolverParameter | SolverFile) -> SolverFile:
    """A solver prototxt, or message, checked.

    Raises: FileFormatError or ParseError on a bad file; FieldError on a value that is not allowed.
    """
    if isinstance(solver, SolverFile):
        return solver
    if isinstance(solver, caffe_pb2.SolverParameter):
        message = caffe_pb2.SolverParameter()
        message.CopyFrom(solver)
        file: str | None = None
        notices: tuple[str, ...] = ()
        found: list[Notice] = []
    else:
        document = prototxt.read(solver)
        if document.root.first("layer") or document.root.first("layers"):
            raise FileFormatError(
                "holds layers, it is a net", "give the solver: the file that says net: and base_lr:"
            ).at(file=solver)
        message, found = document.message(caffe_pb2.SolverParameter)
        file, notices = os.fspath(solver), tuple(str(notice) for notice in found)
    try:
        upgrade_solver(message)
        said = "" if file is None else _set_prefix(message, Path(file))
        _check(message)
    except AdaptionError as error:
        raise error.at(file=file) from None
    return SolverFile(message, file, notices, tuple(found), said)


def _set_prefix(p: caffe_pb2.SolverParameter, file: Path) -> str:
    """Name snapshots after the solver where it does not say how, or names a folder.

    Caffe: UpgradeSnapshotPrefixProperty in upgrade_proto.cpp. Returns: what Caffe logs then.
    """
    if not p.snapshot_prefix:
        p.snapshot_prefix = decode(os.fsencode(file.with_suffix("")))
        return f"snapshot_prefix was not specified and is set to {p.snapshot_prefix}"
    if Path(as_path(p.snapshot_prefix)).is_dir():
        joint = os.path.join(os.fsencode(as_path(p.snapshot_prefix)), os.fsencode(file.stem))  # noqa: PTH118 - keeps ./
        p.snapshot_prefix = decode(joint)
        return f"snapshot_prefix was a directory and is replaced to {p.snapshot_prefix}"
    return ""


def _check(p: caffe_pb2.SolverParameter) -> None:
    for name, least in (
        ("iter_size", 1),
        ("average_loss", 1),
        ("display", 0),
        ("snapshot", 0),
        ("test_interval", 0),
        ("max_iter", 0),
        ("weight_decay", 0),
    ):
        if getattr(p, name) < least:
            raise FieldError(name, getattr(p, name), f"{least} or more")
    for field_, value in p.ListFields():
        if isinstance(value, float) and not math.isfinite(value):
            raise FieldError(field_.name, value, "a finite number")
    if p.average_loss > MOST_AVERAGED:
        raise FieldError("average_loss", p.average_loss, f"at most {MOST_AVERAGED}")
    if "\0" in p.snapshot_prefix:
        raise FieldError("snapshot_prefix", p.snapshot_prefix, "a path")
    if p.regularization_type not in ("L1", "L2"):
        raise FieldError("regularization_type", p.regularization_type, "L1, L2")
    check_policy(p)
    if p.snapshot and not p.snapshot_prefix:
        raise FieldError("snapshot_prefix", "", 'a path, as in snapshot_prefix: "run/lenet"')


def role_of_train_net(
    solver: SolverFile, *, stages: Sequence[str] = (), level: int | None = None
) -> NetRole:
    """The one net to train. `stages` and `level` are added to the solver's `train_state`.

    Raises: FieldError when the solver names no train net, or several.
    """
    p = solver.message
    given = [
        (name, getattr(p, name))
        for name in ("net_param", "train_net_param", "net", "train_net")
        if p.HasField(name)
    ]
    if len(given) != 1:
        raise FieldError(
            "net",
            " and ".join(name for name, _ in given) or "not set",
            "one of net, net_param, train_net, train_net_param",
        ).at(file=solver.file)
    state = caffe_pb2.NetState()
    state.CopyFrom(p.train_state)
    if level is not None:
        state.level = level
    state.stage.extend(stages)
    return _role(solver, *given[0], PHASES.index("TRAIN"), state)


def roles_of_test_nets(solver: SolverFile) -> list[NetRole]:
    """The nets to test, in Caffe's order: test_net_param, test_net, then the solver's own net.

    Raises: FieldError when test_iter, test_state and the nets do not fit each other.
    """
    p = solver.message
    named: list[tuple[str, caffe_pb2.NetParameter | str]] = [
        *(("test_net_param", net) for net in p.test_net_param),
        *(("test_net", net) for net in p.test_net),
    ]
    own = next((name for name in ("net_param", "net") if p.HasField(name)), None)
    count = len(p.test_iter)
    try:
        if count < len(named) or (count > len(named) and own is None):
            raise FieldError(
                "test_iter", f"given {count} times", f"once per test net ({len(named)})"
            )
        named += [(own, getattr(p, own)) for _ in range(count - len(named)) if own]
        if p.test_state and len(p.test_state) != len(named):
            raise FieldError(
                "test_state",
                f"given {len(p.test_state)} times",
                f"not at all, or once per test net ({len(named)})",
            )
        if named and not p.test_interval:
            raise FieldError(
                "test_interval", p.test_interval, "1 or more, since there is a test net"
            )
        if any(count < 1 for count in p.test_iter):
            raise FieldError("test_iter", min(p.test_iter), "1 or more")
    except AdaptionError as error:
        raise error.at(file=solver.file) from None
    states = list(p.test_state) or [caffe_pb2.NetState()] * len(named)
    return [
        _role(solver, name, net, PHASES.index("TEST"), state)
        for (name, net), state in zip(named, states, strict=True)
    ]


def _role(
    solver: SolverFile,
    name: str,
    net: caffe_pb2.NetParameter | str,
    phase: int,
    state: caffe_pb2.NetState,
) -> NetRole:
    """The net of one solver field in its state: the phase, the net's own state, the solver's."""
    full = caffe_pb2.NetState(phase=phase)
    lines: Sequence[int | None] = ()
    unknown: Sequence[tuple[Notice, ...]] = ()
    notices: tuple[str, ...] = ()
    message = caffe_pb2.NetParameter()
    if isinstance(net, str):
        file: str | None = net
        read = read_net(_found(solver, name, as_path(net)))
        message.CopyFrom(read.message)
        lines, notices = read.lines, tuple(str(notice) for notice in read.notices)
        unknown = read.unknown
        source = f"{name} file: {net}"
    else:
        file = solver.file
        message.CopyFrom(net)
        if needs_upgrade(message):
            upgrade_net(message)
        source = name
    full.MergeFrom(message.state)
    full.MergeFrom(state)
    message.state.CopyFrom(full)
    spec = build_spec(
        message,
        NetState(PHASES[full.phase], full.level, tuple(full.stage)),
        file=file,
        lines=lines,
        unknown=unknown,
    )
    return NetRole(source, spec, message, notices)


def _found(solver: SolverFile, name: str, net: str) -> str:
    """The path as it stands: Caffe's paths are relative to the working directory."""
    if not is_there(net) and solver.file is not None:
        beside = Path(solver.file).parent / net
        if not Path(net).is_absolute() and is_there(beside):
            raise FieldError(
                name,
                net,
                f"a file relative to the working directory, {Path.cwd()}",
                f"it lies beside the solver: run this in {beside.parent.resolve()}",
            ).at(file=solver.file)
    return net
