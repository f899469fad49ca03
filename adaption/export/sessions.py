"""The file's side of a comparison: an exported model read back, and run in onnxruntime."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from adaption.errors import FileFormatError
from adaption.export.images import METADATA, ImageInput, without_images
from adaption.export.lowered import Scale
from adaption.export.onnx_file import is_held, read_model
from adaption.export.onnx_graph import Array
from adaption.io.kinds import kind_of, wrong_kind
from adaption.io.wire import WireError
from adaption.numerics import FixedPoint, number_format

__all__ = ["FROM_FILE", "FileImages", "FileLayer", "ModelFile", "Session", "SessionError"]

LARGE = 64 << 20  # bytes of constants

UNPACKS = "DequantizeLinear"
FROM_FILE = "file:"  # prefix of what a layer of the file computed, in a cut model


class SessionError(Exception):
    """onnxruntime refuses a model, or fails on it."""


class FileLayer:
    """Where the file says one layer's tops are; see lowered.LayerValues."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.name: str = entry["name"]
        self.type: str = entry["type"]
        self.blobs: tuple[str, ...] = tuple(entry["blobs"])
        self.tops: tuple[str, ...] = tuple(entry["tops"])
        self.scales: tuple[Scale | None, ...] = tuple(
            None if scale is None else (int(scale[0]), int(scale[1]))
            for scale in entry.get("scales", [None] * len(self.tops))
        )
        self.before: tuple[str, ...] = tuple(entry["before"])


class FileImages:
    """What the file says of the preprocessing in it: `input` is its own input, of shape `dims`;
    `blob` the net's, which the preprocessing makes. `stated` is all it says."""

    def __init__(
        self, stated: Mapping[str, Any], takes: Mapping[str, onnx.TensorShapeProto]
    ) -> None:
        self.stated = stated
        self.form = ImageInput.from_dict(stated)
        self.blob: str = stated["blob"]
        self.input: str = stated["input"]
        self.dims = tuple(d.dim_param or d.dim_value for d in takes[self.input].dim)


class ModelFile:
    """An ONNX file that export_onnx wrote. Preprocessing in it is left out but for `with_images`.

    Raises: FileFormatError when it is no ONNX model, or one from elsewhere.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        kind = kind_of(path)
        if kind not in ("binary protobuf", "binary"):
            raise wrong_kind(path, kind, "an ONNX model")
        try:
            self.proto, self._held = read_model(path)
            takes = {i.name: i.type.tensor_type.shape for i in self.proto.graph.input}
            without_images(self.proto)
            self.size_bytes = self.path.stat().st_size
            props = {p.key: p.value for p in self.proto.metadata_props}
            layers = json.loads(props["adaption.layers"])
            self.style = props["adaption.style"]
            # int8 weights throughout are exact on every x86 processor with this option only.
            is_for_vnni = props.get("adaption.processor") == "vnni"
            self.session_config = {"session.x64quantprecision": "1"} if is_for_vnni else {}
            # What older files lack: Style.arithmetic.
            self.arithmetic = json.loads(props.get("adaption.arithmetic", "null"))
            formats = json.loads(props.get("adaption.input_formats", "{}"))
            self.input_formats = {name: _format(entry) for name, entry in formats.items()}
            self.layers = [FileLayer(entry) for entry in layers]
            stated = json.loads(props[METADATA]) if METADATA in props else None
            self.images = None if stated is None else FileImages(stated, takes)
        except (DecodeError, WireError):
            raise wrong_kind(path, kind, "an ONNX model") from None
        except (KeyError, TypeError, ValueError):
            raise FileFormatError(
                "this model does not say which of its values are the blobs of a Caffe net",
                "give a file that export_onnx wrote (other tools may drop its metadata_props)",
                file=path,
            ) from None
        self.opset = next(o.version for o in self.proto.opset_import if o.domain in ("", "ai.onnx"))
        self.constants = {t.name: t for t in self.proto.graph.initializer}
        self.inputs = [i.name for i in self.proto.graph.input if i.name not in self.constants]
        self.outputs = [o.name for o in self.proto.graph.output]
        self.types = {v.name: v.type.tensor_type.elem_type for v in self.proto.graph.value_info}
        self.made = {name for node in self.proto.graph.node for name in node.output}

    @property
    def batch(self) -> int | None:
        """The batch size that the model is made for; None when it takes any."""
        for value in self.proto.graph.input:
            dims = value.type.tensor_type.shape.dim
            if value.name in self.inputs and dims:
                return None if dims[0].HasField("dim_param") else int(dims[0].dim_value)
        return 1

    def constant(self, name: str) -> Array | None:
        """Values of a constant, None when the file has none of that name."""
        if name in self._held:
            return self._held[name]
        tensor = self.constants.get(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))

    def values(self) -> list[str]:
        """The values that layers made: tops, and what their activation points round."""
        names = [v for x in self.layers for v in (*x.before, *x.tops)]
        return [v for v in dict.fromkeys(names) if v in self.made]

    def plain(self) -> Session:
        """The file as it is."""
        return Session(_copy(self.proto), self.outputs, self._held, self.session_config)

    def with_images(self) -> Session:
        """The file with its preprocessing, taking images; the net's input is an output, too."""
        assert self.images is not None
        model, held = read_model(self.path)
        names = [self.images.blob, *(n for n in self.outputs if n != self.images.blob)]
        _add_outputs(model, [n for n in names if n not in self.outputs])
        return Session(model, names, held, self.session_config)

    def codes(self) -> list[str]:
        """Tops that hold integer codes, or values that DequantizeLinear has made of them."""
        made = {n for x in self.proto.graph.node if x.op_type == UNPACKS for n in x.output}
        pairs = [p for x in self.layers for p in zip(x.tops, x.scales, strict=True)]
        return list(dict.fromkeys(top for top, scale in pairs if scale or top in made))

    def whole(self, values: Iterable[str] | None = None) -> Session:
        """The file with more outputs: `values`, by default every layer's tops."""
        names = self.values() if values is None else [*dict.fromkeys((*values, *self.outputs))]
        model = _copy(self.proto)
        _add_outputs(model, [n for n in names if n not in self.outputs], self.types)
        return Session(model, names, self._held, self.session_config)

    def cut(self, values: Sequence[str]) -> Session:
        """The file cut apart behind `values`.

        Each becomes an input, which the operators behind it read, and what the file computes for
        it becomes an output named `file:NAME`.
        """
        names = set(values)
        model = _copy(self.proto)
        del model.graph.output[:]
        del model.graph.value_info[:]
        read = {name for node in model.graph.node for name in node.input}
        for node in model.graph.node:
            node.output[:] = [FROM_FILE + n if n in names else n for n in node.output]
        model.graph.input.extend(_info(n) for n in values if n in read)
        outputs = [FROM_FILE + n for n in values]
        _add_outputs(model, outputs)
        return Session(model, outputs, self._held, self.session_config)

    def activation_point(self, before: str, top: str) -> Session:
        """The operators between a value and its rounded form, from an input "x" to `top`."""
        makers = {name: node for node in self.proto.graph.node for name in node.output}
        wanted, found = [top], {before}
        while wanted:
            name = wanted.pop()
            if name not in found and name in makers:
                found.add(name)
                wanted += makers[name].input
        found.discard(before)
        ordered = [n for n in self.proto.graph.node if n.output[0] in found]
        used = {name for node in ordered for name in node.input}
        model = helper.make_model(
            helper.make_graph(
                ordered,
                "activation",
                [_info(before)],
                [_info(top)],
                [t for name, t in self.constants.items() if name in used],
            ),
            opset_imports=self.proto.opset_import,
            ir_version=self.proto.ir_version,
        )
        return Session(model, [top], self._held, self.session_config)


