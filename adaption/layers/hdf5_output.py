"""HDF5Output: writes its two bottoms to the data sets `data` and `label` of a file.

Caffe: hdf5_output_layer.cpp. Both data sets have four axes. The first forward pass makes the file,
each later one adds its samples; the original stops there, as the data set already exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaption.errors import FieldError, FileFormatError, LayerError, ShapeError
from adaption.io.atomic import atomic_write
from adaption.io.hdf5 import open_hdf5
from adaption.io.kinds import is_plain_file, kind_of
from adaption.later import Tensor, np, npt
from adaption.layers.base import Layer, Lowering, Runtime, Shape, layer

_NAMES = ("data", "label")  # hdf5_output_layer.hpp


@layer(
    "HDF5Output",
    param="hdf5_output_param",
    kind="other",
    measures=True,
    bottoms=2,
    tops=0,
    is_differentiable=False,
    no_gradient=(0, 1),
)
@dataclass(frozen=True)
class HDF5Output(Layer):
    file_name: str

    def check(self) -> None:
        if not self.file_name:
            raise FieldError("hdf5_output_param.file_name", self.file_name, "a path ending in .h5")

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        data, label = bottoms
        if max(len(data), len(label)) > 4 or not data or data[:1] != label[:1]:
            raise ShapeError(
                f"bottoms have shapes {data} and {label}, allowed: at most 4 axes, and as many"
                " samples"
            )
        return []

    def run(self, runtime: Runtime, *tensors: Tensor) -> tuple[()]:
        arrays = [t.detach().cpu().numpy().astype(np.float32, copy=False) for t in tensors]
        arrays = [a.reshape(*a.shape, *[1] * (4 - a.ndim)) for a in arrays]
        if not runtime.state.get("is_written"):
            self._create(arrays)
        elif runtime.original_semantics:
            raise LayerError(
                f"writes {self.file_name!r} a second time, allowed: one forward pass",
                "run without original_semantics to add samples in each pass",
            )
        else:
            self._append(arrays)
        runtime.state["is_written"] = True
        return ()

    def _create(self, arrays: Sequence[npt.NDArray[Any]]) -> None:
        path = Path(self.file_name)
        if is_plain_file(path) and path.stat().st_size and kind_of(path) != "hdf5":
            # A prototxt names this path: let it replace nothing but what such a layer wrote.
            raise FileFormatError(
                "is to be replaced by an HDF5 file but is none itself",
                "name another file in hdf5_output_param.file_name",
                file=path,
            )
        with atomic_write(path, "w+b") as out, open_hdf5(out, "w") as file:
            for name, array in zip(_NAMES, arrays, strict=True):
                file.create_dataset(name, data=array, maxshape=(None, *array.shape[1:]))

    def _append(self, arrays: Sequence[npt.NDArray[Any]]) -> None:
        with open_hdf5(self.file_name, "r+") as file:
            for name, array in zip(_NAMES, arrays, strict=True):
                rows = file[name]
                if rows.shape[1:] != array.shape[1:]:
                    raise ShapeError(
                        f"{name!r} in {self.file_name!r} has samples of shape {rows.shape[1:]},"
                        f" this pass has {array.shape[1:]}"
                    )
                before = len(rows)
                rows.resize(before + len(array), axis=0)
                rows[before:] = array

    def lower(self, g: Lowering, *names: str) -> tuple[()]:
        return ()
