"""PSROIPooling: the mean in each cell of a region, each cell from maps of its own. R-FCN.

Bottoms (N, output_dim group_size², H, W) and regions (R, 5): image index, x1, y1, x2, y2 in the
coordinates of the net's input; top (R, output_dim, group_size, group_size). Other than ROIPooling
it rounds the corners before they are scaled. An empty cell gives 0. Source: psroi_pooling_layer.
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import F, Tensor, torch
from adaption.layers.base import Layer, Shape, layer
from adaption.numerics.rounding import round_half_away


@layer(
    "PSROIPooling",
    param="psroi_pooling_param",
    kind="pooling",
    is_homogeneous=True,
    bottoms=2,
    no_gradient=(1,),
)
@dataclass(frozen=True)
class PSROIPooling(Layer):
    spatial_scale: float | None
    output_dim: int | None
    group_size: int | None

    def check(self) -> None:
        for name in ("spatial_scale", "output_dim", "group_size"):
            value = getattr(self, name)
            if value is None or value <= 0:
                raise FieldError(
                    f"psroi_pooling_param.{name}", "missing" if value is None else value, "above 0"
                )

    @property
    def _cells(self) -> int:
        return int(self.group_size or 0)

    def top_shape(self, *bottoms: Shape) -> Shape:
        x, rois = bottoms
        dim, cells = int(self.output_dim or 0), self._cells
        if len(x) != 4 or x[1] != dim * cells**2:
            raise ShapeError(
                f"bottom has shape {x}, allowed: (N, {dim * cells**2}, H, W) for output_dim {dim}"
                f" and group_size {cells}"
            )
        if len(rois) < 2 or rois[1] != 5 or set(rois[2:]) - {1}:
            raise ShapeError(f"the regions have shape {rois}, allowed: (R, 5)")
        return (rois[0], dim, cells, cells)

    def forward(self, x: Tensor, rois: Tensor) -> Tensor:
        rois = rois.detach().reshape(-1, 5).float()
        image = rois[:, 0].long()
        bad = (image < 0) | (image >= x.shape[0])
        if bool(bad.any()):
            raise FieldError("image index of a region", int(image[bad][0]), f"0..{x.shape[0] - 1}")
        left, right = self._edges(rois[:, 1], rois[:, 3], x.shape[3])
        top, bottom = self._edges(rois[:, 2], rois[:, 4], x.shape[2])
        # Sums over everything above and to the left of a pixel, so that a cell takes four of them;
        # in double, since they are subtracted.
        sums = F.pad(x.double().cumsum(2).cumsum(3), (1, 0, 1, 0))
        maps = sums.reshape(x.shape[0], -1, self._cells, self._cells, *sums.shape[2:])
        rows = torch.arange(self._cells, device=x.device)

        def corner(y: Tensor, at: Tensor) -> Tensor:
            place = (image[:, None, None], rows[:, None], rows, y[:, :, None], at[:, None])
            return maps.transpose(0, 1)[(slice(None), *place)]  # (output_dim, R, cells, cells)

        total = corner(bottom, right) - corner(top, right) - corner(bottom, left)
        total = total + corner(top, left)
        area = (bottom - top).clamp_min(0)[:, :, None] * (right - left).clamp_min(0)[:, None]
        mean = torch.where(area > 0, total / area.clamp_min(1), 0)
        return mean.transpose(0, 1).to(x.dtype)

    def _edges(self, start: Tensor, end: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """First pixel of each cell and the one behind its last, (R, cells)."""
        scale = float(self.spatial_scale or 0)
        first = round_half_away(start) * scale
        behind = (round_half_away(end) + 1) * scale
        side = (behind - first).clamp_min(0.1) / self._cells
        at = torch.arange(self._cells + 1, device=start.device, dtype=start.dtype)
        edges = at * side[:, None] + first[:, None]
        low, high = edges[:, :-1].floor(), edges[:, 1:].ceil()
        return low.long().clamp(0, length), high.long().clamp(0, length)
