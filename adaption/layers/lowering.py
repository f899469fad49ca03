"""What layers write themselves to: ONNX operators, and integer operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["IntegerLowering", "Lowering", "Shape"]

Shape = tuple[int, ...]


class Lowering(Protocol):
    """What a layer needs to write itself as ONNX; implemented in export/onnx_graph.

    The model takes any batch size where no operator depends on it: in a Reshape, write 0 or -1
    for the batch axis, never its size at export.
    """

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operator; returns its output name, or a tuple of names when outputs > 1."""

    def constant(self, value: Any) -> str:
        """Name of a constant: numpy arrays as they are, ints as int64, floats as float32."""

    def shape(self, name: str) -> Shape:
        """Shape of a bottom or a blob of the layer, at the exported size."""

    def value(self, name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Values of a blob of the layer, for constants that are made from it."""


class IntegerLowering(Protocol):
    """What a layer needs to write itself as integer operations; implemented in export/exact/build.

    Names stand for blobs that hold integer codes with a binary point. Arrays broadcast against
    one sample or the whole blob; they are taken as exact real numbers.
    """

    def shape(self, name: str) -> Shape:
        """Shape of a bottom or a blob of the layer."""

    def value(self, name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Values of a blob of the layer."""

    def apply(self, *names: str) -> Any:
        """The layer's own forward on codes of one scale: it moves, picks or compares values."""

    def product(self, x: str, w: str, *bias: str) -> str:
        """The layer's own forward on codes, linear in x and in w; then the bias per channel."""

    def affine(self, x: str, scale: Any, shift: Any = 0.0) -> str:
        """x scale + shift, elementwise."""

    def slope(self, x: str, slopes: Any) -> str:
        """x where it is positive, else x slopes."""

    def clip(self, x: str, low: float | None, high: float | None) -> str:
        """x, not below `low` and not above `high`."""

    def max_pool(self, x: str) -> str:
        """The greatest value of each window of the layer."""

    def mean_pool(self, x: str, sizes: Any) -> str:
        """The sums over the layer's windows, each divided by its size, (H, W) integers."""

    def add(self, *names: str) -> str:
        """Sum of blobs of one shape."""

    def multiply(self, *names: str) -> str:
        """Product of blobs; axes of size 1 of all but the first are spread."""

    def widen(self, x: str, rank: int) -> str:
        """x with axes of size 1 behind its own, `rank` in all."""

    def function(self, x: str) -> str:
        """The layer's own forward, a function of each value alone, from codes of few bits."""

    def normalize(
        self,
        x: str,
        windows: Sequence[int | None],
        factor: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    ) -> str:
        """x factor(sum of squares over a window around it).

        Args:
            windows: size along each axis behind the first: odd, zeros outside; None: the whole
                axis.
            factor: of the sum; positive above 0, and it never grows.
        """
