"""What a net costs: compute and memory of WRPN, complexity of training by Sakr and Shanbhag."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adaption.graph import NetSpec, NetState, build_spec, with_inputs
from adaption.io.netfile import NetFile, read_net
from adaption.options import NET, RunOptions, takes_options
from adaption.precision.cost_model import (
    CostIndex,
    Memory,
    NetCost,
    PerTensor,
    as_float,
    memory,
    per_tensor,
    wrpn_cost,
)
from adaption.precision.cost_records import net_cost
from adaption.precision.energy import SOURCE
from adaption.precision.inference_cost import InferenceCost, inference_cost
from adaption.report.format import count, energy, significant, size
from adaption.report.tables import Grid

__all__ = ["Cost", "cost"]

PathLike = str | os.PathLike[str]

BATCHES = (1, 8, 32)


@dataclass(frozen=True)
class Cost:
    """What `cost` found; prints as tables, `to_dict` gives plain values.

    relative: the compute cost, against that of `against` (or of the net itself) in float.
    """

    name: str
    net: NetCost
    compute: int
    relative: float
    memory: tuple[Memory, ...]
    inference: InferenceCost
    per_tensor: PerTensor
    per_tensor_float: PerTensor
    against: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "layers": [
                {
                    "name": x.name,
                    "type": x.type,
                    "macs": x.macs,
                    "weights": x.weights,
                    "inputs": x.inputs,
                    "outputs": x.outputs,
                    "weight_bits": x.weight_bits,
                    "activation_bits": x.activation_bits,
                }
                for x in self.net.layers
            ],
            "total": {
                "macs": self.net.macs,
                "weights": self.net.weights,
                "activations": self.net.outputs,
            },
            "wrpn": {"cost": self.compute, "relative": self.relative},
            "memory": [
                {
                    "batch": x.batch,
                    "training": {
                        "weights_bytes": x.weights_bytes,
                        "activations_bytes": x.activations_bytes,
                        "largest_dz_bytes": x.largest_dz_bytes,
                        "largest_dx_bytes": x.largest_dx_bytes,
                    },
                    "inference": {
                        "weights_bytes": x.weights_bytes,
                        "feature_bytes": x.feature_bytes,
                    },
                }
                for x in self.memory
            ],
            "inference": {**self.inference.to_dict(), "energy_source": SOURCE},
            "per_tensor": self.per_tensor.to_dict(),
            "per_tensor_float": self.per_tensor_float.to_dict(),
        }

    def table(self) -> str:
        """The layers, the compute cost, memory by batch size, and the four metrics of training."""
        shares = [x.macs * (x.weight_bits + x.activation_bits) for x in self.net.layers]
        rows = [
            (
                *(x.name, x.type, count(x.macs), count(x.weights), count(x.inputs)),
                *(count(x.outputs), str(x.weight_bits), str(x.activation_bits)),
                f"{100 * share / self.compute:.1f}" if self.compute else "0",
            )
            for x, share in zip(self.net.layers, shares, strict=True)
        ]
        columns = ("layer", "type", "MACs", "weights", "inputs", "outputs", "W bits", "A bits", "%")
        total = (
            f"{self.name or 'net without a name'}, per image: {count(self.net.macs)} MACs,"
            f" {count(self.net.weights)} weights, {count(self.net.outputs)} outputs of weight"
            " layers"
        )
        other = "the same net in float" if self.against is None else f"{self.against} in float"
        compute = (
            f"compute cost {significant(self.relative, 4)} of {other}"
            " (MACs * (W bits + A bits), 64 in float)"
        )
        layers = Grid(columns, rows, text_columns=2).plain()
        head = f"{total}\n{compute}\n{self._inference()}"
        return "\n\n".join([layers, head, self._memory(), self._training()])

    def _inference(self) -> str:
        x = self.inference
        return (
            f"one inference: {size(x.parameter_bits / 8)} of weights and biases, packed;"
            f" {size(x.peak.bits / 8)} of activations at peak ({x.peak.layer})\n"
            f"energy of one inference: {energy(x.energy.total_pj)}, an estimate by {SOURCE}"
        )

    def _memory(self) -> str:
        rows = [
            (
                str(x.batch),
                *(size(n) for n in (x.weights_bytes, x.activations_bytes, x.largest_dz_bytes)),
                *(size(n) for n in (x.largest_dx_bytes, x.training_bytes)),
                *(size(n) for n in (x.feature_bytes, x.inference_bytes)),
            )
            for x in self.memory
        ]
        columns = (
            *("batch", "weights", "activations", "largest dZ", "largest dX", "training"),
            *("features", "inference"),
        )
        note = (
            "training = weights + activations + largest dZ + largest dX;"
            " inference = weights + features"
        )
        return Grid(columns, rows, "memory", note).plain()

    def _training(self) -> str:
        words = {
            "C_W": "bits of weights, their gradients and accumulators",
            "C_A": "bits of activations and their gradients",
            "C_M": "full adders in the multipliers of one iteration",
            "C_C": "bits of weight gradients to communicate",
        }
        values, full = self.per_tensor.to_dict(), self.per_tensor_float.to_dict()
        rows = [
            (name, words[name], significant(values[name], 4), significant(full[name], 4),
             significant(full[name] / values[name] if values[name] else None, 3))
            for name in words
        ]  # fmt: skip
        columns = ("metric", "per image", "here", "float", "float / here")
        return Grid(columns, rows, "training, by Sakr and Shanbhag", text_columns=2).plain()


@takes_options(options=("phase", *NET))
def cost(
    net: NetFile | NetSpec | PathLike,
    *,
    against: NetFile | NetSpec | PathLike | None = None,
    batch: Sequence[int] = BATCHES,
    cost_index: CostIndex = "physical",
    options: RunOptions = RunOptions(),
    inputs: Mapping[str, Sequence[int]] | None = None,
    **choices: Any,
) -> Cost:
    """What computing and training a net costs, with the bits in force in its prototxt.

    Activation bits are those of the activation that a layer reads, where it is rounded, before
    pooling; 32 where it is float, or clipped and not rounded. No weights are made.

    Args:
        against: the net whose cost in float is 1; None: this one's own.
        batch: batch sizes for which memory is counted.
        cost_index: see `precision.cost_model.per_tensor`.
        options: which layers count; see RunOptions.
        inputs: shapes of blobs that data layers make, where their data is not at hand.
        choices: fields of RunOptions as keywords (phase, level, stages, end, ...).
    Raises: LayerError when a net has no weight layers; errors of its shapes and formats.
    """
    spec = _spec(net, options)
    other = spec if against is None else _spec(against, options)
    shapes = _by_net((spec, other), inputs or {})
    costs = net_cost(spec, shapes[0])
    reference = costs if against is None else net_cost(other, shapes[1])
    compute = wrpn_cost(costs.layers)
    return Cost(
        spec.name,
        costs,
        compute,
        compute / wrpn_cost(as_float(reference).layers),
        tuple(memory(costs, n) for n in batch),
        inference_cost(spec, shapes[0]),
        per_tensor(costs, cost_index),
        per_tensor(as_float(costs), cost_index),
        None if against is None else other.name or "the other net",
    )


def _spec(net: NetFile | NetSpec | PathLike, options: RunOptions) -> NetSpec:
    if isinstance(net, NetSpec):
        return net
    file = net if isinstance(net, NetFile) else read_net(net)
    spec = build_spec(
        file.message,
        NetState(options.phase, options.level, tuple(options.stages)),
        file=file.file,
        lines=file.lines,
        dialect=options.dialect,
        python_modules=options.python_modules,
    )
    return spec.up_to(options.end)


def _by_net(
    specs: Sequence[NetSpec], inputs: Mapping[str, Sequence[int]]
) -> list[dict[str, Sequence[int]]]:
    """Those of `inputs` that each net's data layers make. Raises: UsageError on one of no net."""
    by_net: list[dict[str, Sequence[int]]] = []
    for spec in specs:
        tops = {top for x in spec if not x.bottoms for top in x.tops}
        by_net.append({name: shape for name, shape in inputs.items() if name in tops})
    unknown = {n: tuple(s) for n, s in inputs.items() if not any(n in shapes for shapes in by_net)}
    with_inputs(specs[0], unknown)  # says what the net's data layers make
    return by_net
