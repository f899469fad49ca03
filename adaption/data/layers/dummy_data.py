"""DummyData: tops made by fillers. Caffe: dummy_data_layer.cpp.

A constant top is filled once and keeps what is written into it; others are drawn at every pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.errors import AdaptionError, FieldError
from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Runtime, Shape, layer
from adaption.net.fillers import fill
from adaption.proto import caffe_pb2

_LEGACY = ("num", "channels", "height", "width")


@layer(
    "DummyData", param="dummy_data_param", kind="data", bottoms=0, tops=(1, None), is_source=True
)
@dataclass(frozen=True)
class DummyData(Layer):
    data_filler: tuple[Any, ...]  # FillerParameter: none, one for all tops, or one per top
    shape: tuple[Any, ...]  # BlobShape: one for all tops, or one per top
    num: tuple[int, ...]
    channels: tuple[int, ...]
    height: tuple[int, ...]
    width: tuple[int, ...]

    def check(self) -> None:
        count = len(self.spec.tops)
        if len(self.data_filler) not in (0, 1, count):
            raise _wrong_count("data_filler", len(self.data_filler), f"none, one, or {count}")
        if not any(getattr(self, name) for name in _LEGACY):
            if len(self.shape) not in (1, count):
                raise _wrong_count("shape", len(self.shape), f"one, or one per top ({count})")
            return
        if self.shape:
            raise _wrong_count("shape", len(self.shape), "none beside num, channels, height, width")
        for name in _LEGACY:
            if len(getattr(self, name)) not in (1, count):
                found = len(getattr(self, name))
                raise _wrong_count(name, found, f"one, or one per top ({count})")

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        tops = range(len(self.spec.tops))
        if self.shape:
            return [tuple(int(d) for d in _pick(self.shape, i).dim) for i in tops]
        return [tuple(int(_pick(getattr(self, name), i)) for name in _LEGACY) for i in tops]

    def _filler(self, top: int) -> Any:
        return _pick(self.data_filler or (caffe_pb2.FillerParameter(),), top)

    def first_tops(self, runtime: Runtime) -> list[Tensor | None]:
        """The constant tops, which are not filled again."""
        kept: list[Tensor | None] = [
            self._filled(shape, self._filler(i), runtime)
            if self._filler(i).type == "constant"
            else None
            for i, shape in enumerate(self.top_shapes())
        ]
        runtime.state["constant"] = kept
        return kept

    def run(self, runtime: Runtime, *tensors: Tensor) -> list[Tensor]:
        kept = runtime.state.get("constant") or self.first_tops(runtime)
        return [
            self._filled(shape, self._filler(i), runtime) if top is None else top
            for i, (shape, top) in enumerate(zip(self.top_shapes(), kept, strict=True))
        ]

    def _filled(self, shape: Shape, filler: Any, runtime: Runtime) -> Tensor:
        top = torch.empty(shape)
        try:
            fill(top, filler, runtime.draws_on_host)
        except AdaptionError as error:
            error.fact = f"dummy_data_param.data_filler: {error.fact}"
            raise
        return top.to(runtime.device)


def _pick(values: tuple[Any, ...], index: int) -> Any:
    return values[0] if len(values) == 1 else values[index]


def _wrong_count(name: str, found: int, allowed: str) -> FieldError:
    return FieldError(f"dummy_data_param.{name}", f"{found} times", allowed)
