"""Input: blobs that the caller fills. Caffe: input_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.errors import FieldError
from adaption.layers.base import Layer, Runtime, Shape, layer


@layer("Input", param="input_param", kind="data", bottoms=0, tops=(1, None), is_source=True)
@dataclass(frozen=True)
class Input(Layer):
    shape: tuple[Any, ...]  # BlobShape messages: none, one for all tops, or one per top

    def check(self) -> None:
        if len(self.shape) not in (0, 1, len(self.spec.tops)):
            raise FieldError(
                "input_param.shape",
                f"{len(self.shape)} times",
                f"none, one, or one per top ({len(self.spec.tops)})",
            )

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        shapes = [tuple(int(d) for d in s.dim) for s in self.shape]
        if not shapes:
            return [()] * len(self.spec.tops)
        return shapes * len(self.spec.tops) if len(shapes) == 1 else shapes

    def run(self, runtime: Runtime, *tensors: Any) -> tuple[()]:
        raise AssertionError("the net keeps an input blob as the caller left it")
