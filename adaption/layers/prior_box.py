"""PriorBox: the default boxes of each cell, as shares of the image. SSD: prior_box_layer.cpp.

Bottoms: a feature map and the image, of which only height and width matter; top (1, 2, 4 P): the
boxes cell by cell, then their variances. Three forks give the same fields to different boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from adaption.errors import FieldError, ShapeError
from adaption.graph import LayerSpec
from adaption.later import Tensor, np, npt, torch
from adaption.layers.base import Layer, Lowering, Shape, layer

Box = tuple[float, float, float, float]  # width, height, shift of the centre right and down


@dataclass(frozen=True)
class _PriorBox(Layer):
    min_size: tuple[float, ...]
    max_size: tuple[float, ...]
    aspect_ratio: tuple[float, ...]
    flip: bool
    clip: bool
    variance: tuple[float, ...]
    img_size: int | None
    img_h: int | None
    img_w: int | None
    step: float | None
    step_h: float | None
    step_w: float | None
    offset: float
    reduce_boxes: bool

    def check(self) -> None:
        if not self.min_size:
            raise FieldError("prior_box_param.min_size", "missing", "1 or more, all above 0")
        if min(self.min_size) <= 0:
            raise FieldError("prior_box_param.min_size", min(self.min_size), "above 0")
        if self.max_size and len(self.max_size) != len(self.min_size):
            raise FieldError(
                "prior_box_param.max_size",
                f"given {len(self.max_size)} times",
                f"as often as min_size ({len(self.min_size)})",
            )
        for low, high in zip(self.min_size, self.max_size, strict=False):
            if high <= low:
                raise FieldError("prior_box_param.max_size", high, f"above its min_size {low}")
        if len(self.variance) not in (0, 1, 4) or any(v <= 0 for v in self.variance):
            raise FieldError(
                "prior_box_param.variance", list(self.variance), "none, 1 or 4, all above 0"
            )
        if any(ratio <= 0 for ratio in self.aspect_ratio):
            raise FieldError("prior_box_param.aspect_ratio", min(self.aspect_ratio), "above 0")
        self._check_pair("img_size", "img_h", "img_w")
        self._check_pair("step", "step_h", "step_w")

    def _check_pair(self, both: str, *each: str) -> None:
        """Either `both` sides at once, or `each` of them, or none."""
        values = {name: getattr(self, name) for name in (both, *each)}
        given = [name for name, value in values.items() if value is not None]
        for name in given:
            if values[name] <= 0:
                raise FieldError(f"prior_box_param.{name}", values[name], "above 0")
        if given not in ([], [both], list(each)):
            raise FieldError(
                "prior_box_param", f"with {' and '.join(given)}", f"{both}, or {' and '.join(each)}"
            )

    def top_shape(self, *bottoms: Shape) -> Shape:
        for shape in bottoms:
            if len(shape) != 4:
                raise ShapeError(f"bottom has shape {shape}, allowed: 4 axes (N, C, H, W)")
        height, width = bottoms[0][2:]
        return (1, 2, 4 * height * width * len(self._cell(1.0, 1.0)))

    def forward(self, feature: Tensor, image: Tensor) -> Tensor:
        made = torch.from_numpy(self._priors(tuple(feature.shape), tuple(image.shape)))
        return made.to(feature.device, feature.dtype)

    def lower(self, g: Lowering, *names: str) -> str:
        feature, image = (g.shape(name) for name in names)
        return g.constant(self._priors(feature, image))

    def _priors(self, feature: Shape, image: Shape) -> npt.NDArray[np.float32]:
        """As the original: centres and sides in float, the corners in double, rounded at last."""
        height, width = feature[2:]
        img_h, img_w = (
            self.img_h or self.img_size or image[2],
            self.img_w or self.img_size or image[3],
        )
        f32 = np.float32
        step_h = f32(self.step_h or self.step or f32(img_h) / f32(height))
        step_w = f32(self.step_w or self.step or f32(img_w) / f32(width))
        cell = np.array(self._cell(float(step_h), float(step_w)), f32).astype(np.float64)
        y = (np.arange(height, dtype=f32) + f32(self.offset)) * step_h
        x = (np.arange(width, dtype=f32) + f32(self.offset)) * step_w
        boxes = np.empty((height, width, len(cell), 2, 2))
        boxes[..., 0] = (x[None, :, None] + cell[:, 2])[..., None] + [-0.5, 0.5] * cell[:, :1]
        boxes[..., 1] = (y[:, None, None] + cell[:, 3])[..., None] + [-0.5, 0.5] * cell[:, 1:2]
        flat = (boxes / [img_w, img_h]).astype(f32).reshape(-1)
        if self.clip:
            flat = flat.clip(0, 1)
        variance = self.variance if len(self.variance) == 4 else (*self.variance, 0.1)[:1] * 4
        return np.stack([flat, np.tile(np.array(variance, f32), len(flat) // 4)])[None]

    def _cell(self, step_h: float, step_w: float) -> list[Box]:
        """The boxes of one cell, in pixels, whose centres are in the cell's middle."""
        raise NotImplementedError

    def _other_ratios(self) -> list[float]:
        """The ratios besides 1; those that are there already are left out with their flips."""
        known = [1.0]
        for ratio in self.aspect_ratio:
            if any(abs(ratio - k) < 1e-6 for k in known):
                continue
            known += [ratio, float(np.float32(1 / ratio))] if self.flip else [ratio]
        return [r for r in known if abs(r - 1) >= 1e-6]


