"""What a net costs at a position of a path of cuts, and why each layer has its length there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adaption.graph import NetSpec
from adaption.options import Budget
from adaption.precision.allocation import Path
from adaption.precision.cost_model import LayerCost
from adaption.precision.cost_records import net_cost
from adaption.precision.inference_cost import InferenceCost, inference_cost

__all__ = ["PathCosts"]


@dataclass(frozen=True)
class PathCosts:
    """Costs of one net whose weights take fewer bits, layer by layer.

    budget: says what is saved, weight bits or MAC bits.
    widest: word length by layer, of the layers that may take fewer bits.
    layers: weights and MACs of each layer. at_widest: what the net costs with the widest lengths.
    """

    budget: Budget
    widest: Mapping[str, int]
    layers: Mapping[str, LayerCost]
    at_widest: InferenceCost

    @classmethod
    def of(cls, low: NetSpec, widest: Mapping[str, int], budget: Budget) -> PathCosts:
        """The costs of a net that has the widest lengths."""
        layers = {layer.name: layer for layer in net_cost(low).layers}
        return cls(budget, widest, layers, inference_cost(low))

    def per_bit(self, layer: str) -> int:
        """What one bit of a layer's weights costs."""
        cost = self.layers[layer]
        return cost.macs if self.budget.cost == "macs" else cost.own_weights

    def at(self, path: Path, position: int) -> dict[str, Any]:
        """Bits of the weights that are searched and of all parameters, MAC bits, and the error."""
        return {**self._of(path.lengths(position)), "error": path.error_at(position)}

    def _of(self, lengths: Mapping[str, int]) -> dict[str, Any]:
        off = {name: self.widest[name] - bits for name, bits in lengths.items()}
        weights = {name: self.layers[name].own_weights for name in lengths}
        bits = sum(weights[name] * lengths[name] for name in lengths)
        return {
            "weight_bits": bits,
            "average_bits": bits / max(1, sum(weights.values())),
            "parameter_bits": self.at_widest.parameter_bits
            - sum(weights[name] * less for name, less in off.items()),
            "mac_bits": self.at_widest.mac_bits
            - sum(self.layers[name].macs * less for name, less in off.items()),
        }

    def fits(self, lengths: Mapping[str, int]) -> bool:
        """Whether word lengths, by layer, keep the limits of size and MAC bits."""
        costs, budget = self._of(lengths), self.budget
        fits_size = budget.max_size is None or costs["parameter_bits"] <= 8 * budget.max_size
        return fits_size and (budget.max_macbits is None or costs["mac_bits"] <= budget.max_macbits)

    def reason(self, path: Path, position: int, layer: str) -> str:
        """Why a layer has its word length: what its last cut saved, and the next would save."""
        return "; ".join(self._reasons(path, position, layer))

    def _reasons(self, path: Path, position: int, layer: str) -> Iterator[str]:
        unit = "MAC bits" if self.budget.cost == "macs" else "weight bits"
        last, following = path.last_cut(layer, position), path.next_cut(layer, position)
        if last is not None:
            yield (
                f"from {last.before} to {last.bits} bits saves {last.saved:,} {unit} for"
                f" {100 * last.added:.2g} % error"
            )
        if following is not None:
            yield (
                f"{following.bits} bits would save {following.saved:,} for"
                f" {100 * following.added:.2g} %"
            )
        elif last is None:
            yield "has no weights of its own" if not self.per_bit(layer) else "the only length"
        else:
            yield "the fewest bits allowed"
