"""What a snapshot holds of precision: the formats in force, accumulators, and a recipe's state.

Values are part of the sidecar `<solverstate>.json`; tensors lie in `<solverstate>.tensors.npz`,
whose checksum the sidecar names. `<caffemodel>.precision.json` says beside the weights which recipe
chose their formats, since a caffemodel cannot.
"""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adaption.errors import FieldError, FileFormatError
from adaption.io.atomic import atomic_write
from adaption.io.kinds import near_file
from adaption.io.npy import read_npz
from adaption.io.precision_note import note_of, remove_note, write_note
from adaption.net import Net, Point
from adaption.net.plan import stated_kinds
from adaption.net.points import WeightDraw
from adaption.numerics import Format, number_format
from adaption.solver.snapshot_files import Files, sidecar_of, tensors_of
from adaption.solver.training import Training

__all__ = [
    "StatedFormats",
    "plan_rows",
    "read_plan",
    "read_recipe_state",
    "read_state_formats",
    "restore_precision",
    "save_precision",
]

RESIDUE, RECIPE = "residue/", "recipe/"


def plan_rows(net: Net) -> list[dict[str, Any]]:
    """The formats in force, one entry per point, as `read_plan` reads them."""
    return [
        {"layer": point.layer, "kind": point.kind, "format": fmt.to_dict()}
        for point, fmt in net.plan.items()
    ]


def read_plan(rows: list[Mapping[str, Any]]) -> dict[Point, Format | None]:
    """The plan that `plan_rows` wrote. Raises: FieldError; KeyError where a row lacks something."""
    return {Point(row["layer"], row["kind"]): number_format(**row["format"]) for row in rows}


@dataclass(frozen=True)
class StatedFormats:
    """The formats in force at a snapshot, and the random numbers that its weights are rounded with.

    recipe: that chose them; None: they stand in the net. rows: as the note beside weights has them.
    """

    recipe: str | None
    iteration: int
    plan: dict[Point, Format | None]
    draw: WeightDraw
    rows: list[dict[str, Any]]


def read_state_formats(state: str | os.PathLike[str]) -> StatedFormats:
    """What the sidecar of a solver state says of precision.

    Raises: FileFormatError when the state has none, or it is damaged.
    """
    path = Path(state)
    sidecar = sidecar_of(path)
    if not path.exists():
        fix = near_file(path) or "name the .solverstate of a snapshot"
        raise FileFormatError("no such file", fix, file=path)
    try:
        values = json.loads(sidecar.read_text(encoding="utf-8"))
        entry = values["precision"]
        policy, iteration = entry.get("policy"), int(values["iter"])
        return StatedFormats(
            None if policy is None else str(policy["type"]),
            iteration,
            read_plan(entry["plan"]),
            WeightDraw(int(entry["draw_seed"]), iteration),
            list(entry["plan"]),
        )
    except OSError:
        raise FileFormatError(
            "says nothing of formats: it is needed beside the solver state, and is not there",
            "put the .json of the snapshot beside it",
            file=sidecar,
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"is damaged: {error!r}", "take the files of another snapshot", file=sidecar
        ) from None


def save_precision(solver: Training, files: Files) -> dict[str, Any]:
    """Write the tensors and the note beside the weights; returns the sidecar's entry."""
    net = solver.net
    entry: dict[str, Any] = {
        "draw_seed": solver.draw_seed,
        "plan": plan_rows(net),
        "backward_weights": {
            node.spec.name: node.formats.backward_weights
            for node in net.nodes
            if node.formats.backward_weights != "MASTER"
        },
    }
    tensors = {RESIDUE + k: v for k, v in solver.updates.grid_updates.save().items()}
    if solver.driver is not None:
        entry["policy"], own = solver.driver.save()
        tensors |= {RECIPE + k: v for k, v in own.items()}
    if tensors:
        arrays = {name: x.detach().cpu().numpy() for name, x in tensors.items()}
        path = tensors_of(files.state)
        data = io.BytesIO()
        np.savez(data, **arrays)  # type: ignore[arg-type]
        with atomic_write(path, "wb") as out:
            out.write(data.getbuffer())
        entry["tensors"] = {"file": path.name, "crc32": zlib.crc32(data.getbuffer())}
    if solver.driver is None:
        remove_note(files.weights)
    else:
        write_note(
            files.weights,
            note_of(solver.driver.recipe.name, entry["plan"], files.state.name),
        )
    return entry


