"""MarginInnerProduct: SphereFace's A-Softmax scores. SphereFace: margin_inner_product_layer.cpp.

Bottoms: features, one label each. Tops: x W^T with the angle to the row of the label multiplied by
1 to 4 and mixed with the plain score, 1 : lambda; and lambda itself. The rows of W are brought to
length 1 in place by each forward pass. lambda = max(lambda_min, base (1 + gamma n)^-power); n
counts forward passes on from `iteration`, in TEST too. Gradients are the original's: through the
score of the label the features get a direction of length 1, the weights' gradient leaves the margin
out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Runtime, Shape, canonical_axis, layer
from adaption.layers.gradient import own_gradient
from adaption.layers.losses import check_labels


@layer(
    "MarginInnerProduct",
    param="margin_inner_product_param",
    kind="other",
    drawn_as="inner product",
    bottoms=2,
    tops=(1, 2),
    no_gradient=(1,),
)
@dataclass(frozen=True)
class MarginInnerProduct(Layer):
    num_output: int
    type: str
    weight_filler: Any
    axis: int
    base: float
    gamma: float
    power: float
    iteration: int
    lambda_min: float

    def check(self) -> None:
        if self.num_output < 1:
            raise FieldError("margin_inner_product_param.num_output", self.num_output, "1 or more")

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        x, label = bottoms
        axis = canonical_axis(self.axis, len(x))
        if prod(label) != prod(x[:axis]):
            raise ShapeError(f"labels have shape {label}, allowed: one for each of {x[:axis]}")
        return [(*x[:axis], self.num_output), (1,)][: len(self.spec.tops)]

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        x = bottoms[0]
        return [(self.num_output, prod(x[canonical_axis(self.axis, len(x)) :]))]

    def blob_fillers(self) -> list[Any]:
        return [self.weight_filler]

    def run(self, runtime: Runtime, *tensors: Tensor) -> Any:
        x, label, w = tensors
        mix = self._lambda(runtime)
        with torch.no_grad():
            w.div_(w.norm(dim=1, keepdim=True))
        axis = canonical_axis(self.axis, x.dim())
        labels = label.detach().flatten().long()
        check_labels(labels, prod(x.shape[:axis]), self.num_output, None)
        y = self._scores(x, labels, w, mix, prod(x.shape[axis:]))
        y = y.view(*x.shape[:axis], self.num_output)
        return y if len(self.spec.tops) == 1 else (y, x.new_full((1,), mix))

    def save_state(self, runtime: Runtime) -> dict[str, Any]:
        return {key: runtime.state[key] for key in ("iteration",) if key in runtime.state}

    def load_state(self, runtime: Runtime, state: Mapping[str, Any]) -> None:
        runtime.state.pop("iteration", None)
        if not state:
            return
        count = state.get("iteration")
        if type(count) is not int:
            raise FieldError("iteration of the saved state", count, "a whole number")
        runtime.state["iteration"] = count

    def _lambda(self, runtime: Runtime) -> float:
        count = int(runtime.state.get("iteration", self.iteration)) + 1
        runtime.state["iteration"] = count
        return float(max(self.base * (1.0 + self.gamma * count) ** -self.power, self.lambda_min))

    def _scores(self, x: Tensor, labels: Tensor, w: Tensor, mix: float, width: int) -> Tensor:
        rows, weights = x.detach().reshape(-1, width), w.detach().clone()
        plain = rows @ weights.t()
        own = labels.unsqueeze(1)
        length = rows.norm(dim=1, keepdim=True)
        margin, along_w, along_x = _angle(self.type, plain.gather(1, own) / length, length)
        size = (along_w.square() + along_x.square()).sqrt()
        if self.type == "SINGLE":
            y = plain
        else:
            y = plain.scatter(1, own, (margin + mix * plain.gather(1, own)) / (1 + mix))

        def backward(grad: Tensor) -> Sequence[Tensor]:
            into_x, into_w = grad @ weights, grad.t() @ rows
            if self.type != "SINGLE":
                share = grad.gather(1, own) / (1 + mix)
                direction = (along_w * weights[labels] + along_x * rows) / size
                into_x = into_x + share * (direction - weights[labels])
            return into_x.view_as(x), into_w

        return own_gradient(y, backward, x, w)


def _angle(kind: str, c: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For cosine c: |x| psi(angle), and the parts of its gradient along w and along x.

    psi is cos(m angle), continued so that it falls over the whole range of angles.
    """
    side = c.sign()
    if kind == "DOUBLE":
        psi = 2 * side * c**2 - 1
        along_w, along_x = 4 * side * c, 2 * side * c**2 + 1
    elif kind == "TRIPLE":
        inner = (c.abs() - 0.5).sign()
        shift = side * (1 + inner) - 2
        psi = inner * (4 * c**3 - 3 * c) + shift
        along_w, along_x = inner * (12 * c**2 - 3), 8 * inner * c**3 - shift
    elif kind == "QUADRUPLE":
        inner = side * (2 * c**2 - 1).sign()
        shift = 2 * side + inner - 3
        psi = inner * (8 * c**4 - 8 * c**2 + 1) + shift
        along_w = inner * (32 * c**3 - 16 * c)
        along_x = inner * (24 * c**4 - 8 * c**2 - 1) - shift
    else:
        psi, along_w, along_x = c, torch.ones_like(c), torch.zeros_like(c)
    return psi * length, along_w, -along_x / length
