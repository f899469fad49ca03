"""BNLL: log(1 + exp(x)), the binomial normal log likelihood. Caffe: bnll_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.later import F, Tensor
from adaption.layers.base import Layer, Lowering, Runtime, layer
from adaption.layers.gradient import gradient_at_top


@layer("BNLL", kind="activation", is_pointwise=True)
@dataclass(frozen=True)
class BNLL(Layer):
    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x)

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        if runtime.original_semantics and self.spec.is_in_place:
            return gradient_at_top(self.forward, *tensors)
        return self.forward(*tensors)

    def lower(self, g: Lowering, *names: str) -> str:
        y: str = g.op("Softplus", names[0])
        return y