def _boxes(low: float, high: float | None, ratios: Sequence[float]) -> list[Box]:
    """Ratio 1 with size `low`, then with sqrt(low high), then `low` with the other ratios."""
    squares = [low] if high is None else [low, sqrt(low * high)]
    sides = [(s, s) for s in squares] + [(low * sqrt(r), low / sqrt(r)) for r in ratios]
    return [(width, height, 0.0, 0.0) for width, height in sides]


@layer(
    "PriorBox",
    param="prior_box_param",
    dialect="ssd",
    kind="other",
    ignores_scale=True,
    bottoms=2,
    is_differentiable=False,
    no_gradient=(0, 1),
)
class PriorBox(_PriorBox):
    """SSD's, with `reduce_boxes` of chuanqi305/ssd. Sizes are cut to whole pixels, as there."""

    def _cell(self, step_h: float, step_w: float) -> list[Box]:
        cell: list[Box] = []
        for i, low in enumerate(self.min_size):
            high = int(self.max_size[i]) if self.max_size else None
            boxes = _boxes(int(low), high, self._other_ratios())
            if self.reduce_boxes:
                boxes[0] = (int(low) / 2, int(low) / 2, 0.0, 0.0)
            cell += boxes
        return cell


@layer(
    "PriorBox",
    param="prior_box_param",
    dialect="textboxes",
    kind="other",
    ignores_scale=True,
    bottoms=2,
    is_differentiable=False,
    no_gradient=(0, 1),
)
class TextBoxesPriorBox(_PriorBox):
    """MhLiao/TextBoxes: each box comes twice, the second half a cell further down."""

    @classmethod
    def claims(cls, spec: LayerSpec) -> float:
        param = spec.message.prior_box_param
        newer = ("img_size", "img_h", "img_w", "step", "step_h", "step_w", "offset", "reduce_boxes")
        if len(param.min_size) != 1 or len(param.max_size) > 1:
            return 0
        if any(param.HasField(name) for name in newer):
            return 0
        # Lines of text are wide; SSD turns each ratio round.
        is_wide = not param.flip and bool(param.aspect_ratio) and min(param.aspect_ratio) >= 1
        return 2 if is_wide else 0.5

    @classmethod
    def read(cls, spec: LayerSpec) -> Layer:
        made = super().read(spec)
        if not spec.message.prior_box_param.HasField("clip"):
            object.__setattr__(made, "clip", True)  # this fork's default
        return made

    def _cell(self, step_h: float, step_w: float) -> list[Box]:
        high = self.max_size[0] if self.max_size else None
        cell = _boxes(self.min_size[0], high, self._other_ratios())
        return [(w, h, x, y + down) for w, h, x, y in cell for down in (0.0, step_h / 2)]


@layer(
    "PriorBox",
    param="prior_box_param",
    dialect="faceboxes",
    kind="other",
    ignores_scale=True,
    bottoms=2,
    is_differentiable=False,
    no_gradient=(0, 1),
)
class FaceBoxesPriorBox(_PriorBox):
    """sfzhang15/FaceBoxes: size 32 comes 16 times per cell, 64 four times; sides are size - 1."""

    @classmethod
    def claims(cls, spec: LayerSpec) -> float:
        param = spec.message.prior_box_param
        is_dense = len(param.min_size) == 3 and {32, 64} < set(param.min_size)
        return 2 if is_dense and not param.max_size and not param.aspect_ratio else 0.5

    def _cell(self, step_h: float, step_w: float) -> list[Box]:
        cell: list[Box] = []
        for i, size in enumerate(self.min_size):
            low = int(size)
            high = int(self.max_size[i]) if self.max_size else None
            _, *others = _boxes(low, high, self._other_ratios())
            shifts = {32: (-16, -8, 0, 8), 64: (-16, 0)}.get(low, (0,))
            cell += [(low - 1, low - 1, x, y) for y in shifts for x in shifts]
            cell += others
        return cell
