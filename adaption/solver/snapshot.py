"""Snapshots: weights, solver state, and a sidecar for what Caffe's files cannot carry.

Caffe: Solver::Snapshot, Solver::Restore in solver.cpp; SGDSolver::SnapshotSolverState.

`PREFIX_iter_N.caffemodel` and `PREFIX_iter_N.solverstate` (both `.h5` with snapshot_format HDF5)
are Caffe's. The sidecar `<solverstate>.json` holds where the data stand and the random numbers of
every net, and a checksum of the weights. All files are written under other names first; then they
get their own, the solver state last, so that a run that is killed at any moment leaves either a
whole snapshot or files of one that nothing names yet. Where an older snapshot of the same name was
there, the checksum tells an old state from new weights.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adaption.errors import AdaptionError, FileFormatError, WeightsError
from adaption.io.atomic import atomic_write, together
from adaption.io.caffemodel import read_weights, write_weights
from adaption.io.files import read_json
from adaption.io.kinds import is_there, kind_of
from adaption.io.solverstate import SolverState, read_state, write_state
from adaption.io.text import as_path
from adaption.io.weights import WeightBlob, Weights
from adaption.net import Net
from adaption.net.plan import layer_formats, write_formats
from adaption.proto import caffe_pb2
from adaption.solver import checksum
from adaption.solver.precision_state import restore_precision, save_precision
from adaption.solver.snapshot_files import Files, sidecar_of
from adaption.solver.training import Training
from adaption.solver.updates import UPDATES

__all__ = ["restore", "save"]

VERSION = 1
# What reading values of another type than they should have may end in.
_DAMAGE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
HDF5 = caffe_pb2.SolverParameter.HDF5
# Solver fields whose change between snapshot and resume is worth a word.
WATCHED = (
    *("type", "base_lr", "lr_policy", "gamma", "power", "stepsize", "stepvalue", "max_iter"),
    *("momentum", "momentum2", "rms_decay", "delta", "weight_decay", "regularization_type"),
    *("clip_gradients", "iter_size"),
)


def save(solver: Training) -> Files:
    """Write a snapshot of a solver; see the head of this file for the order.

    Of several processes the first writes, what all of them tell of their random numbers.
    Raises: UsageError when the folder of snapshot_prefix is missing.
    """
    p = solver.param
    hdf5 = p.snapshot_format == HDF5
    stem = f"{as_path(p.snapshot_prefix)}_iter_{solver.iter}"
    end = ".h5" if hdf5 else ""
    files = Files(Path(f"{stem}.caffemodel{end}"), Path(f"{stem}.solverstate{end}"))
    draws = solver.ranks.from_each(_draws(solver.net))
    if not solver.ranks.is_first:
        return files
    file_format = "HDF5" if hdf5 else "binary proto"
    with together():
        for listener in solver.listeners:
            listener.snapshotting(os.fspath(files.weights), "weights", file_format)
        layers = list(solver.net.weights(with_diff=p.snapshot_diff))
        definition = None if hdf5 else _definition(solver.net)
        write_weights(files.weights, layers, definition=definition)
        for listener in solver.listeners:
            listener.snapshotting(os.fspath(files.state), "state", file_format)
        history = [WeightBlob.of(h.cpu().numpy()) for h in solver.history]
        running = _running_state(solver, history, draws, save_precision(solver, files))
        running["weights_crc32"] = checksum.of_weights(layers)
        with atomic_write(files.sidecar, "w") as out:
            out.write(json.dumps(running, indent=1) + "\n")
        state = SolverState(solver.iter, os.fspath(files.weights), history, solver.current_step)
        write_state(files.state, state)
    return files


def _definition(net: Net) -> caffe_pb2.NetParameter:
    """The net as Caffe stores it with its weights (Net::ToProto), with the formats in force."""
    message = caffe_pb2.NetParameter(name=net.name)
    for node in net.nodes:
        layer = message.layer.add()
        layer.CopyFrom(node.spec.message)
        semantics = node.runtime.original_semantics
        stated = layer_formats(node.spec, original_semantics=semantics)
        # A bias format that the layer has no bias for is no change (lpfp_param's round_bias).
        if dict(node.formats.items()) != {k: f for k, f in stated.items() if node.has_point(k)}:
            write_formats(node.formats, layer)
    return message


def restore(solver: Training, path: str | os.PathLike[str]) -> bool:
    """Bring a solver to where a snapshot stands; returns whether it had a sidecar.

    Of several processes the first reads the files, and the others follow it.
    Raises: FileFormatError, WeightsError.
    """
    path = Path(path)
    found = _read(solver, path) if solver.ranks.is_first else None
    solver.iter, solver.current_step, sidecar = solver.ranks.from_first(found)
    solver.ranks.copy_first([*(p.blob.tensor.detach() for p in solver.params), *solver.history])
    solver.saved = None
    if sidecar is not None:
        _restore_running_state(solver, sidecar, path)
    _restore_precision(solver, sidecar, path)
    return sidecar is not None


def _restore_precision(solver: Training, sidecar: dict[str, Any] | None, path: Path) -> None:
    try:
        restore_precision(solver, None if sidecar is None else sidecar.get("precision"), path)
    except AdaptionError:
        raise
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> FileFormatError:
    return FileFormatError(
        f"is damaged: {error!r}",
        "remove it to resume as Caffe does, with data and random numbers anew",
        file=sidecar_of(path),
    )


def _read(solver: Training, path: Path) -> tuple[int, int, dict[str, Any] | None]:
    """Load weights and history; returns iteration, step of the learning rate, and sidecar."""
    state = read_state(path)
    if not (0 <= state.iter < 1 << 31 and 0 <= state.current_step < 1 << 31):
        raise FileFormatError(
            f"is damaged: iteration {state.iter}, step {state.current_step}",
            "resume from an earlier snapshot",
            file=path,
        )
    own = [tuple(h.shape) for h in solver.history]
    found = [_shape_for(blob, shape) for blob, shape in zip(state.history, own, strict=False)]
    if len(state.history) != len(own) or found != own:
        raise _misfit(solver, [blob.shape for blob in state.history]).at(file=path)
    sidecar = _read_sidecar(solver, state, path)
    if state.learned_net:
        weights = read_weights(_learned_net(solver, state, path))
        _check_weights(weights, state, path)
        solver.net.load(weights)
    for target, blob in zip(solver.history, state.history, strict=True):
        target.copy_(torch.from_numpy(blob.copy().reshape(target.shape)))
    return state.iter, state.current_step, sidecar


def _check_weights(weights: Weights, state: SolverState, path: Path) -> None:
    """Refuse weights of another snapshot than the state: its sidecar names their checksum.

    Where the sidecar itself is of another snapshot than the state, weights that are that one's are
    not the state's. Raises: WeightsError.
    """
    sidecar = _sidecar_of(path)
    stated = sidecar.get("weights_crc32")
    if stated is None:
        return
    is_own = sidecar.get("history_crc32") == checksum.of_blobs(state.history)
    if (checksum.of_weights(weights) == stated) != is_own:
        raise WeightsError(
            f"these are not the weights that {os.fspath(path)!r} was written with; a later snapshot"
            " of the same name was not finished, or they were changed",
            "resume from another snapshot; or start from the weights alone, with --weights",
        ).at(file=weights.file)


def _sidecar_of(path: Path) -> dict[str, Any]:
    """The values of a state's sidecar, empty where there is none that can be read."""
    try:
        found = read_json(sidecar_of(path), "a sidecar")
    except AdaptionError:
        return {}
    return found if isinstance(found, dict) else {}


