"""ArgMax: the top_k indices, values, or both, along one axis or over a whole sample.

Caffe: argmax_layer.cpp. It sorts (value, index) pairs downwards, so ties are won by the highest
index.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from adaption.errors import FieldError
from adaption.later import Tensor, np, torch
from adaption.layers.base import Layer, Lowering, Shape, canonical_axis, layer
from adaption.layers.traits import ScaleChange

_FLOAT = 1  # onnx.TensorProto.FLOAT


@layer(
    "ArgMax",
    param="argmax_param",
    kind="other",
    ignores_scale=True,
    is_differentiable=False,
    no_gradient=(0,),
)
@dataclass(frozen=True)
class ArgMax(Layer):
    out_max_val: bool
    top_k: int
    axis: int | None  # None: all axes but the first, flattened

    def rescaled(self, scale: float) -> ScaleChange | None:
        return None if self.out_max_val else super().rescaled(scale)

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        if self.axis is None:
            size = prod(x[1:])
            # (N, 1 or 2, top_k), and as many axes as the bottom has.
            top = (x[0], 2 if self.out_max_val else 1, self.top_k, *[1] * (len(x) - 3))
        else:
            axis = canonical_axis(self.axis, len(x))
            size = x[axis]
            top = (*x[:axis], self.top_k, *x[axis + 1 :])
        if not 1 <= self.top_k <= size:
            raise FieldError("argmax_param.top_k", self.top_k, f"1..{size}")
        return top

    def forward(self, x: Tensor) -> Tensor:
        top = self.top_shape(tuple(x.shape))
        rows = x.detach().reshape(x.shape[0], -1) if self.axis is None else x.movedim(self.axis, -1)
        # Mirrored, so that a stable sort puts the highest index first.
        values, at = torch.sort(rows.flip(-1), dim=-1, descending=True, stable=True)
        values = values[..., : self.top_k]
        index = (rows.shape[-1] - 1 - at[..., : self.top_k]).to(x.dtype)
        if self.axis is None:
            found = torch.stack([index, values], 1) if self.out_max_val else index
            return found.reshape(top)
        return (values if self.out_max_val else index).movedim(-1, self.axis)

    def lower(self, g: Lowering, *names: str) -> str:
        shape = g.shape(names[0])
        top = self.top_shape(shape)
        x, axis = names[0], 1
        if self.axis is None:
            x, size = g.op("Reshape", x, g.constant([0, prod(shape[1:])])), prod(shape[1:])
        else:
            axis = canonical_axis(self.axis, len(shape))
            size = shape[axis]
        # TopK breaks ties by the lowest index: mirror the axis, and the indices it gives.
        mirrored = g.op(
            "Slice",
            x,
            g.constant(np.array([-1])),
            g.constant(np.array([-size - 1])),
            g.constant(np.array([axis])),
            g.constant(np.array([-1])),
        )
        values, at = g.op(
            "TopK", mirrored, g.constant(np.array([self.top_k])), outputs=2, axis=axis
        )
        index = g.op("Cast", g.op("Sub", g.constant(size - 1), at), to=_FLOAT)
        if self.axis is not None:
            y: str = values if self.out_max_val else index
            return y
        both = g.op("Concat", index, values, axis=1) if self.out_max_val else index
        y = g.op("Reshape", both, g.constant([0, *top[1:]]))
        return y
