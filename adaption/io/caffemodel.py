""".caffemodel and .caffemodel.h5: read where they are asked for, written as a stream.

Only names, types and blobs are looked at, so models of every Caffe fork load.
Source: caffe.proto (NetParameter, LayerParameter, V1LayerParameter, V0LayerParameter),
net.cpp (Net::ToProto, Net::CopyTrainedLayersFrom).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from adaption.errors import FileFormatError, WeightsError
from adaption.io import wire
from adaption.io.atomic import atomic_write
from adaption.io.blobproto import blob_length, read_blob_message, write_blob_message
from adaption.io.caffemodel_h5 import read_hdf5, write_hdf5
from adaption.io.file_bytes import FileBytes
from adaption.io.kinds import kind_of, wrong_kind
from adaption.io.legacy_types import V0_TYPES, V1_TYPES, v1_type_name
from adaption.io.text import decode, encode
from adaption.io.weights import FloatArray, LayerWeights, WeightBlob, Weights

if TYPE_CHECKING:
    from adaption.proto.caffe_pb2 import NetParameter

__all__ = [
    "FloatArray",
    "LayerWeights",
    "WeightBlob",
    "Weights",
    "read_weights",
    "write_weights",
]

_NET_NAME, _NET_LAYERS, _NET_LAYER = 1, 2, 100  # NetParameter: name, layers (V1), layer
_BLOBS = 7  # LayerParameter.blobs
_Part = tuple[bytes, list[WeightBlob]]  # a layer to write: all but its blobs, its blobs
# where blobs are: NetParameter.layer.blobs, .layers.blobs (V1), .layers.layer.blobs (V0)
_Drop = dict[int, "_Drop | None"]
_BLOB_FIELDS: _Drop = {_NET_LAYER: {_BLOBS: None}, _NET_LAYERS: {6: None, 1: {50: None}}}


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Open a weights file: V0, V1 or V2 .caffemodel, or HDF5, told apart by content.

    Only the headers of a .caffemodel are read here: values come from the file when
    `WeightBlob.array()` asks for them. The file stays open meanwhile, so that one renamed over it
    does no harm; one that is cut short or written into is refused from then on.
    Raises: FileFormatError when the file is missing, truncated, damaged or of another kind.
    """
    kind = kind_of(path)
    if kind == "hdf5":
        return Weights(read_hdf5(path), file=path)
    if kind != "binary protobuf":
        raise _wrong_kind(path, kind)
    try:
        return _read_binary(path)
    except FileFormatError as error:
        raise error.at(file=path) from None


def write_weights(
    path: str | os.PathLike[str],
    layers: Weights | Iterable[LayerWeights],
    name: str | None = None,
    *,
    definition: NetParameter | None = None,
) -> None:
    """Write a weights file blob by blob; HDF5 when `path` ends in .h5, else .caffemodel.

    Args:
        layers: names, types and blobs, in order; layers without blobs are written too.
        name: of the net; default: that of `definition`, else of `layers`.
        definition: the net definition to store with the weights, as Net::ToProto does; its
            layers are matched by name, those without weights are stored without blobs. HDF5
            has no place for it.
    Raises: WeightsError when `layers` has weights for a layer `definition` lacks.
    """
    if name is None:
        name = getattr(definition, "name", "") or getattr(layers, "name", "")
    hdf5 = Path(path).suffix == ".h5"
    with atomic_write(path, "w+b") as out:
        if hdf5:
            write_hdf5(out, layers)
            return
        if definition is None:
            if name:
                out.write(wire.encode_field(_NET_NAME, encode(name)))
            parts = _plain_parts(layers)
        else:
            net, parts = _defined_parts(definition, layers, name)
            out.write(net)
        for head, blobs in parts:
            _write_layer(out, head, blobs)


