"""An estimate of the energy of one inference, from published figures per operation.

Figures are those of one process, 45 nm at 0.9 V: M. Horowitz, "Computing's energy problem (and what
we can do about it)", ISSCC 2014, figure 1.1.9. Another chip has others; what lasts are the
proportions. Control, clocks and wires of a processor are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from adaption.precision.cost_model import FLOAT_BITS, LayerCost

__all__ = ["SOURCE", "Energy", "energy_of", "mac_energy_pj"]

SOURCE = "Horowitz, ISSCC 2014, figure 1.1.9: 45 nm, 0.9 V"

INT8_MULTIPLY_PJ = 0.2
INT32_ADD_PJ = 0.1
FLOAT_MULTIPLY_PJ = 3.7  # float32
FLOAT_ADD_PJ = 0.9
SRAM_PJ_PER_BIT = 20 / 64  # 64 bits of a cache of 32 KiB
DRAM_PJ_PER_BIT = 1300 / 64  # 64 bits cost 1.3 to 2.6 nJ; the lower figure


@dataclass(frozen=True)
class Energy:
    """Picojoules of one inference of one sample.

    arithmetic_pj: of all MACs; arithmetic_skipping_zeros_pj: without those whose input is zero.
    weights_pj: reading each weight and bias once from DRAM. activations_pj: reading and writing
    what each weight layer reads and gives once, in SRAM.
    """

    arithmetic_pj: float
    arithmetic_skipping_zeros_pj: float
    weights_pj: float
    activations_pj: float

    @property
    def total_pj(self) -> float:
        """With all MACs."""
        return self.arithmetic_pj + self.weights_pj + self.activations_pj

    def to_dict(self) -> dict[str, float]:
        """Plain values, for JSON."""
        return {
            "arithmetic_pj": self.arithmetic_pj,
            "arithmetic_skipping_zeros_pj": self.arithmetic_skipping_zeros_pj,
            "weights_pj": self.weights_pj,
            "activations_pj": self.activations_pj,
            "total_pj": self.total_pj,
        }


def mac_energy_pj(weight_bits: int, activation_bits: int) -> float:
    """One multiply-accumulate: a multiplier in proportion to the product of both lengths (32 x 32
    bits give 3.2 pJ, published are 3.1), and an adder of 32 bits; in float32 where either is."""
    if FLOAT_BITS in (weight_bits, activation_bits):
        return FLOAT_MULTIPLY_PJ + FLOAT_ADD_PJ
    return INT8_MULTIPLY_PJ * weight_bits * activation_bits / 64 + INT32_ADD_PJ


def energy_of(
    layers: Iterable[LayerCost],
    *,
    parameter_bits: int,
    result_bits: Mapping[str, int],
    zero_shares: Mapping[str, float],
) -> Energy:
    """The energy of a net.

    Args:
        layers: its weight layers.
        parameter_bits: of all parameters together.
        result_bits: by layer, bits of a value of what it gives.
        zero_shares: by layer, the share of zeros among what it reads; absent ones count as 0.
    """
    arithmetic, skipping, moved = 0.0, 0.0, 0
    for x in layers:
        spent = x.macs * mac_energy_pj(x.weight_bits, x.activation_bits)
        arithmetic += spent
        skipping += spent * (1 - zero_shares.get(x.name, 0.0))
        moved += x.inputs * x.activation_bits + x.outputs * result_bits[x.name]
    return Energy(arithmetic, skipping, parameter_bits * DRAM_PJ_PER_BIT, moved * SRAM_PJ_PER_BIT)
