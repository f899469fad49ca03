"""Images as a model's input: preprocessing as its first operators, so that no caller gets it wrong.

What can stand in the model is the part of Transform behind resizing and cropping: channel order,
mean and scale, in Transform's order and in float32, so bit-equal to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from adaption.data import Transform
from adaption.errors import FieldError, ShapeError, UsageError
from adaption.export.onnx.graph import Array

__all__ = ["MEAN_IMAGE", "METADATA", "ImageInput", "embed_images", "without_images"]

PREFIX = "preprocessing/"  # of the operators that make a net's input from an image
LAYOUTS = ("NCHW", "NHWC")
DTYPES = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}
ORDERS = ("BGR", "RGB")
METADATA = "adaption.images"  # what the model says of its preprocessing
MEAN_IMAGE = "image"


@dataclass(frozen=True)
class ImageInput:
    """Images of the size that the net takes, and what is to be done to them.

    Args:
        transform: mean, scale and the net's channel order; its resizing, cropping and mirroring
            stay outside.
        layout: "NCHW" or "NHWC", as most decoders give images.
        dtype: "uint8" or "float32".
        order: channel order that colour images come in, "BGR" (OpenCV, Caffe) or "RGB".
    """

    transform: Transform
    layout: str = "NCHW"
    dtype: str = "uint8"
    order: str = "BGR"

    def __post_init__(self) -> None:
        for name, allowed in (("layout", LAYOUTS), ("dtype", tuple(DTYPES)), ("order", ORDERS)):
            if getattr(self, name) not in allowed:
                raise FieldError(name, getattr(self, name), ", ".join(allowed))

    def prepared(self, images: Array) -> Array:
        """The net's input for images in this layout and order, and of any size that the transform
        resizes or crops to the net's.

        Returns: float32 (N, C, H, W).
        Raises: ShapeError when they have not four axes.
        """
        return self.transform.apply_to_batch(self._as_decoded(images))

    def outside(self, images: Array) -> Array:
        """The images as the model takes them: resized and cropped, in their own layout and order.

        Raises: ShapeError when they have not four axes; UsageError when their values do not fit.
        """
        x = self._as_decoded(images)
        t = self.transform
        if t.resize is not None or t.crop:
            cut = Transform(resize=t.resize, crop_size=t.crop_size)
            x = cut.apply_to_batch(x)
        if self.order == "RGB" and x.shape[1] == 3:
            x = x[:, ::-1]
        made = x.astype(self.dtype)
        if (made != x).any():
            raise UsageError(
                f"the model takes images of type {self.dtype}, which does not hold their values",
                "give pixels, 0..255",
            )
        return np.ascontiguousarray(made.transpose(0, 2, 3, 1) if self.layout == "NHWC" else made)

    def _as_decoded(self, images: Array) -> Array:
        """(N, C, H, W), colours in the order BGR."""
        if images.ndim != 4:
            raise ShapeError(f"images have shape {images.shape}, allowed: {self.layout}")
        x = images.transpose(0, 3, 1, 2) if self.layout == "NHWC" else images
        return x[:, ::-1] if self.order == "RGB" and x.shape[1] == 3 else x

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; a mean image is only named."""
        mean = self.transform.mean
        return {
            "layout": self.layout,
            "dtype": self.dtype,
            "order": self.order,
            "channel_order": self.transform.channel_order,
            "mean": None
            if mean is None
            else [float(v) for v in mean.flat]
            if mean.shape[1:] == (1, 1)
            else MEAN_IMAGE,
            "scale": self.transform.scale,
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote; without the mean where that is an image."""
        mean = entry["mean"]
        transform = Transform(
            mean_value=() if mean in (None, MEAN_IMAGE) else tuple(mean),
            scale=entry["scale"],
            channel_order=entry["channel_order"],
        )
        return cls(transform, entry["layout"], entry["dtype"], entry["order"])

    def notes(self) -> list[str]:
        """What stays outside the model, one sentence each."""
        t = self.transform
        outside = [n for n, has in (("resizing", t.resize), ("cropping", t.crop)) if has]
        return [f"{' and '.join(outside)} of images stays outside the model"] if outside else []


def embed_images(model: ModelProto, blob: str, images: ImageInput) -> None:
    """Let `model` take images in place of its input `blob`, which keeps its name further in.

    The new input is called `image`, or `BLOB_image` where that is taken.

    Raises: UsageError when `blob` is no input; ShapeError when it holds no images, or a mean does
        not fit it.
    """
    graph = model.graph
    given = next((i for i in graph.input if i.name == blob), None)
    if given is None:
        names = ", ".join(repr(i.name) for i in graph.input)
        raise UsageError(f"images are to go into {blob!r}, the model's inputs are {names}")
    dims = [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim]
    if len(dims) != 4:
        raise ShapeError(f'input "{blob}" has shape {tuple(dims)}, images need (N, C, H, W)')
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    name = "image" if "image" not in taken else f"{blob}_image"
    writer = _Writer(graph, name)
    channels, size = dims[1], dims[2:]
    if images.layout == "NHWC":
        dims = [dims[0], *size, channels]
        writer.op("Transpose", perm=[0, 3, 1, 2])
    if images.dtype != "float32":
        writer.op("Cast", to=TensorProto.FLOAT)
    if channels == 3 and images.order != images.transform.channel_order:
        writer.op("Gather", np.array([2, 1, 0]), axis=1)
    mean = _mean(images.transform, blob, channels, size)
    if mean is not None:
        writer.op("Sub", mean)
    if images.transform.scale != 1.0:
        writer.op("Mul", np.float32(images.transform.scale))
    writer.close(blob)
    given.CopyFrom(helper.make_tensor_value_info(name, DTYPES[images.dtype], dims))
    stated = json.dumps({"input": name, "blob": blob, **images.to_dict()}, ensure_ascii=False)
    model.metadata_props.add(key=METADATA, value=stated)


def without_images(model: ModelProto) -> None:
    """Undo `embed_images`: the net's input is the model's again. Other models stay as they are."""
    graph = model.graph
    mine = [node for node in graph.node if node.name.startswith(PREFIX)]
    if not mine:
        return
    rest = [node for node in graph.node if not node.name.startswith(PREFIX)]
    constants = [t for t in graph.initializer if not t.name.startswith(PREFIX)]
    given = next(i for i in graph.input if i.name == mine[0].input[0])
    dims = [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim]
    if mine[0].op_type == "Transpose":
        dims = [dims[0], dims[3], *dims[1:3]]
    info = helper.make_tensor_value_info(mine[-1].output[0], TensorProto.FLOAT, dims)
    given.CopyFrom(info)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(rest)
    graph.initializer.extend(constants)


def _mean(
    transform: Transform, blob: str, channels: int | str, size: Sequence[int | str]
) -> Array | None:
    mean = transform.mean
    if mean is None:
        return None
    if mean.shape[0] not in (1, channels):
        raise ShapeError(
            f'the mean has {mean.shape[0]} channels, input "{blob}" has {channels}',
            "give one value, or one per channel",
        )
    if mean.shape[1:] == (1, 1):
        return mean
    height, width = size
    if not isinstance(height, int) or not isinstance(width, int):
        raise ShapeError("a mean image needs an input of fixed size", "give the mean per channel")
    rows, columns = mean.shape[1] - height, mean.shape[2] - width
    if rows < 0 or columns < 0:
        raise ShapeError(
            f'the mean image is {mean.shape[1]}x{mean.shape[2]}, input "{blob}" {height}x{width}',
            "give a mean image that is as large or larger, or the mean per channel",
        )
    # As Transform cuts it: from the centre, offset rounded down.
    top, left = rows // 2, columns // 2
    return np.ascontiguousarray(mean[:, top : top + height, left : left + width])


class _Writer:
    """Operators one behind another, put before those of a graph."""

    def __init__(self, graph: GraphProto, value: str) -> None:
        self._graph = graph
        self._value = value
        self._nodes: list[NodeProto] = []

    def op(self, op_type: str, *constants: Any, **attributes: Any) -> None:
        name = f"{PREFIX}{op_type}"
        names = [f"{name}/constant{i}" for i in range(len(constants))]
        for constant, held in zip(constants, names, strict=True):
            tensor = numpy_helper.from_array(np.asarray(constant), held)
            self._graph.initializer.append(tensor)
        self._nodes.append(
            helper.make_node(op_type, [self._value, *names], [name], name=name, **attributes)
        )
        self._value = name

    def close(self, blob: str) -> None:
        """Name the last result `blob`."""
        if not self._nodes:
            self.op("Identity")
        self._nodes[-1].output[0] = blob
        rest = list(self._graph.node)
        del self._graph.node[:]
        self._graph.node.extend([*self._nodes, *rest])
