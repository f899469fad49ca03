"""OnnxGraph: operators and constants of a growing ONNX graph; what layers lower themselves to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

__all__ = ["Array", "OnnxGraph"]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class OnnxGraph:
    """Implements layers.base.Lowering.

    Operators and constants are named after the layer that writes them: `conv1/Conv`. Names are
    provisional until `rename`, which gives values that are blobs the names of the blobs.

    Args:
        reserved: names that stay free for blobs.
    """

    def __init__(self, reserved: Iterable[str]) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Array] = {}  # by name, in the order of making
        self.owners: dict[str, str] = {}  # operator or constant -> the layer that wrote it
        self.shapes: dict[str, Shape] = {}  # of inputs, tops and blobs
        self.sources: dict[str, str] = {}  # value made of a blob -> the constant that holds it
        self._taken = set(reserved)
        self._layer = ""
        self._prefix = ""
        self._known: dict[tuple[str, str, Shape, bytes], str] = {}

    @contextmanager
    def scope(self, layer: str, part: str = "") -> Iterator[None]:
        """Name what is written inside after `layer`, or after a part of it."""
        before = self._layer, self._prefix
        self._layer, self._prefix = layer, f"{layer}/{part}" if part else layer
        try:
            yield
        finally:
            self._layer, self._prefix = before

    # -- layers.base.Lowering ----------------------------------------------------------------

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operator; returns its output name, or a tuple of names when outputs > 1."""
        name = self.free(f"{self._prefix}/{op_type}")
        tops = [name] if outputs == 1 else [self.free(f"{name}:{i}") for i in range(outputs)]
        self.owners[name] = self._layer
        self.nodes.append(helper.make_node(op_type, inputs, tops, name=name, **attributes))
        return name if outputs == 1 else tuple(tops)

    def constant(self, value: Any) -> str:
        """Name of a constant: numpy arrays as they are, ints as int64, floats as float32."""
        array = _as_array(value)
        key = (self._layer, array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self._add("constant", array)
        return self._known[key]

    def shape(self, name: str) -> Shape:
        """Shape of an input, a top or a blob, at the exported size."""
        return self.shapes[name]

    def value(self, name: str) -> npt.NDArray[np.float32]:
        """Values of a blob or another constant."""
        return self.constants[self.sources.get(name, name)]

    @property
    def layer(self) -> str:
        """The layer of the scope."""
        return self._layer

    # -- for the exporter --------------------------------------------------------------------

    def blob(self, index: int, array: Array) -> str:
        """Name of a constant that holds blob `index` of the layer of the scope."""
        name = self._add(f"blob{index}", array)
        self.shapes[name] = array.shape
        return name

    def read_constants(self) -> dict[str, Array]:
        """The constants that some operator reads, by name."""
        read = {name for node in self.nodes for name in node.input}
        return {name: a for name, a in self.constants.items() if name in read}

    def rename(self, names: Mapping[str, str]) -> None:
        """Give values other names, everywhere."""
        for node in self.nodes:
            for spots in (node.input, node.output):
                spots[:] = [names.get(name, name) for name in spots]
        self.shapes = {names.get(name, name): shape for name, shape in self.shapes.items()}

    def initializers(self) -> Sequence[TensorProto]:
        """The constants as ONNX holds them."""
        return [numpy_helper.from_array(a, name) for name, a in self.read_constants().items()]

    def _add(self, kind: str, array: Array) -> str:
        name = self.free(f"{self._prefix}/{kind}")
        self.constants[name] = array
        self.owners[name] = self._layer
        return name

    def free(self, wanted: str) -> str:
        """A name that nothing has yet: `wanted`, or that with a number."""
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name


def _as_array(value: Any) -> Array:
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    wide = np.asarray(value, dtype=None if np.size(value) else np.int64)
    return wide.astype(np.int64 if wide.dtype.kind in "iu" else np.float32)