def _read_binary(path: str | os.PathLike[str]) -> Weights:
    buffer = FileBytes(path)
    name = ""
    layers: list[LayerWeights] = []
    old: list[LayerWeights] = []
    for field in wire.walk(buffer):
        if field.number == _NET_NAME and field.wire == wire.VARINT:
            raise _not_weights(buffer)
        if field.number == _NET_NAME and field.wire == wire.LENGTH:
            name = _text(buffer, field)
        elif field.number in _LAYER_FIELDS and field.wire == wire.LENGTH:
            into = old if field.number == _NET_LAYERS else layers
            into.append(_read_layer(buffer, field, len(into)))
    layers = old or layers  # beside the legacy `layers` Caffe ignores `layer`: UpgradeV1Net
    if not layers:
        raise _not_weights(buffer)
    return Weights(
        layers,
        name,
        path,
        definition=lambda: _without(buffer, _BLOB_FIELDS),
    )


def _read_layer(buffer: wire.Buffer, layer: wire.Field, index: int) -> LayerWeights:
    try:
        name, kind, blobs = _LAYER_FIELDS[layer.number](buffer, layer)
    except FileFormatError as error:
        raise error.at(layer=f"#{index}") from None
    try:
        read = [read_blob_message(buffer, blob.start, blob.end) for blob in blobs]
    except FileFormatError as error:
        raise error.at(layer=name, layer_type=kind) from None
    return LayerWeights(name, kind, read)


_LayerFields = tuple[str, str, list[wire.Field]]  # name, type, blobs


def _v2_fields(buffer: wire.Buffer, layer: wire.Field) -> _LayerFields:
    name = kind = ""
    blobs = []
    for field in wire.walk(buffer, layer.start, layer.end):
        match field.number, field.wire:
            case 1, wire.LENGTH:
                name = _text(buffer, field)
            case 2, wire.LENGTH:
                kind = _text(buffer, field)
            case 7, wire.LENGTH:
                blobs.append(field)
    return name, kind, blobs


def _v1_fields(buffer: wire.Buffer, layer: wire.Field) -> _LayerFields:
    name = kind = ""
    blobs = []
    for field in wire.walk(buffer, layer.start, layer.end):
        match field.number, field.wire:
            case 1, wire.LENGTH:
                return _v0_fields(buffer, field)
            case 4, wire.LENGTH:
                name = _text(buffer, field)
            case 5, wire.VARINT:
                kind = v1_type_name(field.value)
            case 6, wire.LENGTH:
                blobs.append(field)
    return name, kind, blobs


def _v0_fields(buffer: wire.Buffer, layer: wire.Field) -> _LayerFields:
    name = kind = ""
    blobs = []
    for field in wire.walk(buffer, layer.start, layer.end):
        match field.number, field.wire:
            case 1, wire.LENGTH:
                name = _text(buffer, field)
            case 2, wire.LENGTH:
                old = _text(buffer, field)
                kind = V1_TYPES[V0_TYPES[old]] if old in V0_TYPES else old
            case 50, wire.LENGTH:
                blobs.append(field)
    return name, kind, blobs


_LAYER_FIELDS = {_NET_LAYER: _v2_fields, _NET_LAYERS: _v1_fields}


def _not_weights(buffer: wire.Buffer) -> FileFormatError:
    """Says what a protobuf without layers is."""
    fields = {(field.number, field.wire) for field in wire.walk(buffer)}
    fix = "give the .caffemodel that training or the model's author wrote"
    if {(1, wire.VARINT), (7, wire.LENGTH), (8, wire.LENGTH)} <= fields:
        # ModelProto: ir_version, graph, opset_import
        return FileFormatError(
            "this is an ONNX model, not a caffemodel",
            "give the caffemodel; adaption verify NET WEIGHTS FILE.onnx compares the two",
        )
    if (1, wire.VARINT) in fields and {(2, wire.LENGTH), (3, wire.LENGTH)} & fields:
        # SolverState: iter, learned_net, history
        fix = "give the .caffemodel beside it; a .solverstate goes to --snapshot"
        return FileFormatError("this is a solver state, not a caffemodel", fix)
    if (5, wire.LENGTH) in fields or {(n, wire.VARINT) for n in (1, 2, 3, 4)} <= fields:
        # BlobProto: data; num, channels, height, width
        return FileFormatError("this is one blob (.binaryproto, a mean?), not a caffemodel", fix)
    return FileFormatError(f"holds no layers in its {len(buffer)} bytes", fix)


