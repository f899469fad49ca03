"""Dropout: zeroes a share of the values in TRAIN, none in TEST. Caffe: dropout_layer.cpp.

With `sample_weights_test` it does so in TEST, too: Bayesian SegNet takes several samples of a net
and their variance (Kendall et al. 2015; caffe-segnet, dropout_layer.cpp).
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, LayerError
from adaption.graph import LayerSpec
from adaption.later import Tensor, torch
from adaption.layers.base import IntegerLowering, Layer, Lowering, Runtime, layer
from adaption.layers.fields import read_fields


@layer(
    "Dropout",
    param="dropout_param",
    kind="function",
    is_homogeneous=True,
    takes_channels_last=True,
    is_pointwise=True,
)
@dataclass(frozen=True)
class Dropout(Layer):
    dropout_ratio: float
    scale_train: bool  # Faster R-CNN, R-FCN: whether TRAIN scales up, or TEST down
    sample_weights_test: bool

    @classmethod
    def read(cls, spec: LayerSpec) -> Layer:
        if not spec.message.dropout_param.sample_weights_test:
            return super().read(spec)
        param = spec.message.dropout_param
        made = SampledDropout(**read_fields(SampledDropout, param))
        object.__setattr__(made, "spec", spec)
        return made

    def check(self) -> None:
        if not 0 < self.dropout_ratio < 1:
            raise FieldError(
                "dropout_param.dropout_ratio", self.dropout_ratio, "above 0 and below 1"
            )

    def hands_on(self) -> bool:
        return self.scale_train

    def settings(self) -> str:
        return f"ratio {self.dropout_ratio:g}"

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        x = tensors[0]
        if not (runtime.training or self.sample_weights_test):
            return x if self.scale_train else x * (1 - self.dropout_ratio)
        draw = torch.rand(x.shape, generator=runtime.generator, device=x.device)
        y = x * (draw >= self.dropout_ratio)
        return y / (1 - self.dropout_ratio) if self.scale_train else y

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        return names[0] if self.scale_train else g.affine(names[0], 1 - self.dropout_ratio)

    def lower(self, g: Lowering, *names: str) -> str:
        if self.scale_train:
            return names[0]
        y: str = g.op("Mul", names[0], g.constant(1 - self.dropout_ratio))
        return y


class SampledDropout(Dropout):
    """Draws in TEST as well: no function of its values, so nothing exact can be made of it."""

    is_pointwise = False

    def hands_on(self) -> bool:
        return False

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        raise self._is_random()

    def lower(self, g: Lowering, *names: str) -> str:
        raise self._is_random()

    def _is_random(self) -> LayerError:
        return LayerError(
            "draws anew in every pass (sample_weights_test: true)",
            "remove sample_weights_test to export the net without samples",
        )
