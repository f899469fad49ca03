"""MemoryData: batches of arrays that the caller hands over. Caffe: memory_data_layer.cpp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adaption.data.base import Array
from adaption.data.feed import whole_number
from adaption.errors import DataError, FieldError, LayerError
from adaption.later import Tensor, np, torch
from adaption.layers.base import Layer, Progress, Runtime, Shape, layer


@layer(
    "MemoryData",
    param="memory_data_param",
    kind="data",
    obeys_transform=True,
    bottoms=0,
    tops=2,
    is_source=True,
)
@dataclass(frozen=True)
class MemoryData(Layer):
    batch_size: int
    channels: int
    height: int
    width: int

    def check(self) -> None:
        for name in ("batch_size", "channels", "height", "width"):
            if getattr(self, name) < 1:
                raise FieldError(f"memory_data_param.{name}", getattr(self, name), "1 or more")

    @property
    def _sample_shape(self) -> Shape:
        return (self.channels, self.height, self.width)

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [(self.batch_size, *self._sample_shape), (self.batch_size,)]

    def set_input_arrays(self, runtime: Runtime, data: Array, labels: Array) -> None:
        """Use these arrays from their start; float32 arrays are shared, so changes to them count.

        Args:
            runtime: of the node that runs this layer.
            data: (n, channels, height, width), n a multiple of batch_size.
            labels: n values, in any shape.
        Raises: DataError when shapes or numbers do not fit.
        """
        data = np.ascontiguousarray(data, np.float32)
        labels = np.ascontiguousarray(labels, np.float32)
        if data.ndim != 4 or data.shape[1:] != self._sample_shape:
            raise DataError(
                f"data has shape {data.shape}, the layer takes (n, {self.channels},"
                f" {self.height}, {self.width})"
            )
        if not len(data) or len(data) % self.batch_size:
            raise DataError(
                f"data holds {len(data)} samples, a multiple of batch_size ({self.batch_size}) is"
                " needed"
            )
        if labels.size != len(data):
            raise DataError(f"labels holds {labels.size} values for {len(data)} samples")
        runtime.state["arrays"] = (torch.from_numpy(data), torch.from_numpy(labels).view(-1))
        runtime.state["samples"] = 0

    def run(self, runtime: Runtime, *tensors: Tensor) -> list[Tensor]:
        if "arrays" not in runtime.state:
            raise LayerError(
                "has no data yet", "call set_input_arrays(data, labels) before forward"
            )
        data, labels = runtime.state["arrays"]
        row = runtime.state["samples"] % len(data)
        stop = row + self.batch_size
        runtime.state["samples"] += self.batch_size
        # Copies: a blob may be written to. The label grows to four axes here, as in Caffe.
        tops = data[row:stop].clone(), labels[row:stop].view(-1, 1, 1, 1).clone()
        return [top.to(runtime.device) for top in tops]

    def save_state(self, runtime: Runtime) -> dict[str, Any]:
        """The position; the arrays are the caller's to set again, before `load_state`."""
        return {"samples": runtime.state["samples"]} if "samples" in runtime.state else {}

    def load_state(self, runtime: Runtime, state: Mapping[str, Any]) -> None:
        runtime.state["samples"] = whole_number(state, "samples") if state else 0

    def progress(self, runtime: Runtime) -> Progress | None:
        if "arrays" not in runtime.state:
            return None
        return Progress(runtime.state["samples"], len(runtime.state["arrays"][0]))
