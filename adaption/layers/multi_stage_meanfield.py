"""MultiStageMeanfield: CRF as recurrent net. torrvision: multi_stage_meanfield.cpp.

Bottoms: unary terms (N, C, H, W), the scores before the first step (as a rule the unary terms
again), images (N, 3, H, W). Each step filters the softmax of the scores in space and by colour,
weighs the two by C x C blobs, mixes classes by the compatibility blob, and subtracts the result
from the unary terms. The top is not normalized.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, np, torch
from adaption.layers.base import Layer, Runtime, Shape, layer
from adaption.layers.permutohedral import Lattice

_TINY = 1e-20  # keeps norms finite: multi_stage_meanfield.cpp


@layer(
    "MultiStageMeanfield",
    param="multi_stage_meanfield_param",
    kind="other",
    bottoms=3,
    no_gradient=(2,),
    ignores=("threshold", "force_cpu"),
)
@dataclass(frozen=True)
class MultiStageMeanfield(Layer):
    theta_alpha: float
    theta_beta: float
    theta_gamma: float
    num_iterations: int
    spatial_filter_weight: float
    bilateral_filter_weight: float
    spatial_filter_weights_str: str
    bilateral_filter_weights_str: str

    def check(self) -> None:
        if self.num_iterations < 2:
            raise FieldError(
                "multi_stage_meanfield_param.num_iterations", self.num_iterations, "2 or more"
            )
        for name in ("theta_alpha", "theta_beta", "theta_gamma"):
            if getattr(self, name) <= 0:
                raise FieldError(
                    f"multi_stage_meanfield_param.{name}", getattr(self, name), "above 0"
                )

    def top_shape(self, *bottoms: Shape) -> Shape:
        unary, start, image = bottoms
        if len(unary) != 4 or start != unary or image != (unary[0], 3, *unary[2:]):
            raise ShapeError(
                f"bottoms have shapes {unary}, {start} and {image}, allowed: (N, C, H, W) twice and"
                " (N, 3, H, W)"
            )
        return unary

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        classes = bottoms[0][1]
        return [(1, 1, classes, classes)] * 3

    def blob_fillers(self) -> list[Callable[[Tensor], None]]:
        return [
            lambda blob: self._fill(blob, "spatial"),
            lambda blob: self._fill(blob, "bilateral"),
            lambda blob: _set_diagonal(blob, [-1.0]),
        ]

    def _fill(self, blob: Tensor, kind: str) -> None:
        name = f"{kind}_filter_weights_str"
        text = getattr(self, name)
        try:
            values = [float(v) for v in text.split()] or [getattr(self, f"{kind}_filter_weight")]
        except ValueError:
            values = []
        if len(values) not in (1, blob.shape[-1]):
            raise FieldError(
                f"multi_stage_meanfield_param.{name}", text, f"one number, or {blob.shape[-1]}"
            )
        _set_diagonal(blob, values)

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        unary, start, image, spatial, bilateral, mixing = tensors
        images = image.detach().cpu().numpy().astype(np.float32)
        near = self._spatial_filter(runtime, images.shape[2:])
        tops = []
        for n in range(unary.shape[0]):
            alike = _Filter(self._bilateral_points(images[n]))
            own, scores = unary[n].flatten(1), start[n].flatten(1)
            for _ in range(self.num_iterations):
                shares = torch.softmax(scores, 0)
                message = spatial[0, 0] @ near(shares) + bilateral[0, 0] @ alike(shares)
                scores = own - mixing[0, 0] @ message
            tops.append(scores.view(unary.shape[1:]))
        return torch.stack(tops)

    def _spatial_filter(self, runtime: Runtime, size: Shape) -> _Filter:
        kept = runtime.state.get("spatial")
        if kept is None or kept[0] != size:
            points = _places(*size) / np.float32(self.theta_gamma)
            kept = runtime.state["spatial"] = (size, _Filter(points))
        made: _Filter = kept[1]
        return made

    def _bilateral_points(self, image: Any) -> Any:
        places = _places(*image.shape[1:]) / np.float32(self.theta_alpha)
        colours = image.reshape(3, -1).T / np.float32(self.theta_beta)
        return np.concatenate([places, colours], 1)


class _Filter:
    """A lattice whose filtered values are divided by the filtered ones."""

    def __init__(self, points: Any) -> None:
        self.lattice = Lattice(points)
        self.norm = 1 / (self.lattice.filter(torch.ones(1, len(points))) + _TINY)

    def __call__(self, values: Tensor) -> Tensor:
        return self.lattice.filter(values) * self.norm.to(values)


def _places(height: int, width: int) -> Any:
    """(x, y) of each pixel, row by row."""
    row, column = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.stack([column.ravel(), row.ravel()], 1).astype(np.float32)


def _set_diagonal(blob: Tensor, values: list[float]) -> None:
    blob.zero_()
    blob[0, 0].diagonal().copy_(torch.tensor(values).expand(blob.shape[-1]))
