"""What running a net once costs, with the bits in force: memory, operations, energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from adaption.graph import NetSpec
from adaption.layers.shapes import LayerShapes
from adaption.net.plan import layer_formats
from adaption.precision.cost_model import FLOAT_BITS, LayerCost, NetCost, as_float, wrpn_cost
from adaption.precision.cost_records import bits_at, net_cost, per_image_shapes
from adaption.precision.energy import Energy, energy_of
from adaption.precision.live_blobs import Peak, activation_peak

__all__ = ["InferenceCost", "inference_cost"]


@dataclass(frozen=True)
class InferenceCost:
    """What one sample costs.

    parameters: values of all parameter blobs; shared ones count once. parameter_bits: packed, each
    in its own word length, 32 where it is float.
    peak: the most that blobs take at once; see `live_blobs`.
    mac_bits: MACs * (weight bits + activation bits), the compute cost of WRPN.
    bit_operations: MACs * weight bits * activation bits.
    zero_skippable_macs: those whose input is zero.
    """

    parameters: int
    parameter_bits: int
    peak: Peak
    macs: int
    mac_bits: int
    bit_operations: int
    zero_skippable_macs: int
    energy: Energy

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "parameters": self.parameters,
            "parameter_bits": self.parameter_bits,
            "peak_activation_bits": self.peak.bits,
            "peak_activation_layer": self.peak.layer,
            "macs": self.macs,
            "mac_bits": self.mac_bits,
            "bit_operations": self.bit_operations,
            "zero_skippable_macs": self.zero_skippable_macs,
            "energy": self.energy.to_dict(),
        }


def inference_cost(
    spec: NetSpec,
    inputs: Mapping[str, Sequence[int]] | None = None,
    *,
    zero_shares: Mapping[str, float] | None = None,
    in_float: bool = False,
) -> InferenceCost:
    """The cost of a net.

    Args:
        inputs: shapes of blobs that data layers make, where data is not at hand.
        zero_shares: by weight layer, the share of zeros among what it reads, where it is known.
        in_float: count the net as if nothing were rounded.
    Raises: LayerError when the net has no weight layers; errors of shapes and formats, with layer.
    """
    net = net_cost(spec, inputs)
    if in_float:
        net = as_float(net)
    shapes, _ = per_image_shapes(spec, {k: tuple(v) for k, v in (inputs or {}).items()})
    sizes = list(_parameters(shapes, in_float=in_float))
    parameter_bits = sum(count * bits for count, bits in sizes)
    shares = dict(zero_shares or {})
    return InferenceCost(
        parameters=sum(count for count, _ in sizes),
        parameter_bits=parameter_bits,
        peak=activation_peak(spec, inputs, as_float=in_float),
        macs=net.macs,
        mac_bits=wrpn_cost(net.layers),
        bit_operations=sum(x.macs * x.weight_bits * x.activation_bits for x in net.layers),
        zero_skippable_macs=sum(round(x.macs * shares.get(x.name, 0.0)) for x in net.layers),
        energy=energy_of(
            net.layers,
            parameter_bits=parameter_bits,
            result_bits=_result_bits(net),
            zero_shares=shares,
        ),
    )


def _result_bits(net: NetCost) -> dict[str, int]:
    def bits(x: LayerCost) -> int:
        return net.activation(x.feeds).bits

    return {x.name: bits(x) for x in net.layers}


def _parameters(shapes: Sequence[LayerShapes], *, in_float: bool) -> list[tuple[int, int]]:
    """Values and bits of each parameter blob."""
    found: list[tuple[int, int]] = []
    seen: set[str] = set()
    for x in shapes:
        formats = layer_formats(x.spec)
        names = [p.name for p in x.spec.message.param]
        for k, shape in enumerate(x.blobs):
            name = names[k] if k < len(names) else ""
            if name and name in seen:
                continue
            seen.add(name)
            kind = ("weight", "bias")[k] if k < 2 else ""
            bits = bits_at(formats, kind) if kind and not in_float else None
            found.append((prod(shape), FLOAT_BITS if bits is None else bits))
    return found