def _wrong_kind(path: str | os.PathLike[str], kind: str) -> FileFormatError:
    if kind == "zip":
        with Path(path).open("rb") as file:
            if b"data.pkl" in file.read(4096):  # torch.save
                kind = "pickle"
    fix = "give the file with the trained weights (.caffemodel or .caffemodel.h5)"
    if kind == "text":
        fix = "this may be the prototxt; " + fix
    return wrong_kind(path, kind, "a caffemodel", fix)


def _text(buffer: wire.Buffer, field: wire.Field) -> str:
    return decode(bytes(buffer[field.start : field.end]))  # proto2 does not check names


def _without(buffer: wire.Buffer, drop: _Drop, start: int = 0, end: int | None = None) -> bytes:
    """The message in buffer[start:end] with the fields in `drop` left out."""
    out = []
    for field in wire.walk(buffer, start, end):
        inner = drop.get(field.number, {})
        if inner is None:
            continue
        if inner and field.wire == wire.LENGTH:
            payload = _without(buffer, inner, field.start, field.end)
            out.append(wire.encode_field(field.number, payload))
        else:
            out.append(bytes(buffer[field.at : field.end]))
    return b"".join(out)


def _layer_head(layer: LayerWeights) -> bytes:
    """The LayerParameter's name and type; its blobs follow."""
    head = wire.encode_field(1, encode(layer.name))
    return head + wire.encode_field(2, encode(layer.type)) if layer.type else head


def _plain_parts(layers: Iterable[LayerWeights]) -> Iterator[_Part]:
    for layer in layers:
        yield _layer_head(layer), layer.blobs


def _write_layer(out: BinaryIO, head: bytes, blobs: list[WeightBlob]) -> None:
    starts = [
        wire.encode_tag(_BLOBS, wire.LENGTH) + wire.encode_varint(blob_length(blob))
        for blob in blobs
    ]
    length = len(head) + sum(
        len(start) + blob_length(blob) for start, blob in zip(starts, blobs, strict=True)
    )
    out.write(wire.encode_tag(_NET_LAYER, wire.LENGTH) + wire.encode_varint(length) + head)
    for start, blob in zip(starts, blobs, strict=True):
        out.write(start)
        write_blob_message(out, blob)


def _defined_parts(
    definition: NetParameter, layers: Iterable[LayerWeights], name: str
) -> tuple[bytes, Iterator[_Part]]:
    """The net without its layers, and each of its layers without, and then with, its blobs."""
    if len(definition.layers):
        raise WeightsError(
            "the definition has V1 layers", "call adaption.io.upgrade.upgrade_net on it first"
        )
    weights: dict[str, list[list[WeightBlob]]] = {}
    for own in layers:
        if own.blobs:
            weights.setdefault(own.name, []).append(own.blobs)
    unknown = sorted(weights.keys() - {layer.name for layer in definition.layer})
    if unknown:
        raise WeightsError(
            f"the definition has no layer for the weights of {', '.join(map(repr, unknown))}",
            "write the weights without definition=, or with the definition they belong to",
        )
    net = type(definition)()
    net.CopyFrom(definition)
    net.ClearField("layer")
    if name:
        net.name = name

    def parts() -> Iterator[_Part]:
        for defined in definition.layer:
            layer = type(defined)()
            layer.CopyFrom(defined)
            layer.ClearField("blobs")
            # a name that occurs twice (TRAIN and TEST) gets its blobs once
            left = weights.get(layer.name)
            yield layer.SerializePartialToString(), left.pop(0) if left else []

    return net.SerializePartialToString(), parts()
