"""ROIPooling: the maximum in each cell of a grid laid over a region. Fast R-CNN: roi_pooling_layer.

Bottoms (N, C, H, W) and regions (R, 5): image index, x1, y1, x2, y2 in the coordinates of the net's
input; top (R, C, pooled_h, pooled_w). An empty cell gives 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import F, Tensor, torch
from adaption.layers.base import Layer, Lowering, Runtime, Shape, layer
from adaption.numerics.rounding import round_half_away


@dataclass(frozen=True)
class _Side:
    """The grid of all regions along one image axis of `size`; each tensor has R rows."""

    start: Tensor  # first pixel, (R,)
    end: Tensor  # last pixel, (R,)
    cell: Tensor  # length of a cell in pixels, float, (R,)
    cells: int
    size: int

    def windows(self) -> tuple[Tensor, Tensor]:
        """First pixel of each cell and the one behind its last, (R, cells)."""
        at = torch.arange(self.cells, device=self.cell.device, dtype=self.cell.dtype)
        first = (at * self.cell[:, None]).floor().long() + self.start[:, None]
        behind = ((at + 1) * self.cell[:, None]).ceil().long() + self.start[:, None]
        return first.clamp(0, self.size), behind.clamp(0, self.size)

    def is_regular(self) -> Tensor:
        """True for regions (R,) within the image whose cells are those of integer arithmetic.

        As the original's, `windows` are computed in float and may be a pixel wider.
        """
        at = torch.arange(self.cells, device=self.start.device)
        length = (self.end - self.start + 1)[:, None]
        first = at * length // self.cells + self.start[:, None]
        behind = self.start[:, None] - (-(at + 1) * length // self.cells)
        fits = (self.start >= 0) & (self.end >= self.start) & (self.end < self.size)
        found = self.windows()
        return fits & (first == found[0]).all(1) & (behind == found[1]).all(1)

    def reaches(self, pixel: Tensor, cell: Tensor) -> Tensor:
        """True where the original's Backward finds `cell` when it asks `pixel` (R, ...).

        It does not in a region whose end lies before its start, though Forward pools there.
        """
        behind = [1] * (pixel.dim() - 1)
        start, end, length = (t.view(-1, *behind) for t in (self.start, self.end, self.cell))
        offset = (pixel - start).to(length.dtype)
        first, last = (offset / length).floor(), ((offset + 1) / length).ceil()
        return (pixel >= start) & (pixel <= end) & (cell >= first) & (cell < last)


@layer(
    "ROIPooling",
    param="roi_pooling_param",
    kind="pooling",
    is_homogeneous=True,
    bottoms=2,
    no_gradient=(1,),
)
@dataclass(frozen=True)
class ROIPooling(Layer):
    pooled_h: int
    pooled_w: int
    spatial_scale: float
    pooled_size: tuple[int, ...]  # Intel's form: one for both, or height and width

    def check(self) -> None:
        if len(self.pooled_size) > 2:
            raise FieldError("roi_pooling_param.pooled_size", list(self.pooled_size), "1 or 2")
        for name, value in zip(("pooled_h", "pooled_w"), self._grid, strict=True):
            if value < 1:
                raise FieldError(f"roi_pooling_param.{name}", value, "1 or more")

    @property
    def _grid(self) -> tuple[int, int]:
        if self.pooled_size:
            return self.pooled_size[0], self.pooled_size[-1]
        return self.pooled_h, self.pooled_w

    def top_shape(self, *bottoms: Shape) -> Shape:
        x, rois = bottoms
        if len(x) != 4:
            raise ShapeError(f"bottom has shape {x}, allowed: 4 axes (N, C, H, W)")
        if len(rois) < 2 or rois[1] != 5 or set(rois[2:]) - {1}:
            raise ShapeError(f"the regions have shape {rois}, allowed: (R, 5)")
        return (rois[0], x[1], *self._grid)

    def _sides(self, x: Tensor, rois: Tensor) -> tuple[_Side, _Side]:
        corners = round_half_away(rois[:, 1:] * self.spatial_scale)
        sides = []
        for axis, (low, high) in enumerate(((1, 3), (0, 2))):
            length = (corners[:, high] - corners[:, low] + 1).clamp_min(1)
            cells = self._grid[axis]
            sides.append(
                _Side(
                    corners[:, low].long(),
                    corners[:, high].long(),
                    length / cells,
                    cells,
                    x.shape[2 + axis],
                )
            )
        return sides[0], sides[1]

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        return self._pool(*tensors, original=runtime.original_semantics)

    def forward(self, x: Tensor, rois: Tensor) -> Tensor:
        return self._pool(x, rois)

    def _pool(self, x: Tensor, rois: Tensor, *, original: bool = False) -> Tensor:
        rois = rois.detach().reshape(-1, 5)
        image = rois[:, 0].long()
        bad = (image < 0) | (image >= x.shape[0])
        if bool(bad.any()):
            raise FieldError("image index of a region", int(image[bad][0]), f"0..{x.shape[0] - 1}")
        rows, columns = self._sides(x, rois)
        at = self._argmax(x.detach(), image.tolist(), rows, columns)
        plane = image[:, None] * x.shape[1] + torch.arange(x.shape[1], device=x.device)
        offset = (plane * (x.shape[2] * x.shape[3]))[:, :, None, None]
        picked = x.take(offset + at.clamp_min(0))
        if original:
            row = torch.div(at, x.shape[3], rounding_mode="floor")
            cell_h = torch.arange(rows.cells, device=x.device)[:, None]
            cell_w = torch.arange(columns.cells, device=x.device)
            learns = rows.reaches(row, cell_h) & columns.reaches(at % x.shape[3], cell_w)
            picked = torch.where(learns, picked, picked.detach())
        return torch.where(at < 0, 0, picked)

    def _argmax(self, x: Tensor, image: Sequence[int], rows: _Side, columns: _Side) -> Tensor:
        """Where each cell has its first maximum, row * W + column, -1 when it is empty.

        Returns: (R, C, pooled_h, pooled_w).
        """
        at = x.new_zeros((len(image), x.shape[1], *self._grid), dtype=torch.long)
        is_regular = (rows.is_regular() & columns.is_regular()).tolist()
        edges = (*rows.windows(), *columns.windows())
        boxes = torch.stack([rows.start, rows.end, columns.start, columns.end], 1).tolist()
        for r, (n, (top, bottom, left, right)) in enumerate(zip(image, boxes, strict=True)):
            if not is_regular[r]:
                at[r] = _argmax(x[n], *(edge[r] for edge in edges))
                continue
            region = x[n, :, top : bottom + 1, left : right + 1]
            place = F.adaptive_max_pool2d(region, self._grid, return_indices=True)[1]
            width = right - left + 1
            at[r] = (place // width + top) * x.shape[3] + place % width + left
        return at

    def lower(self, g: Lowering, *names: str) -> str:
        y: str = g.op(
            "MaxRoiPool",
            *names,
            pooled_shape=list(self._grid),
            spatial_scale=self.spatial_scale,
        )
        return y


def _argmax(x: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Where each cell of one region has its first maximum in row-major order.

    Args:
        x: (C, H, W). top, bottom: (pooled_h,) rows of the cells; left, right: (pooled_w,) columns.
    Returns: (C, pooled_h, pooled_w), row * W + column; -1 for an empty cell.
    """
    first = min(int(top.min()), x.shape[1] - 1)
    band = x[:, first : max(first + 1, int(bottom.max()))]
    best, column = _first_max(band, left, right)  # (C, rows, pooled_w)
    best, row = _first_max(best.transpose(1, 2), top - first, bottom - first)
    column = column.transpose(1, 2).gather(2, row)  # (C, pooled_w, pooled_h)
    at = torch.where(best == -torch.inf, -1, (row + first) * x.shape[2] + column)
    return at.transpose(1, 2)


def _first_max(x: Tensor, first: Tensor, behind: Tensor) -> tuple[Tensor, Tensor]:
    """Maximum and its first place over x[..., first[i]:behind[i]] for each i; -inf when empty."""
    longest = max(1, int((behind - first).max()))
    place = first[:, None] + torch.arange(longest, device=x.device)
    inside = place < behind[:, None]
    place = place.clamp_max(x.shape[-1] - 1)
    values = x.index_select(-1, place.flatten()).view(*x.shape[:-1], *place.shape)
    values = torch.where(inside, values, -torch.inf)
    best, at = values.max(-1)
    return best, place.expand(values.shape).gather(-1, at.unsqueeze(-1)).squeeze(-1)
