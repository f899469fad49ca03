"""The texts of nets and solvers that `assign` runs and writes, made from the user's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from adaption.errors import UsageError
from adaption.graph import NetSpec, NetState, build_spec
from adaption.graph.filter import PHASES
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document
from adaption.io.prototxt import Block, Document
from adaption.layers.base import traits_of
from adaption.net.plan import Plan, stated_kinds
from adaption.precision.format_text import text_of
from adaption.precision.recipe_rewrite import state_plan
from adaption.precision.rewrite import file_specs, fresh_document
from adaption.proto import caffe_pb2
from adaption.solver.settings import SolverFile

__all__ = ["ACTIVATION", "clipped", "solver_text", "spec_of", "with_part", "with_plan"]

PathLike = str | os.PathLike[str]

ACTIVATION = (0.0, 2.0)  # the activation function clip(x, 0, 2) of Sakr and Shanbhag

NETS = ("net", "train_net", "test_net", "net_param", "train_net_param", "test_net_param")


def spec_of(
    file: NetFile,
    phase: str,
    solver: SolverFile,
    *,
    dialect: str | None = None,
    python_modules: Sequence[str] = (),
) -> NetSpec:
    """A net as the solver sees it: its TRAIN net, or its first TEST net."""
    p = solver.message
    full = caffe_pb2.NetState(phase=PHASES.index(phase))
    full.MergeFrom(file.message.state)
    if phase == "TRAIN":
        full.MergeFrom(p.train_state)
    elif p.test_state:
        full.MergeFrom(p.test_state[0])
    state = NetState(PHASES[full.phase], full.level, tuple(full.stage))
    return build_spec(
        file.message,
        state,
        dialect=dialect,
        file=file.file,
        lines=file.lines,
        python_modules=python_modules,
    )


def clipped(file: NetFile) -> tuple[NetFile, list[str]]:
    """The net with clip(x, 0, 2) in place of every ReLU, and the names of the layers changed.

    Raises: UsageError when the net has formats already.
    """
    rectifying: set[tuple[str, str]] = set()
    for spec in file_specs(file):
        for item in spec:
            if stated_kinds(item):
                raise UsageError(
                    f'layer "{item.name}" has formats already, allowed: a float net, whose run says'
                    " what the formats have to be",
                    "bring it back to float first: adaption rewrite NET --to float -o OUT",
                    file=file.file,
                    line=item.line,
                )
            if traits_of(item, spec).rectifies():
                rectifying.add((item.name, item.type))
    document = fresh_document(file)
    names = []
    low, high = ACTIVATION
    for entry in document.root.all("layer"):
        block, name = entry.block, text_of(entry.block, "name")
        if (name, text_of(block, "type")) not in rectifying:
            continue
        field = block.first("type")
        assert field is not None
        field.set(prototxt.quote("Clip"))
        for param in block.all("relu_param"):
            param.remove()
        block.append(f"clip_param {{ min: {low:g} max: {high:g} }}")
        names.append(name)
    return _read(document, file), list(dict.fromkeys(names))


def with_part(file: NetFile, spec: NetSpec, layer: str, skip: int, limit: int) -> NetFile:
    """The net whose data layer `layer`, as `spec` has it, reads `limit` samples from `skip` on."""
    document = fresh_document(file)
    line = spec.layer(layer).line
    (item,) = (
        field
        for field in document.root.all("layer")
        if text_of(field.block, "name") == layer and field.line == line
    )
    for part in item.block.all("source_part"):
        part.remove()
    start = f"skip: {skip} " if skip else ""
    item.block.append(f"source_part {{ {start}limit: {limit} }}")
    return _read(document, file)


def with_plan(file: NetFile, plan: Plan) -> NetFile:
    """The net that states the formats of a plan at the layers it has."""
    document = fresh_document(file)
    state_plan(document, plan)
    return _read(document, file)


def _read(document: Document, file: NetFile) -> NetFile:
    return from_document(prototxt.parse(document.text(), file.file))


def solver_text(
    solver: PathLike, net: PathLike, prefix: PathLike, settings: Mapping[str, bool]
) -> bytes:
    """The solver with this net, this snapshot_prefix and the policy per_tensor.

    The first of several test nets stays, with the phase TEST of `net`.
    Args:
        settings: of per_tensor_param.
    """
    document = prototxt.read(solver)
    root = document.root
    _keep_first(root, "test_iter")
    _keep_first(root, "test_state")
    _set(root, "net", prototxt.quote(os.fspath(net)), *(n for n in NETS if n != "net"))
    _set(root, "snapshot_prefix", prototxt.quote(os.fspath(prefix)))
    for field in root.all("precision_policy"):
        field.remove()
    inner = " ".join(f"{name}: {str(value).lower()}" for name, value in settings.items())
    param = f" per_tensor_param {{ {inner} }}" if inner else ""
    root.append(f'precision_policy {{ type: "per_tensor"{param} }}')
    return document.data()


def _set(root: Block, name: str, value: str, *others: str) -> None:
    """Set a field where it, or one of the others, stands first; take the rest away."""
    found = [field for n in (name, *others) for field in root.all(n)]
    kept = root.first(name)
    if kept is None:
        if found:
            root.insert_before(min(found, key=lambda f: f.line), f"{name}: {value}")
        else:
            root.append(f"{name}: {value}")
    else:
        kept.set(value)
    for field in found:
        if field is not kept:
            field.remove()


def _keep_first(root: Block, name: str) -> None:
    for field in root.all(name)[1:]:
        field.remove()