def restore_precision(solver: Training, entry: Mapping[str, Any] | None, path: Path) -> None:
    """Bring formats, accumulators and recipe to where the snapshot stands.

    Args:
        entry: the sidecar's, None where there is no sidecar.
        path: of the solver state.
    Raises: FieldError on the state of another recipe, or of other settings; FileFormatError.
    """
    driver = solver.driver
    saved = None if entry is None else entry.get("policy")
    if entry is not None and saved is not None and driver is None:
        raise FieldError(
            "precision_policy",
            "not set",
            f'type: "{saved["type"]}", as when the snapshot was made',
            "resume with the solver that wrote it, or start anew with --weights",
        ).at(file=solver.definition.file)
    if driver is not None and saved is not None:
        with solver.at_file():
            driver.check_saved(saved)
    tensors = _tensors(solver, entry, path)
    residues = {k.removeprefix(RESIDUE): v for k, v in tensors.items() if k.startswith(RESIDUE)}
    if entry is not None:
        solver.draw_seed = int(entry["draw_seed"])
        if driver is not None:
            driver.about["seed"] = solver.draw_seed
        _restore_plan(solver, entry)
    if driver is not None and saved is not None:
        own = {k.removeprefix(RECIPE): v for k, v in tensors.items() if k.startswith(RECIPE)}
        driver.load(saved, own)
    elif driver is not None:
        solver.notice(f"{path} holds no state of recipe {driver.recipe.name}: it starts anew")
        solver.start_recipe()
    updates = solver.updates.grid_updates
    updates.load(residues, solver.params)
    if set(updates.save()) - set(residues):
        solver.notice(f"{path} holds no weight accumulators: they start at 0")


def read_recipe_state(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a snapshot holds of its recipe: values and tensors, as its `load` takes them.

    Args:
        path: of a solver state with its sidecar.
    Raises: FileFormatError when there is none, or it is damaged.
    """
    sidecar = sidecar_of(path)
    try:
        entry = json.loads(sidecar.read_text(encoding="utf-8"))["precision"]
        values = entry["policy"]["values"]
        listed = entry.get("tensors")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileFormatError(
            f"holds no state of a recipe: {error!r}", "snapshot a run that has one", file=sidecar
        ) from None
    if listed is None:
        return values, {}
    found = _read_tensors(path.with_name(listed["file"]), listed["crc32"])
    return values, {k.removeprefix(RECIPE): v for k, v in found.items() if k.startswith(RECIPE)}


def _restore_plan(solver: Training, entry: Mapping[str, Any]) -> None:
    """Formats about which the net's own text says nothing become those of the snapshot."""
    net = solver.net
    stated = {node.spec.name: stated_kinds(node.spec) for node in net.nodes}
    then = read_plan(entry["plan"])
    points = {**dict.fromkeys(net.plan), **then}
    plan = {p: then.get(p) for p in points if p.kind not in stated.get(p.layer, frozenset())}
    backward: Mapping[str, str] = entry["backward_weights"]
    for weights in ("MASTER", "QUANTIZED"):
        part = {
            p: fmt
            for p, fmt in plan.items()
            if backward.get(p.layer, "MASTER") == weights
            and "backward_weights" not in stated[p.layer]
        }
        if part:
            net.set_plan(part, backward_weights=weights)
            for point in part:
                del plan[point]
    if plan:
        net.set_plan(plan)


def _tensors(solver: Training, entry: Mapping[str, Any] | None, path: Path) -> dict[str, Tensor]:
    """The tensors of the snapshot on the net's device, read by the first process for all."""
    if entry is None or "tensors" not in entry:
        return {}
    found: dict[str, Tensor] = {}
    if solver.ranks.is_first:
        found = _read_tensors(path.with_name(entry["tensors"]["file"]), entry["tensors"]["crc32"])
    shapes = solver.ranks.from_first(
        {name: [list(x.shape), str(x.dtype).removeprefix("torch.")] for name, x in found.items()}
    )
    device = solver.net.device
    all_of_them = {}
    for name, (shape, dtype) in shapes.items():
        empty = torch.zeros(shape, dtype=getattr(torch, dtype), device=device)
        all_of_them[name] = empty.copy_(found[name]) if name in found else empty
    for dtype in dict.fromkeys(x.dtype for x in all_of_them.values()):
        solver.ranks.copy_first([x for x in all_of_them.values() if x.dtype == dtype])
    return all_of_them


def _read_tensors(path: Path, crc: int) -> dict[str, Tensor]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileFormatError(
            f"is needed to resume, and cannot be read: {error.strerror}",
            "put it beside the solver state, or remove the .json beside that to resume as Caffe"
            " does",
            file=path,
        ) from None
    if zlib.crc32(data) != crc:
        raise FileFormatError(
            "is damaged, or of another snapshot: its checksum is not the one in the sidecar",
            "remove the .json beside the solver state to resume as Caffe does",
            file=path,
        )
    return {name: torch.from_numpy(array) for name, array in read_npz(path).items()}