def _shape_for(blob: WeightBlob, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Legacy states store every blob with four axes."""
    return shape if blob.legacy and blob.count == int(np.prod(shape)) else tuple(blob.shape)


def _misfit(solver: Training, found: Sequence[tuple[int, ...]]) -> WeightsError:
    count, slots = len(solver.params), solver.update.slots
    fix = "resume with the solver and the net that wrote this state"
    if len(found) in (count, 2 * count) and len(found) != count * slots:
        other = [name for name, kind in UPDATES.items() if kind.slots != slots]
        fix = f"the state is of another solver type ({', '.join(other)}); " + fix
    if len(found) != count * slots:
        return WeightsError(
            f"the state holds {len(found)} history blobs, {solver.param.type} needs"
            f" {count * slots} for the {count} parameters of this net",
            fix,
        )
    names = [f"{p.layer}[{p.index}]" for p in solver.params] * slots
    bad = [
        f"{name} is {have} in the state, {tuple(own.shape)} in the net"
        for name, have, own in zip(names, found, solver.history, strict=True)
        if have != tuple(own.shape)
    ]
    return WeightsError(f"history blobs do not fit: {'; '.join(bad[:6])}", fix)


def _learned_net(solver: Training, state: SolverState, path: Path) -> Path:
    """The caffemodel that a state names: as written, else beside the state (a moved run)."""
    named = Path(state.learned_net)
    if is_there(named):
        return named
    beside = path.parent / named.name
    if not is_there(beside):
        raise FileFormatError(
            f"the state's caffemodel {state.learned_net!r} does not exist, nor does"
            f" {os.fspath(beside)!r}",
            "put the caffemodel of the same iteration beside the state",
            file=path,
        )
    solver.notice(f"{state.learned_net} is not there: taking {beside}")
    return beside


# -- the sidecar -------------------------------------------------------------------------------


def _running_state(
    solver: Training,
    history: Sequence[WeightBlob],
    draws: Sequence[dict[str, Any]],
    precision: dict[str, Any],
) -> dict[str, Any]:
    loss = solver.loss
    return {
        "adaption_solver_state": VERSION,
        "iter": solver.iter,
        "history_crc32": checksum.of_blobs(history),
        "solver": {name: _plain(getattr(solver.param, name)) for name in WATCHED},
        "loss": {"start": loss.start, "losses": loss.losses, "value": loss.value},
        "nets": [_net_state(net) for net in _nets(solver)],
        "ranks": list(draws[1:]),  # random numbers of the train nets of further processes
        "precision": precision,
        **({} if solver.teacher is None else {"teacher": solver.teacher.to_dict()}),
    }


def _nets(solver: Training) -> Iterator[Net]:
    yield solver.net
    yield from solver.test_nets


def _net_state(net: Net) -> dict[str, Any]:
    return {
        **_draws(net),
        "layers": {
            node.spec.name: state
            for node in net.nodes
            if (state := node.layer.save_state(node.runtime))
        },
    }


def _draws(net: Net) -> dict[str, Any]:
    """What is each process's own: the net's random numbers (those on its device and, where that is
    another, on the host), and delayed exponents."""
    generators = {"generator": net.generator, "host_generator": net.host_generator}
    if net.generator is net.host_generator:
        del generators["host_generator"]
    draws: dict[str, Any] = {
        name: base64.b64encode(bytes(generator.get_state().tolist())).decode()
        for name, generator in generators.items()
    }
    peaks = {n.spec.name: n.points.save_peaks() for n in net.nodes if n.points.peaks}
    return {**draws, "peaks": peaks} if peaks else draws


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else list(value)


def _read_sidecar(solver: Training, state: SolverState, path: Path) -> dict[str, Any] | None:
    """The sidecar of a state, None (and a notice) where there is none that belongs to it."""
    sidecar = sidecar_of(path)
    if solver.original_semantics:
        why = "is resumed with the original's semantics"
    elif kind_of(sidecar) != "text":
        why = "has no sidecar"
    else:
        try:
            found = read_json(sidecar, "a sidecar")
            if found["adaption_solver_state"] != VERSION:
                why = f"has a sidecar of version {found['adaption_solver_state']}"
            elif (found["iter"], found["history_crc32"]) != (
                state.iter,
                checksum.of_blobs(state.history),
            ):
                why = "has a sidecar of another snapshot"
            elif len(found["nets"]) != 1 + len(solver.test_nets):
                why = "has a sidecar of a solver with other test nets"
            else:
                return dict(found)
        except (AdaptionError, *_DAMAGE):
            why = "has a damaged sidecar"
    solver.notice(
        f"{path} {why}: data and random numbers start anew, as with Caffe's own snapshots"
    )
    return None


def _tell_changes(solver: Training, before: dict[str, Any]) -> None:
    for name, old in before.items():
        new = _plain(getattr(solver.param, name, old))
        if new != old:
            solver.notice(f"{name} was {old} when the snapshot was made, now it is {new}")


def _tell_teacher(solver: Training, before: dict[str, Any] | None) -> None:
    now = None if solver.teacher is None else solver.teacher.to_dict()
    if now != before:
        old, new = (
            "none" if said is None else ", ".join(f"{k} {v:g}" for k, v in said.items())
            for said in (before, now)
        )
        solver.notice(f"the teacher was {old} when the snapshot was made, now it is {new}")


def _restore_running_state(solver: Training, sidecar: dict[str, Any], path: Path) -> None:
    try:
        _tell_changes(solver, sidecar.get("solver", {}))
        loss = sidecar["loss"]
        solver.loss.start, solver.loss.value = int(loss["start"]), float(loss["value"])
        solver.loss.losses = [float(v) for v in loss["losses"]][: solver.loss.window]
        rank = solver.ranks.rank
        others = sidecar.get("ranks", [])
        for i, (net, state) in enumerate(zip(_nets(solver), sidecar["nets"], strict=False)):
            draws = state if i or not rank else others[rank - 1] if rank <= len(others) else None
            _restore_net(net, state, draws)
        _tell_teacher(solver, sidecar.get("teacher"))
        for text in _told_by_place(solver, sidecar, len(others) + 1):
            solver.notice(text)
    except AdaptionError:
        raise
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def _told_by_place(solver: Training, sidecar: dict[str, Any], count: int) -> Iterator[str]:
    """Why a run does not go on as it would have where the snapshot was made."""
    if count != solver.ranks.count:
        yield (
            f"the snapshot is of a run in {count} process{'es' * (count > 1)}, this one has"
            f" {solver.ranks.count}: batches and random numbers are others"
        )
    was_on_gpu, is_on_gpu = (
        "host_generator" in sidecar["nets"][0],
        solver.net.generator is not solver.net.host_generator,
    )
    if was_on_gpu != is_on_gpu:
        yield (
            f"the snapshot was made on {'a GPU' if was_on_gpu else 'the CPU'}: here, dropout and"
            " stochastic rounding draw other numbers"
        )


def _restore_net(net: Net, state: dict[str, Any], draws: dict[str, Any] | None) -> None:
    if draws is not None:
        _restore_draws(net, draws)
    layers = state["layers"]
    for node in net.nodes:
        node.layer.load_state(node.runtime, layers.get(node.spec.name, {}))


def _restore_draws(net: Net, draws: dict[str, Any]) -> None:
    """Set the generators; what another kind of device drew cannot go on here."""
    for node in net.nodes:
        node.points.load_peaks(draws.get("peaks", {}).get(node.spec.name, {}))
    net.host_generator.set_state(_bytes(draws.get("host_generator", draws["generator"])))
    if net.generator is net.host_generator:
        return
    if "host_generator" not in draws:
        net.generator.manual_seed(net.host_generator.initial_seed())
    else:
        net.generator.set_state(_bytes(draws["generator"]))


def _bytes(text: str) -> Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), np.uint8).copy())
