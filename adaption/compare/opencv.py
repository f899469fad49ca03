"""Backend opencv: OpenCV's dnn module on weights baked onto their grid, results not rounded."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adaption.compare.backends import Arithmetic, Key, Trace
from adaption.errors import UsageError
from adaption.exact.selection import select
from adaption.io.caffemodel import read_weights, write_weights
from adaption.io.netfile import read_net, write_net
from adaption.net import Net
from adaption.precision.convert import convert
from adaption.precision.rewrite import rewrite

__all__ = ["OpenCv"]

Array = npt.NDArray[Any]


class OpenCv:
    """The net as plain Caffe files, read and run by OpenCV 4; the output blobs are compared.

    Raises: UsageError without OpenCV, or with one that reads no Caffe files any more.
    """

    name = "opencv"
    arithmetic = Arithmetic("float32")

    def __init__(self, net: Net) -> None:
        try:
            import cv2
        except ImportError:
            raise UsageError("OpenCV is not installed", "pip install 'opencv-python<5'") from None
        if not hasattr(cv2.dnn, "readNetFromCaffe"):
            raise UsageError(
                f"OpenCV {cv2.__version__} reads no Caffe files", "pip install 'opencv-python<5'"
            )
        if net.spec.file is None:
            raise UsageError("the net comes from no file", "read it from its prototxt")
        selection = select(net)
        self._inputs = selection.inputs
        makers = selection.makers
        self._outputs: list[Key] = [(makers[blob], blob) for blob in selection.outputs]
        with tempfile.TemporaryDirectory() as folder:
            weights, definition = Path(folder) / "baked.caffemodel", Path(folder) / "baked.prototxt"
            own = Path(folder) / "own.caffemodel"
            net.save(own)
            file = read_net(net.spec.file)
            write_weights(weights, convert(read_weights(own), file, baked=True))
            write_net(rewrite(file), definition)
            self._net = cv2.dnn.readNetFromCaffe(str(definition), str(weights))

    def run(self, inputs: Mapping[str, Array]) -> Trace:
        """One pass; the outputs alone."""
        for name in self._inputs:
            self._net.setInput(np.ascontiguousarray(inputs[name], np.float32), name)
        found = self._net.forward([layer for layer, _ in self._outputs])
        values = {
            key: np.asarray(array, np.float64)
            for key, array in zip(self._outputs, found, strict=True)
        }
        return Trace(values)
