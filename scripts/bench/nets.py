"""The nets that rows are measured on: the checkout's, or the user's own, with one sample each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from turns import Settings

from adaption.graph import NetSpec, NetState, build_spec, input_shapes, with_inputs
from adaption.io.netfile import NetFile, read_net
from adaption.net import Net
from adaption.proto import caffe_pb2

__all__ = ["ROOT", "Given", "OneBatch", "left_out", "nets", "open_given", "open_net", "train_net"]

ROOT = Path(__file__).resolve().parents[2]
MODELS = {
    "SqueezeNet": "squeezenet",
    "ResNet-50": "resnet50",
    "MobileNet": "mobilenet",
    "VGG16": "vgg16",
}
LARGE = ("VGG16", "ResNet-50")  # tens of seconds each, mostly for the proof in exact arithmetic


@dataclass(frozen=True)
class Given:
    """A net: its definition, and its weights where they are not random."""

    name: str
    path: Path
    weights: Path | None


class OneBatch:
    """One random batch, what `measure_net` reads."""

    def __init__(self, net: Net, scale: float = 50.0) -> None:
        generator = torch.Generator().manual_seed(0)
        self.blobs = {
            n: torch.randn(net.blobs[n].shape, generator=generator) * scale for n in net.inputs
        }
        self.names = [str(i) for i in range(next(iter(self.blobs.values())).shape[0])]


def nets(settings: Settings) -> Iterator[Given]:
    """Those of --net, or the four of the checkout."""
    for text in settings.nets:
        path, _, weights = text.partition("=")
        stem = Path(path).stem
        name = Path(path).resolve().parent.name if stem == "deploy" else stem
        yield Given(name, Path(path), Path(weights) if weights else None)
    if not settings.nets:
        for name, folder in MODELS.items():
            yield Given(name, ROOT / "models" / folder / "deploy.prototxt", None)


def left_out(given: Given, settings: Settings) -> bool:
    """Whether --quick goes without this net."""
    return settings.quick and not settings.nets and given.name in LARGE


def open_net(file: NetFile, weights: Path | None, batch: int = 1) -> Net:
    """The net with so many samples per input; random weights where no file holds them."""
    spec: NetSpec = build_spec(file.message, NetState(), file=file.file)
    shapes = {name: (batch, *shape[1:]) for name, shape in input_shapes(spec).items()}
    net = Net(with_inputs(spec, shapes), weights, seed=0)
    if weights is None:
        fill(net)
    return net


def open_given(given: Given, batch: int = 1) -> Net:
    return open_net(read_net(given.path), given.weights, batch)


def train_net(path: Path, batch: int, side: int) -> caffe_pb2.NetParameter:
    """A train net whose data layers are random images of 3 x side x side that stay the same."""
    net = caffe_pb2.NetParameter()
    net.CopyFrom(read_net(path).message)
    keep = [layer for layer in net.layer if layer.type not in ("Data", "ImageData", "HDF5Data")]
    del net.layer[:]
    data = net.layer.add(name="data", type="DummyData", top=["data", "label"])
    param = data.dummy_data_param
    param.shape.add(dim=[batch, 3, side, side])
    param.shape.add(dim=[batch])
    param.data_filler.add(type="gaussian", std=60.0)
    param.data_filler.add(type="constant", value=3.0)
    net.layer.extend(keep)
    return net


def fill(net: Net) -> None:
    """Random weights that keep the variance of what passes (He et al. 2015), biases of 0.

    BatchNorm gets mean 0 and variance 1, Scale the factor 1: values stay of a size, as in a
    trained net, and no pass meets infinities or denormals.
    """
    generator = torch.Generator().manual_seed(0)
    for node in net.nodes:
        kind = node.spec.type
        for i, blob in enumerate(node.masters):
            if kind == "BatchNorm":
                values = torch.full(blob.shape, float(i > 0))
            elif kind == "Scale":
                values = torch.full(blob.shape, float(i == 0))
            else:
                fan_in = blob.count / blob.shape[0]
                values = torch.randn(blob.shape, generator=generator) * (2 / fan_in) ** 0.5
                values *= i == 0
            blob.write(values.numpy())
