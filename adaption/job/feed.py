"""What a net is fed with: data given by the caller, or the data layers of its prototxt."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from adaption.data import Batches, Source, Transform
from adaption.data.feed import FedLayer
from adaption.data.given import is_path, source_of
from adaption.errors import DataError, LayerError, WeightsError
from adaption.graph import LayerSpec, NetSpec, input_shapes, insert_splits, with_inputs
from adaption.io.caffemodel import Weights
from adaption.layers.base import traits_of
from adaption.layers.shapes import shapes_of
from adaption.net import Net
from adaption.options import RunOptions

__all__ = ["Feed", "fed_by", "feed_from_data", "feed_from_layers"]

ACTIVATION_BUDGET = 256 << 20  # bytes of blobs that one batch may take
MOST_SAMPLES = 128


@dataclass(frozen=True)
class Feed:
    """Batches for a net whose data layers, if it had any, have become inputs."""

    batches: Batches
    spec: NetSpec
    kind: str
    path: str
    labels: str | None = None  # blob of the labels, where the net has one

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            if self.labels is not None and batch.labels is not None:
                labels = batch.labels.astype(np.float32).reshape(-1, *[1] * self._label_axes)
                batch = batch._replace(blobs={**batch.blobs, self.labels: labels})
            yield batch

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def _label_axes(self) -> int:
        shape = next(
            s.message.input_param.shape[0].dim for s in self.spec.layers if self.labels in s.tops
        )
        return len(shape) - 1

    def replaced(self, spec: NetSpec) -> dict[str, tuple[int, ...]]:
        """Shapes of the inputs that stand in place of the data layers of `spec`."""
        own = input_shapes(spec)
        return {name: s for name, s in input_shapes(self.spec).items() if name not in own}

    def describe(self) -> dict[str, Any]:
        """The `data` entry of the summary."""
        source = self.batches.source
        return {
            "source": self.path,
            "kind": self.kind,
            "samples": self.batches.samples - len(source.skipped),
            "skipped": len(source.skipped),
            "skipped_names": [s.name for s in source.skipped[:20]],
            "has_labels": self.batches.has_labels,
        }

    def preprocessing(self) -> dict[str, Any]:
        """The `preprocessing` entry of the summary; empty for arrays that come preprocessed."""
        transform = self.batches.transform
        return {} if transform is None else transform.describe()


def feed_from_data(
    spec: NetSpec,
    data: Any,
    transform: Transform | None = None,
    options: RunOptions = RunOptions(),
    *,
    root: str | os.PathLike[str] | None = None,
    weights: Weights | None = None,
) -> Feed:
    """Feed `spec` with data of any kind (see data.given.source_of).

    A data layer of the net is replaced: its first top takes the images, its second the labels.

    Args:
        options: how the data is cut into batches.
        root: folder that the files of a list are relative to.
        weights: tell how many channels a net without Input layers takes.
    Raises: DataError when the data does not suit the net's inputs.
    """
    layers = _data_layers(spec)
    if len(layers) > 1:
        raise DataError(
            f"the net has {len(layers)} data layers, one source cannot feed them all",
            "give a deploy prototxt with Input layers and an npz with one array per input",
        ).at(file=spec.file)
    inputs = list(layers[0].tops[:1] if layers else input_shapes(spec))
    source = source_of(data, inputs, root=root, is_color=_is_color(spec, layers, weights))
    label = None
    if layers:
        spec, label = _replace_data_layer(spec, layers[0], source, transform or Transform())
        _require_labels(label, source.has_labels, spec, source.path)
    else:
        spec = _sized_like(spec, source, weights)
    shapes = input_shapes(spec)
    shapes.pop(label or "", None)
    if not shapes:
        raise DataError("the net has no input to feed", "give a net with an Input layer").at(
            file=spec.file
        )
    batches = _batches(source, transform, options, spec, shapes)
    path = os.fspath(data if is_path(data) else source.path)
    return Feed(batches, spec, source.kind, path, label)


def feed_from_layers(
    spec: NetSpec,
    transform: Transform | None = None,
    options: RunOptions = RunOptions(),
) -> Feed:
    """Feed `spec` from its own data layer, one pass over the source, without wrapping around.

    Raises: DataError when the net has no data layer, or one that is fed by a program.
    """
    layers = _data_layers(spec)
    if len(layers) != 1:
        raise DataError(
            f"has {len(layers)} data layers in phase {spec.phase}, so the data is not known",
            "give --data with a folder, list file, LMDB, LevelDB, HDF5 or npz",
        ).at(file=spec.file)
    item = layers[0]
    try:
        source, own = _opened(item)
        transform = transform or own
        spec, label = _replace_data_layer(spec, item, source, transform)
    except (DataError, LayerError) as error:
        raise error.at(
            file=spec.file, layer=item.name, layer_type=item.type, line=item.line
        ) from None
    _require_labels(label, source.has_labels, spec, source.path)
    shapes = input_shapes(spec)
    shapes.pop(label or "", None)
    batches = _batches(source, transform, options, spec, shapes)
    return Feed(batches, spec, "layers", os.fspath(source.path), label)


def _replace_data_layer(
    spec: NetSpec, item: LayerSpec, source: Source, transform: Transform | None
) -> tuple[NetSpec, str | None]:
    """The net with inputs in place of its data layer, and the blob of the labels, if any."""
    first = next(iter(source))
    shapes: dict[str, tuple[int, ...]] = {}
    label = None
    rest = [top for top in item.tops if top not in first.arrays]
    if first.arrays and source.has_labels and "label" in rest:
        label = "label"  # array sources give their data sets by name
    elif not first.arrays or len(rest) == len(item.tops):
        label = rest[1] if len(rest) > 1 else None  # of images, the second top
    elif rest and source.has_labels:
        label = rest[-1]
    for top in item.tops:
        if top in first.arrays:
            shapes[top] = (1, *first.arrays[top].shape)
        elif top == label:
            shapes[top] = (1, *source.label_shape)
        elif top == rest[0]:
            size = first.image.shape
            is_image = transform is not None and len(size) == 3
            shapes[top] = (1, *(transform.top_shape(size) if is_image and transform else size))
        else:
            held = ", ".join((*source.array_names, *(["label"] if source.has_labels else [])))
            raise DataError(
                f'nothing in it fills the top "{top}"; it holds {held or "images and labels"}',
                "name the arrays as the tops of the data layer",
                file=source.path,
            ).at(layer=item.name, layer_type=item.type, line=item.line)
    return with_inputs(spec, shapes), label


def _sized_like(spec: NetSpec, source: Source, weights: Weights | None) -> NetSpec:
    """The net with its inputs as large as arrays are, where it takes another size.

    A fully convolutional net's prototxt often holds just one of the sizes it is used with. Where
    the net does not take the size of the arrays, its own stays, and `Batches` says what differs.
    """
    arrays = next(iter(source)).arrays
    shapes = input_shapes(spec)
    resized = {
        name: (shape[0], *arrays[name].shape)
        for name, shape in shapes.items()
        if name in arrays and len(arrays[name].shape) == len(shape) - 1
    }
    if not resized or all(shapes[name] == shape for name, shape in resized.items()):
        return spec
    wanted = with_inputs(spec, shapes | resized)
    try:
        Net(wanted, weights)
    except (LayerError, WeightsError):
        return spec
    return wanted


def _is_color(spec: NetSpec, layers: list[LayerSpec], weights: Weights | None) -> bool | None:
    """Whether a net whose inputs are data layers takes 3 channels, told by its first weights."""
    if not layers or weights is None:
        return None
    for item in spec.layers:
        found = weights.get(item.name)
        if layers[0].tops[0] in item.bottoms and found is not None and found.blobs:
            shape = found.blobs[0].shape
            group = item.message.convolution_param.group
            if len(shape) == 4 and shape[1] * group in (1, 3):
                return shape[1] * group == 3
    return None


def _batches(
    source: Source,
    transform: Transform | None,
    options: RunOptions,
    spec: NetSpec,
    shapes: dict[str, tuple[int, ...]],
) -> Batches:
    count = options.batch_size or suitable_batch(spec)
    limit, seed, skip = options.limit, options.seed, options.skip
    return Batches(source, transform, count, shapes, limit=limit, seed=seed, skip=skip)


def _opened(item: LayerSpec) -> tuple[Source, Transform | None]:
    """The source and the preprocessing of a data layer. Raises: DataError for other layers."""
    layer = traits_of(item)
    opened = layer.one_pass() if isinstance(layer, FedLayer) else None
    if opened is None:
        raise DataError(
            f"is a {item.type} layer, which has no source of its own",
            "give --data with a folder, list file, LMDB, LevelDB, HDF5 or npz",
        )
    return opened


def _data_layers(spec: NetSpec) -> list[LayerSpec]:
    """The layers that bring data, but for inputs."""
    sources = [s for s in spec.layers if not s.bottoms and not s.is_input]
    return [s for s in sources if traits_of(s, spec).is_source]


def _require_labels(label: str | None, has_labels: bool, spec: NetSpec, data: Any) -> None:
    if label is not None and not has_labels:
        raise DataError(
            f'has no labels, and the net reads them as blob "{label}"',
            "give labelled data, or the deploy prototxt",
        ).at(file=data)


def fed_by(spec: NetSpec, feed: Feed) -> NetSpec:
    """`spec`, a rewritten form of the net that `feed` was made for, with the same inputs."""
    shapes = input_shapes(feed.spec)
    own = {top for s in spec.layers if s.is_input for top in s.tops}
    return with_inputs(spec, {name: s for name, s in shapes.items() if name not in own})


def suitable_batch(spec: NetSpec) -> int:
    """Samples per batch such that all blobs together stay within a few hundred MB."""
    one = {name: (1, *shape[1:]) for name, shape in input_shapes(spec).items()}
    blobs: dict[str, tuple[int, ...]] = {}
    for layer in shapes_of(insert_splits(with_inputs(spec, one))):
        blobs.update(zip(layer.spec.tops, layer.tops, strict=True))
    values = sum(map(prod, blobs.values()))
    return max(1, min(MOST_SAMPLES, ACTIVATION_BUDGET // (4 * max(1, values))))
