"""summary.json: everything the main job found, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from adaption.graph import NetSpec
from adaption.io.lp_types import LP_ACT
from adaption.io.weights import Weights
from adaption.net import Net, Point
from adaption.net.node import Node
from adaption.numerics import FixedPoint
from adaption.precision.energy import SOURCE
from adaption.precision.evaluate import PointError, Run
from adaption.precision.inference_cost import inference_cost
from adaption.precision.measure import Measurement
from adaption.precision.propose import Proposal
from adaption.precision.statistics import TensorStats

__all__ = [
    "FORMAT",
    "accuracy_entry",
    "cost_entry",
    "layer_entries",
    "lp_act_behind",
    "macs_entry",
    "sparsity_entry",
]

FORMAT = "adaption.summary/1"
PIECE = 1 << 22  # values of a weight looked at together


def layer_entries(
    spec: NetSpec,
    low: Net,
    measured: Measurement,
    proposal: Proposal,
    before: Run,
    after: Run,
    plain: Weights,
) -> list[dict[str, Any]]:
    """One entry per weight layer: formats, ranges, what rounding did, MACs.

    Args:
        spec: the float net.
        low: the low-precision net.
        plain: weights of the float net that was rounded.
        before, after: the runs of both over the data.
    """
    # An input that is rounded goes by its blob.
    nodes = {node.spec.tops[0]: node for node in low.nodes if not node.spec.bottoms}
    nodes |= {node.spec.name: node for node in low.nodes}
    entries = []
    for name in dict.fromkeys(point.layer for point in proposal.choices):
        node = nodes[name]
        macs = _macs(node, low)
        entry: dict[str, Any] = {
            "name": name,
            "type": spec.layer(node.spec.name).type,
            "macs": macs,
            "zero_skippable_macs": round(macs * after.zero_input_share(name)),
            "zero_skippable_macs_before": round(macs * before.zero_input_share(name)),
        }
        originals = plain.get(node.spec.name)
        for i, (kind, blob) in enumerate(zip(("weight", "bias"), node.masters, strict=False)):
            values = blob.tensor.detach()
            before_it = values  # a bias is corrected on purpose: what its rounding does counts
            if kind == "weight" and originals is not None:
                step = 2 if originals.is_paired else 1
                held = originals.blobs[i * step].array()
                held = held if held.flags.writeable else held.copy()  # as torch takes arrays
                before_it = torch.from_numpy(held).view(values.shape)
            entry[kind] = _parameter(Point(name, kind), before_it, values, measured, proposal)
        for kind in ("weight", "bias"):
            entry.setdefault(kind, None)
        entry["activation"] = _activation(name, node, low.spec, measured, proposal, after)
        entries.append(entry)
    return entries


def accuracy_entry(before: Run, after: Run) -> dict[str, Any] | None:
    """Accuracy of the float net and of the low-precision net; None without labels."""
    if not before.tally.labelled:
        return None
    return {
        "float": before.accuracy(),
        "quantized": after.accuracy(),
        "samples": before.tally.labelled,
    }


def _macs(node: Node, net: Net) -> int:
    bottoms = [net.blobs[b].shape for b in node.spec.bottoms]
    tops = [net.blobs[t].shape for t in node.spec.tops]
    batch = bottoms[0][0] if bottoms and bottoms[0] else 1
    return node.layer.macs(bottoms, tops) // max(1, batch)


def _parameter(
    point: Point,
    plain: torch.Tensor,
    values: torch.Tensor,
    measured: Measurement,
    proposal: Proposal,
) -> dict[str, Any] | None:
    """Range of a float parameter, and what became of it: `values`, rounded."""
    if point not in measured.points:
        return None
    choice = proposal.choices.get(point)
    entry = _range(measured[point])
    if choice is None:
        return entry | {"q": None, "reason": "left in float"}
    error = PointError()
    generator = torch.Generator().manual_seed(0)  # of stochastic rounding: one draw, repeatable
    flat = (torch.split(x.flatten(), PIECE) for x in (plain, values))
    for x, y in zip(*flat, strict=True):  # a large weight takes several copies
        error.update(x, choice.format.quantize(y, generator), choice.format)
    return _format(choice.format) | entry | error.to_dict() | {"reason": choice.reason}


def _activation(
    name: str, node: Node, low: NetSpec, measured: Measurement, proposal: Proposal, after: Run
) -> dict[str, Any] | None:
    choice = proposal.choices.get(Point(name, "activation"))
    if choice is None:
        return None
    place = proposal.places[name]
    error = after.points[lp_act_behind(low, place)]
    source = place if node.spec.bottoms else node.spec.name
    entry = _format(choice.format) | _range(measured[Point(source, "activation")])
    return entry | error.to_dict() | {"place": place, "reason": choice.reason}


def lp_act_behind(low: NetSpec, place: str) -> str:
    """Name of the LPAct that rounds the top of layer `place`, or the input blob of that name."""
    layers = iter(low.layers)
    blob = next(
        place if not s.bottoms and place in s.tops else s.tops[0]
        for s in layers
        if s.name == place or (not s.bottoms and place in s.tops)
    )
    act = next(s for s in layers if blob in s.bottoms)
    assert act.type == LP_ACT, f"rewrite put no LPAct behind {place}"
    return act.name


def _format(fmt: FixedPoint) -> dict[str, Any]:
    return {**fmt.to_dict(), "lsb": fmt.lsb}


def _range(stats: TensorStats) -> dict[str, Any]:
    return {
        "min": stats.minimum,
        "max": stats.maximum,
        "max_abs": stats.max_abs,
        "mean": stats.mean,
        "count": stats.count,
        "histogram": stats.histogram(),
    }


def macs_entry(layers: list[dict[str, Any]]) -> dict[str, int]:
    """Multiply-accumulates of one sample; skippable are those whose input is zero.

    Estimated per layer as MACs times the share of zeros among its inputs.
    """
    return {
        "total": sum(e["macs"] for e in layers),
        "zero_skippable_before": sum(e["zero_skippable_macs_before"] for e in layers),
        "zero_skippable_after": sum(e["zero_skippable_macs"] for e in layers),
    }


def cost_entry(low: Net, before: Run, after: Run) -> dict[str, Any] | None:
    """What one sample costs in float and quantized: memory, operations, energy; None of a net
    without weight layers.

    Args:
        low: the low-precision net, whose sources are Input layers.
        before, after: the runs, which know how many of the values that layers read are zero.
    """
    if not any(node.layer.is_weight_layer() for node in low.nodes):
        return None
    costs = {
        name: inference_cost(
            low.spec,
            zero_shares={layer: run.zero_input_share(layer) for layer in run.input_zeros},
            in_float=run is before,
        ).to_dict()
        for name, run in (("float", before), ("quantized", after))
    }
    return {**costs, "energy_source": SOURCE}


def sparsity_entry(layers: list[dict[str, Any]], before: Run, after: Run) -> dict[str, float]:
    """Shares of zeros: over all weights, and over all values that weight layers read."""

    def weights(key: str) -> float:
        entries = [e["weight"] for e in layers if e["weight"] and e["weight"]["q"]]
        count = sum(int(e["count"]) for e in entries)
        return sum(float(e[key]) * int(e["count"]) for e in entries) / max(1, count)

    def inputs(zeros: Mapping[str, list[int]]) -> float:
        total = max(1, sum(count for _, count in zeros.values()))
        return sum(found for found, _ in zeros.values()) / total

    return {
        "weights_before": weights("zero_share_before"),
        "weights_after": weights("zero_share_after"),
        "activations_before": inputs(before.input_zeros),
        "activations_after": inputs(after.input_zeros),
    }


def finite_only(value: Any) -> Any:
    """`value` with infinities and NaN replaced by None, which JSON can hold."""
    if isinstance(value, dict):
        return {k: finite_only(v) for k, v in value.items()}
    if isinstance(value, list):
        return [finite_only(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
