"""What computing and training a net costs: pure functions over numbers of its layers.

Three models: the compute cost and the memory of WRPN (Mishra et al. 2017), and the four complexity
metrics of Sakr and Shanbhag, "Per-Tensor Fixed-Point Quantization of the Back-Propagation
Algorithm" (2019), section 4. All counts are per image; biases are not counted in any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from adaption.errors import FieldError

__all__ = [
    "FLOAT_BITS",
    "Activation",
    "CostIndex",
    "LayerCost",
    "Memory",
    "NetCost",
    "PerTensor",
    "as_float",
    "memory",
    "per_tensor",
    "wrpn_cost",
]

FLOAT_BITS = 32
MANTISSA_BITS = 23  # in a multiplier; exponents are free (Sakr and Shanbhag)

CostIndex = Literal["physical", "paper"]


@dataclass(frozen=True)
class Activation:
    """One tensor that weight layers read, where it is rounded (before pooling), or a result.

    size: its entries. bits: of a value; grad_bits: of its gradient.
    is_input: no weight layer lies before it; no gradient reaches it.
    """

    name: str
    size: int
    bits: int = FLOAT_BITS
    grad_bits: int = FLOAT_BITS
    is_input: bool = False


@dataclass(frozen=True)
class LayerCost:
    """One weight layer.

    macs: multiply-accumulates of its products. weights: entries of its weight.
    inputs, outputs: entries of its bottom and its top.
    reads, feeds: names of the activations that it reads, and of the one that its result becomes.
    """

    name: str
    type: str
    macs: int
    weights: int
    inputs: int
    outputs: int
    reads: tuple[str, ...]
    feeds: str
    weight_bits: int = FLOAT_BITS
    activation_bits: int = FLOAT_BITS  # of what it reads
    weight_grad_bits: int = FLOAT_BITS
    accumulator_bits: int = FLOAT_BITS
    is_shared: bool = False  # its weight is that of an earlier layer

    @property
    def own_weights(self) -> int:
        """Entries of its weight, none where an earlier layer has them."""
        return 0 if self.is_shared else self.weights


@dataclass(frozen=True)
class NetCost:
    """The weight layers of a net and the activations between them; shared weights count once."""

    layers: tuple[LayerCost, ...]
    activations: tuple[Activation, ...]

    def activation(self, name: str) -> Activation:
        """The activation of this name. Raises: KeyError."""
        for found in self.activations:
            if found.name == name:
                return found
        raise KeyError(name)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def weights(self) -> int:
        return sum(layer.own_weights for layer in self.layers)

    @property
    def outputs(self) -> int:
        """Entries of the tops of all weight layers."""
        return sum(layer.outputs for layer in self.layers)


def as_float(net: NetCost) -> NetCost:
    """The same net with nothing rounded."""
    layers = tuple(
        replace(
            x,
            weight_bits=FLOAT_BITS,
            activation_bits=FLOAT_BITS,
            weight_grad_bits=FLOAT_BITS,
            accumulator_bits=FLOAT_BITS,
        )
        for x in net.layers
    )
    activations = tuple(replace(x, bits=FLOAT_BITS, grad_bits=FLOAT_BITS) for x in net.activations)
    return NetCost(layers, activations)


def wrpn_cost(layers: Iterable[LayerCost]) -> int:
    """Sum of macs * (weight bits + activation bits); 64 per MAC in float.

    Source: Mishra et al. (2017), section 1: 4 bits and doubled filters are 4 times the operations,
    each 8 times cheaper.
    """
    return sum(x.macs * (x.weight_bits + x.activation_bits) for x in layers)


@dataclass(frozen=True)
class Memory:
    """Bytes in training and in inference at one batch size.

    largest_dz, largest_dx: gradients of a weight layer's output and input; in inference the
    buffers of features are used again from layer to layer.
    """

    batch: int
    weights_bytes: int
    activations_bytes: int
    largest_dz_bytes: int
    largest_dx_bytes: int
    feature_bytes: int

    @property
    def training_bytes(self) -> int:
        """Everything that training keeps at once."""
        return (
            self.weights_bytes
            + self.activations_bytes
            + self.largest_dz_bytes
            + self.largest_dx_bytes
        )

    @property
    def inference_bytes(self) -> int:
        """Weights and the buffers of features."""
        return self.weights_bytes + self.feature_bytes


def memory(net: NetCost, batch: int) -> Memory:
    """Memory of a net at a batch size.

    Activations are the outputs of weight layers, in the width of what they become; gradients of
    the net's input are not counted.
    Source: Mishra et al. (2017), section 2: what training and inference keep in memory.
    """
    if batch < 1:
        raise FieldError("batch", batch, "1 or more")
    acts = {x.name: x for x in net.activations}
    weights = sum(x.own_weights * x.weight_bits for x in net.layers)
    outputs = [(x, x.outputs * acts[x.feeds].bits) for x in net.layers]
    dz = [x.outputs * acts[x.feeds].grad_bits for x in net.layers]
    dx = [
        x.inputs * max(acts[name].grad_bits for name in x.reads)
        for x in net.layers
        if not all(acts[name].is_input for name in x.reads)
    ]
    features = [x.inputs * x.activation_bits + bits for x, bits in outputs]
    return Memory(
        batch,
        _bytes(weights),
        _bytes(batch * sum(bits for _, bits in outputs)),
        _bytes(batch * max(dz, default=0)),
        _bytes(batch * max(dx, default=0)),
        _bytes(batch * max(features, default=0)),
    )


def _bytes(bits: int) -> int:
    return -(-bits // 8)


@dataclass(frozen=True)
class PerTensor:
    """The metrics of Sakr and Shanbhag for one training iteration on one image.

    c_w, c_a: bits that represent weights and activations with their gradients and accumulators.
    c_m: full adders of one bit in the multipliers. c_c: bits of weight gradients to communicate.
    """

    c_w: int
    c_a: int
    c_m: int
    c_c: int

    def to_dict(self) -> dict[str, int]:
        """Plain values, for JSON."""
        return {"C_W": self.c_w, "C_A": self.c_a, "C_M": self.c_m, "C_C": self.c_c}


def per_tensor(net: NetCost, cost_index: CostIndex = "physical") -> PerTensor:
    """The four metrics.

    Args:
        cost_index: whose gradient a layer's backward products read. "physical": its output's, for
            both of them; "paper": its input's, as the printed C_M has it, which leaves out a layer
            that reads the net's input, and counts an activation's gradient for each input, the
            net's own included.
    Source: Sakr and Shanbhag (2019), section 4, checked against the figures of their table 1.
    """
    if cost_index not in ("physical", "paper"):
        raise FieldError("cost_index", cost_index, "physical, paper")
    acts = {x.name: x for x in net.activations}
    read = {name for x in net.layers for name in x.reads}
    fed = read if cost_index == "paper" else {x.feeds for x in net.layers}
    c_a = sum(acts[name].size * acts[name].bits for name in read)
    c_a += sum(acts[name].size * acts[name].grad_bits for name in fed)
    c_m = 0
    for x in net.layers:
        names: Sequence[str] = (x.feeds,)
        if cost_index == "paper":
            names = [name for name in x.reads if not acts[name].is_input]
        if names:
            gradient = _factor(max(acts[name].grad_bits for name in names))
            weight, activation = _factor(x.weight_bits), _factor(x.activation_bits)
            products = weight * activation + weight * gradient + activation * gradient
            c_m += x.macs * products
    return PerTensor(
        sum(x.own_weights * (x.weight_bits + x.weight_grad_bits + x.accumulator_bits)
            for x in net.layers),
        c_a,
        c_m,
        sum(x.own_weights * x.weight_grad_bits for x in net.layers),
    )  # fmt: skip


def _factor(bits: int) -> int:
    """Width of a factor in a multiplier: a float's mantissa."""
    return MANTISSA_BITS if bits == FLOAT_BITS else bits