class Session:
    """A model loaded into onnxruntime, on the CPU, with as many threads as torch uses.

    The model given is used up: it is empty afterwards. `held` are constants that it lacks, `config`
    entries of onnxruntime's session options.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        outputs: Sequence[str],
        held: Mapping[str, Array] = MappingProxyType({}),
        config: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = torch.get_num_threads()
        for key, value in config.items():
            options.add_session_config_entry(key, value)
        self._outputs = list(outputs)
        names = [t.name for t in model.graph.initializer if is_held(t)]
        self._held = [onnxruntime.OrtValue.ortvalue_from_numpy(held[name]) for name in names]
        if sum(held[name].nbytes for name in names) > LARGE:
            # Packed copies of all weights would double what the session holds.
            options.add_session_config_entry("session.disable_prepacking", "1")
        try:
            if names:
                options.add_external_initializers(names, self._held)
            content = model.SerializeToString()
            model.Clear()  # onnxruntime makes a copy of its own while it loads
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own classes have no common base
            raise SessionError(_first_line(error)) from error
        self._inputs = {i.name for i in self._session.get_inputs()}

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once. Feeds that the model does not ask for are left aside."""
        given = {name: array for name, array in feeds.items() if name in self._inputs}
        if not self._outputs:  # to onnxruntime, none means all
            return {}
        try:
            found = self._session.run(self._outputs, given)
        except Exception as error:
            raise SessionError(_first_line(error)) from error
        return dict(zip(self._outputs, found, strict=True))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _format(entry: Mapping[str, Any]) -> FixedPoint:
    """What Format.to_dict wrote."""
    fmt = number_format(**entry)
    if not isinstance(fmt, FixedPoint):
        raise ValueError(f"input format {entry}")
    return fmt


def _info(name: str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, None)


def _add_outputs(
    model: onnx.ModelProto, names: Iterable[str], types: Mapping[str, int] | None = None
) -> None:
    given = types or {}
    model.graph.output.extend(_info(name, given.get(name, TensorProto.FLOAT)) for name in names)
