"""Dropout: zeroes a share of the values in TRAIN, none in TEST. Caffe: dropout_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from adaption.errors import FieldError
from adaption.layers.base import Layer, Lowering, Runtime, layer


@layer("Dropout", param="dropout_param", takes_channels_last=True)
@dataclass(frozen=True)
class Dropout(Layer):
    dropout_ratio: float

    def check(self) -> None:
        if not 0 < self.dropout_ratio < 1:
            raise FieldError(
                "dropout_param.dropout_ratio", self.dropout_ratio, "above 0 and below 1"
            )

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        x = tensors[0]
        if not runtime.training:
            return x
        kept = torch.rand(x.shape, generator=runtime.generator) >= self.dropout_ratio
        return x * kept.to(x.device) / (1 - self.dropout_ratio)

    def lower(self, g: Lowering, *names: str) -> str:
        return names[0]
