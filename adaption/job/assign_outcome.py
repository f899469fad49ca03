"""report.json of `assign`, and in words what the figures rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adaption.graph import NetSpec, input_shapes
from adaption.layers.base import traits_of
from adaption.precision.cost_model import FLOAT_BITS, NetCost, as_float, per_tensor
from adaption.precision.cost_records import net_cost
from adaption.recipes.per_tensor_plan import Gradients, Offsets, TensorPlan, Word
from adaption.recipes.per_tensor_sites import Tensors
from adaption.solver.settings import SolverFile

__all__ = ["Costs", "Outcome", "costs", "notes_of", "outcome"]

FORMAT = "adaption.assign/1"


@dataclass(frozen=True)
class Costs:
    """The four metrics of training, of the plan, of float, and of other schemes on the same net."""

    assigned: dict[str, int]
    full: dict[str, int]
    others: dict[str, dict[str, int]]


def costs(spec: NetSpec, fed: NetSpec) -> Costs:
    """What an iteration costs on one image.

    Args:
        spec: the net with all formats. fed: the same layers with inputs, which say the shapes of
            what data layers make.
    """
    makes = {top for item in spec if not item.bottoms for top in item.tops}
    shapes = {name: shape for name, shape in input_shapes(fed).items() if name in makes}
    found = net_cost(spec, shapes)
    full = as_float(found)
    return Costs(
        per_tensor(found).to_dict(),
        per_tensor(full).to_dict(),
        {
            "BN": per_tensor(_binary(full)).to_dict(),
            "SQ": per_tensor(_with(found, accumulator_bits=FLOAT_BITS)).to_dict(),
            "TG": per_tensor(_with(full, weight_grad_bits=2)).to_dict(),
        },
    )


def _with(net: NetCost, **bits: int) -> NetCost:
    layers = tuple(replace(layer, **bits) for layer in net.layers)  # type: ignore[arg-type]
    return replace(net, layers=layers)


def _binary(net: NetCost) -> NetCost:
    """Weights and activations of one bit, the rest in float."""
    activations = tuple(replace(x, bits=1) for x in net.activations)
    return replace(_with(net, weight_bits=1, activation_bits=1), activations=activations)


@dataclass(frozen=True)
class Outcome:
    """All that the stages have found; see `outcome`."""

    plan: TensorPlan
    offsets: Offsets
    gradients: Gradients
    b_min: int
    mismatches: Mapping[str, float]
    limit: float
    rate: float
    costs: Costs
    runs: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, str]
    notes: Sequence[str]


def outcome(found: Outcome) -> dict[str, Any]:
    """The content of report.json: plain values, the same for the same input."""
    offsets = found.offsets
    return {
        "format": FORMAT,
        "layers": [_layer(name, found) for name in found.plan.tensors.weight_layers],
        "b_min": found.b_min,
        "p_m": dict(found.mismatches),
        "p_m_bound": {b: offsets.bound(int(b)) for b in found.mismatches},
        "p_m_limit": found.limit,
        "lr_min": found.rate,
        "costs": found.costs.assigned,
        "costs_float": found.costs.full,
        "costs_others": found.costs.others,
        "runs": {name: dict(run) for name, run in found.runs.items()},
        "files": dict(found.files),
        "notes": list(found.notes),
    }


def _layer(name: str, found: Outcome) -> dict[str, Any]:
    plan, gradients = found.plan, found.gradients
    site = plan.read_by(name)
    owner = gradients.owners.get(name, name)
    gain, offset = found.offsets.weights[name]
    own_gain, own_offset = found.offsets.activations[site.layer]
    activation = plan.activations[site.layer]
    weight_grad = None
    if name in plan.weight_grads:
        (sigmas,) = (
            s for p, s in gradients.sigmas.items() if p.layer == owner and p.kind == "weight_grad"
        )
        weight_grad = _gradient(sigmas, plan.weight_grads[name])
    activation_grad = None
    point = plan.gradient_of(name)
    if point is not None:
        activation_grad = _gradient(gradients.sigmas[point], plan.activation_grads[point])
        activation_grad["jacobian"] = gradients.jacobians.get((name, point))
    accumulator = plan.accumulators.get(name)
    return {
        "name": name,
        "weight": {"gain": gain, "offset": offset, "bits": plan.weights[name].bits},
        "activation": {
            "gain": own_gain,
            "offset": None if activation.fixed else own_offset,
            "bits": activation.bits,
            "range_log2": activation.range_log2,
            "is_signed": activation.is_signed,
        },
        "weight_grad": weight_grad,
        "activation_grad": activation_grad,
        "weight_accumulator": None if accumulator is None else {"bits": accumulator.bits},
    }


def _gradient(sigmas: tuple[float, float], word: Word) -> dict[str, Any]:
    return {
        "sigma_min": sigmas[0],
        "sigma_max": sigmas[1],
        "range_log2": word.range_log2,
        "bits": word.bits,
    }


def notes_of(
    solver: SolverFile,
    train: NetSpec,
    tensors: Tensors,
    offsets: Offsets,
    learning: Mapping[str, float],
    *,
    changed: Sequence[str],
    held_out: str,
    gains: Mapping[str, Any],
    idle: int,
    seed: int,
) -> list[str]:
    """What was changed, chosen or left out, and where the theory ends; one sentence each.

    Args:
        learning: smallest rate by weight layer, 0 where it does not learn.
        changed: layers that became clip(x, 0, 2). gains: the stage's result.
        idle: iterations whose learning rate is 0.
    """
    notes = []
    if changed:
        notes.append(f"clip(x, 0, 2) takes the place of ReLU in {', '.join(changed)}.")
    notes.append(f"Mismatches are counted on {held_out}. No run trains with test samples.")
    notes.append(
        f"Noise gains are from the first {gains['samples']} training samples. They are"
        " heavy-tailed: one sample close to a tie can govern them, so that offsets may differ by a"
        " bit."
    )
    if gains["ties"]:
        notes.append(f"{gains['ties']} pairs of classes with equal scores are left out of them.")
    notes.append(
        "In float stay biases, batch norm and other parameters that are no weights of sums, sums"
        " before they are rounded, pooling, the loss, and learning rates."
    )
    notes += _theory(solver, idle)
    left = [
        item.name
        for item in train
        if item.name not in tensors.weight_layers and traits_of(item, train).kind == "recurrent"
    ]
    if left:
        notes.append(f"Weights of {', '.join(left)} stay float: they have no points.")
    frozen = [name for name in tensors.weight_layers if not learning.get(name)]
    if frozen:
        notes.append(f"Weights that do not learn have no gradient: {', '.join(frozen)}.")
    free = {**dict(offsets.weights), **dict(offsets.activations)}
    silent = [name for name, (gain, _) in free.items() if not gain]
    if silent:
        notes.append(
            f"No class score depends on {', '.join(silent)}; the offset there is 0, the least."
        )
    for site in tensors.sites:
        word = offsets.words[site.layer]
        if word.fixed:
            notes.append(f"The input of {', '.join(site.readers)} is left at {word.bits} bits.")
        elif word.range_log2 or word.is_signed:
            what = "The input" if site.is_input else f"The result of {site.layer}"
            sign = "signed, " if word.is_signed else ""
            notes.append(
                f"{what} is not within [0, 2]: its format is {sign}of range 2^{word.range_log2},"
                " which holds what was seen or what its activation function gives."
            )
    notes.append(f"All runs have seed {seed}.")
    return notes


def _theory(solver: SolverFile, idle: int) -> list[str]:
    """Where the criteria were not derived for what the solver does."""
    p = solver.message
    beyond = []
    if p.type != "SGD":
        beyond.append(f"type {p.type}")
    if p.momentum:
        beyond.append(f"momentum {p.momentum:g}")
    if p.weight_decay:
        beyond.append(f"weight_decay {p.weight_decay:g}")
    if p.clip_gradients >= 0:
        beyond.append(f"clip_gradients {p.clip_gradients:g}")
    notes = []
    if beyond:
        notes.append(
            f"The theory covers plain SGD; here it does not cover {', '.join(beyond)}. The formats"
            " of accumulators follow from the smallest learning rate all the same; --check shows"
            " what they are worth."
        )
    if p.lr_policy in ("poly", "exp", "inv", "sigmoid"):
        notes.append(
            f"lr_policy {p.lr_policy} changes the rate in every iteration; lr_min is the smallest,"
            " and --lr-min takes another."
        )
    if idle:
        notes.append(f"{idle} iterations have a learning rate of 0, which lr_min leaves out.")
    return notes
