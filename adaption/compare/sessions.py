"""The file's side of a comparison: an exported model read back, and run in onnxruntime."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from adaption.compare.onnx_session import Session, SessionError, release_held
from adaption.errors import FieldError, FileFormatError
from adaption.export.onnx.file import is_held, read_model
from adaption.export.onnx.graph import Array
from adaption.export.onnx.images import METADATA, ImageInput, without_images
from adaption.export.onnx.lowered import Scale
from adaption.io.entries import Entries
from adaption.io.kinds import kind_of, wrong_kind
from adaption.io.wire import WireError
from adaption.numerics import FixedPoint, number_format

__all__ = [
    "FROM_FILE",
    "FileImages",
    "FileLayer",
    "ModelFile",
    "Session",
    "SessionError",
    "damage_told",
]

MOST_AT_ONCE = 1 << 16  # samples that a file may take
# What protobuf, onnx, json and values of another type than they should have raise.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    StopIteration,
    TypeError,
    ValueError,
)
_AGAIN = "export it again"
UNPACKS = "DequantizeLinear"
FROM_FILE = "file:"  # prefix of what a layer of the file computed, in a cut model


@contextmanager
def damage_told(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what a model's odd values end in, within the block, into one error about the file."""
    try:
        yield
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        fact = f"this model is damaged, or not of this net: {reason}"
        raise FileFormatError(fact, _AGAIN, file=path) from error


class FileLayer:
    """Where the file says one layer's tops are; see lowered.LayerValues."""

    def __init__(self, entry: Entries) -> None:
        self.name: str = entry.text("name")
        self.type: str = entry.text("type")
        self.blobs: tuple[str, ...] = entry.text_list("blobs")
        self.tops: tuple[str, ...] = entry.text_list("tops", or_null=True)
        self.scales: tuple[Scale | None, ...] = tuple(
            None if scale is None else _scale(entry, scale)
            for scale in (entry.items("scales") if "scales" in entry else [None] * len(self.tops))
        )
        self.before: tuple[str, ...] = entry.text_list("before", or_null=True)
        lengths = {len(x) for x in (self.blobs, self.tops, self.scales, self.before)}
        if len(lengths) > 1:
            raise entry.misfit("tops", "as many as blobs, scales and before")


class FileImages:
    """What the file says of the preprocessing in it: `input` is its own input, of shape `dims`;
    `blob` the net's, which the preprocessing makes. `stated` is all it says."""

    def __init__(
        self, stated: Mapping[str, Any], takes: Mapping[str, onnx.TensorShapeProto]
    ) -> None:
        entries = Entries(stated, f"{METADATA}.")
        self.stated = entries.plain_values()
        self.form = ImageInput.from_dict(stated)
        self.blob: str = entries.text("blob")
        self.input: str = entries.text("input", allowed=tuple(takes))
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
            layers = _stated(props, "adaption.layers")
            self.style = props["adaption.style"]
            # int8 weights throughout are exact on every x86 processor with this option only.
            is_for_vnni = props.get("adaption.processor") == "vnni"
            self.session_config = {"session.x64quantprecision": "1"} if is_for_vnni else {}
            # What older files lack: Style.arithmetic.
            self.arithmetic = _arithmetic(_stated(props, "adaption.arithmetic"))
            formats = _stated(props, "adaption.input_formats") or {}
            self.input_formats = {name: _format(entry) for name, entry in formats.items()}
            rows = Entries({"layers": layers}, "adaption.").rows("layers")
            self.layers = [FileLayer(entry) for entry in rows]
            stated = _stated(props, METADATA)
            self.images = None if stated is None else FileImages(stated, takes)
            self._read_graph()
        except (DecodeError, WireError):
            raise wrong_kind(path, kind, "an ONNX model") from None
        except FieldError as error:
            raise FileFormatError(
                f"this model is damaged: {error.fact}", _AGAIN, file=path
            ) from None
        except KeyError:
            raise FileFormatError(
                "this model does not say which of its values are the blobs of a Caffe net",
                "give a file that export_onnx wrote (other tools may drop its metadata_props)",
                file=path,
            ) from None
        except _DAMAGE as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise FileFormatError(f"this model is damaged: {reason}", _AGAIN, file=path) from None
        weakref.finalize(self, release_held, id(self._held))

    def _read_graph(self) -> None:
        graph = self.proto.graph
        opsets = [o.version for o in self.proto.opset_import if o.domain in ("", "ai.onnx")]
        if not opsets:
            raise ValueError("it names no operator set")
        self.opset = opsets[0]
        self.constants = {t.name: t for t in graph.initializer}
        for tensor in graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL and not is_held(tensor):
                raise ValueError(f"constant {tensor.name!r} lies in another file")
        self.inputs = [i.name for i in graph.input if i.name not in self.constants]
        self.outputs = [o.name for o in graph.output]
        self.types = {v.name: v.type.tensor_type.elem_type for v in graph.value_info}
        self.made = {name for node in graph.node for name in node.output}
        values = [*graph.initializer, *graph.input, *graph.output, *graph.value_info]
        names = [v.name for v in values]
        names += [name for node in graph.node for name in (*node.input, *node.output)]
        # Where protobuf does not raise, such a name is bytes.
        if not all(isinstance(name, str) for name in names):
            raise ValueError("it holds a name that is no text")
        if any(not node.output for node in graph.node):
            raise ValueError("a node makes nothing")
        if self.batch is not None and not 0 < self.batch <= MOST_AT_ONCE:
            raise ValueError(f"it takes {self.batch} samples at a time")

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
        if tensor is None:
            return None
        try:
            return np.asarray(numpy_helper.to_array(tensor))
        except _DAMAGE as error:
            raise FileFormatError(
                f"this model is damaged: constant {name!r}: {error}", _AGAIN, file=self.path
            ) from None

    def share_constant(self, name: str, values: Array) -> None:
        """Use `values`, which are equal to a constant, and give up the memory of the constant."""
        if name in self._held:
            self._held[name] = values

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


def _stated(props: Mapping[str, str], name: str) -> Any:
    """The value of a metadata entry, None without; KeyError where the file cannot do without it."""
    if name not in props:
        if name == "adaption.layers":
            raise KeyError(name)
        return None
    return json.loads(props[name])


def _scale(entry: Entries, scale: object) -> Scale:
    if not isinstance(scale, list) or len(scale) != 2:
        raise entry.misfit("scales", "null, or two whole numbers each")
    frac_length, divisor = scale
    if not (_is_whole(frac_length, -1000, 1000) and _is_whole(divisor, 1, 1 << 53)):
        raise entry.misfit("scales", "null, or two whole numbers each")
    return frac_length, divisor


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _arithmetic(stated: object) -> dict[str, Any] | None:
    """What Style.arithmetic wrote."""
    if stated is None:
        return None
    entries = Entries(stated, "adaption.arithmetic.")
    return {
        "rounding": entries.text("rounding"),
        "biases": entries.text("biases"),
        "exceptions": entries.text_list("exceptions"),
    }


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
