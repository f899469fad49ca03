"""S-DFP: shifted dynamic fixed point, one exponent per tensor with a bias on it.

Every product of forward, backward data and backward weights reads P-bit operands: the layer's view
of its bottoms, its weights, and the gradient of its top. Masters, biases, batch norm and the update
stay float. Source: Sakai, Tamiya, "S-DFP: shifted dynamic fixed point for quantized deep neural
network training" (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adaption.errors import FieldError
from adaption.net.plan import Plan, Point
from adaption.numerics import DynamicFixed
from adaption.recipes.base import LayerView, NetView, Recipe, recipe

__all__ = ["Sdfp"]

MOST_BITS = 16  # of an operand; products of longer words pass float32
COMMON_TERMS = 9 * 512  # products in one sum of a 3 x 3 convolution over 512 channels


@recipe("sdfp")
@dataclass(frozen=True)
class Sdfp(Recipe[None]):
    """The formats stay; the exponents follow the tensors."""

    word_length: int
    bias_weight: int
    bias_activation: int
    bias_gradient: int
    first_last: str
    full_range: bool
    delayed: bool
    rounding_gradient: str
    mask_saturated: bool

    def check(self) -> None:
        if not 2 <= self.word_length <= MOST_BITS:
            raise FieldError("word_length", self.word_length, f"2..{MOST_BITS}")
        for name in ("bias_weight", "bias_activation", "bias_gradient"):
            if not -16 <= getattr(self, name) <= 16:
                raise FieldError(name, getattr(self, name), "-16..16")

    def init(self, net: NetView) -> tuple[Plan, None]:
        formats = {
            "bottom": self._format(self.bias_activation),
            "weight": self._format(self.bias_weight),
            "activation_grad": self._format(self.bias_gradient, self.rounding_gradient.lower()),
        }
        plan = {
            Point(layer.name, kind): fmt
            for layer in net.weight_layers
            if self.first_last == "QUANTIZED" or not (layer.is_first or layer.is_last)
            for kind, fmt in formats.items()
            if kind in layer.kinds
        }
        return plan, None

    def _format(self, bias: int, rounding: str = "half_even") -> DynamicFixed:
        return DynamicFixed(
            self.word_length,
            bias,
            rounding,
            range="full" if self.full_range else "symmetric",
            mask_saturated=self.mask_saturated,
            delayed=self.delayed,
        )

    def notices(self, net: NetView) -> Sequence[str]:
        told = []
        ends = [layer.name for layer in net.weight_layers if self._stops_learning(layer)]
        if ends:
            named = ", ".join(f'"{name}"' for name in ends)
            told.append(
                f"the gradient of the last layer ({named}) has the exponent bias"
                f" {self.bias_gradient}: its largest errors saturate, and learning stops there;"
                " leave the last layer float (first_last: FLOAT, --first-last float) or set"
                " bias_gradient: 0"
            )
        most = (2**31 - 1) // (2 ** (self.word_length - 1) - 1) ** 2
        if most < COMMON_TERMS:
            told.append(
                f"32 bits hold any sum of {most} products of {self.word_length}-bit words, and no"
                " more for certain; adaption verify NET WEIGHTS int32 finds sums that overflow"
            )
        return told

    def _stops_learning(self, layer: LayerView) -> bool:
        """A negative bias saturates the largest errors, which carry the signal of a softmax."""
        quantized = self.first_last == "QUANTIZED" and "activation_grad" not in layer.stated
        return layer.is_last and quantized and self.bias_gradient < 0
