"""ReLU: y = max(x, 0) + negative_slope min(x, 0). Caffe: relu_layer.cpp."""

from __future__ import annotations

import math
from dataclasses import dataclass

from adaption.later import F, Tensor
from adaption.layers.base import IntegerLowering, Layer, Lowering, Runtime, layer


@layer(
    "ReLU",
    param="relu_param",
    kind="activation",
    takes_channels_last=True,
    is_pointwise=True,
)
@dataclass(frozen=True)
class ReLU(Layer):
    negative_slope: float
    relu6: bool  # synopsys-caffe: the top is at most 6

    def rectifies(self) -> bool:
        return not self.negative_slope and not self.relu6

    def greatest_of_rectified(self) -> float | None:
        return None if self.negative_slope else 6.0 if self.relu6 else math.inf

    def keeps_codes(self) -> bool:
        return self.rectifies()

    def hands_scale_on(self) -> bool:
        return not self.relu6

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(x, self.negative_slope) if self.negative_slope else F.relu(x)
        return y.clamp_max(6) if self.relu6 else y

    def overwrite(self, runtime: Runtime, x: Tensor, *blobs: Tensor) -> Tensor:
        return F.relu_(x) if self.rectifies() else self.forward(x)

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        x = names[0]
        y = g.slope(x, self.negative_slope) if self.negative_slope else g.clip(x, 0.0, None)
        return g.clip(y, None, 6.0) if self.relu6 else y

    def lower(self, g: Lowering, *names: str) -> str:
        if self.negative_slope:
            y: str = g.op("LeakyRelu", names[0], alpha=self.negative_slope)
        else:
            y = g.op("Relu", names[0])
        return g.op("Min", y, g.constant(6.0)) if self.relu6 else y
