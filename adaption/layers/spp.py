"""SPP: spatial pyramid pooling; level i lays 2^i x 2^i windows over the image. spp_layer.cpp.

The top is (N, C, 1, 1) for a pyramid of one level, else all levels flattened, (N, sum of C 4^i).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.errors import FieldError, ShapeError
from adaption.later import F, Tensor, np, torch
from adaption.layers.base import Layer, Lowering, Shape, layer


@layer("SPP", param="spp_param", kind="pooling", is_homogeneous=True)
@dataclass(frozen=True)
class SPP(Layer):
    pyramid_height: int
    pool: str

    def check(self) -> None:
        if self.pyramid_height < 1:
            raise FieldError("spp_param.pyramid_height", self.pyramid_height, "1 or more")
        if self.pool not in ("MAX", "AVE"):  # the original: "not implemented" with padding
            raise FieldError("spp_param.pool", self.pool, "MAX, AVE")

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        if len(x) != 4 or min(x[2:]) < 1:
            raise ShapeError(f"bottom has shape {x}, allowed: 4 axes (N, C, H, W)")
        for level in range(self.pyramid_height):
            self._level(x, level)
        if self.pyramid_height == 1:
            return (*x[:2], 1, 1)
        return (x[0], x[1] * sum(4**i for i in range(self.pyramid_height)))

    def _level(self, shape: Shape, level: int) -> tuple[list[int], list[int], list[int]]:
        """(kernel, padding in front, padding behind) along height and width.

        Kernel and stride are equal, and with this padding the windows fit exactly, so that the
        average always divides by the whole kernel. Caffe: SPPLayer::GetPoolingParam.
        """
        bins = 2**level
        kernel = [-(-size // bins) for size in shape[2:]]
        missing = [k * bins - size for k, size in zip(kernel, shape[2:], strict=True)]
        front = [(m + 1) // 2 for m in missing]
        if any(p >= k for p, k in zip(front, kernel, strict=True)):
            raise FieldError(
                "spp_param.pyramid_height",
                self.pyramid_height,
                f"at most {level} for a bottom of {shape[2]} x {shape[3]}: the {bins} x {bins}"
                " windows of the last level would lie in padding",
            )
        return kernel, front, [m - p for m, p in zip(missing, front, strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        levels = [self._pool(x, i) for i in range(self.pyramid_height)]
        return levels[0] if len(levels) == 1 else torch.cat([y.flatten(1) for y in levels], 1)

    def _pool(self, x: Tensor, level: int) -> Tensor:
        kernel, front, behind = self._level(tuple(x.shape), level)
        fill = torch.finfo(x.dtype).min if self.pool == "MAX" else 0.0
        padded = F.pad(x, (front[1], behind[1], front[0], behind[0]), value=fill)
        return F.max_pool2d(padded, kernel) if self.pool == "MAX" else F.avg_pool2d(padded, kernel)

    def lower(self, g: Lowering, *names: str) -> str:
        levels = []
        for level in range(self.pyramid_height):
            kernel, front, behind = self._level(g.shape(names[0]), level)
            form: dict[str, Any] = {"kernel_shape": kernel, "strides": kernel}
            fill = np.float32(0 if self.pool == "AVE" else np.finfo(np.float32).min)
            pads = g.constant(np.array([0, 0, *front, 0, 0, *behind]))
            x = g.op("Pad", names[0], pads, g.constant(fill))
            y: str = g.op("AveragePool" if self.pool == "AVE" else "MaxPool", x, **form)
            levels.append(y if self.pyramid_height == 1 else g.op("Flatten", y, axis=1))
        return levels[0] if len(levels) == 1 else g.op("Concat", *levels, axis=1)
