"""Backends: everything that can compute a net, behind one call, for comparing any two of them.

float             the full precision weights, nothing rounded
lp                the low-precision net as it is simulated and trained, in float32
lp64              the same in float64, whose sums of codes do not round
exact             integer codes, see adaption.exact
exact-half-even   the same with biases at the products' scale and ties to even, as QDQ has them
opencv            OpenCV 4's dnn module, on weights baked onto their grid (results not rounded)
baked             our own net of those weights
FILE.onnx         onnxruntime on a file that export_onnx wrote, of any style
FILE.npz          blobs that something else recorded, keyed by blob name
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adaption.compare.sessions import ModelFile, SessionError, damage_told
from adaption.errors import UsageError
from adaption.exact import ExactNet, ExactOptions
from adaption.exact.reference import run_layers
from adaption.exact.selection import Member, Selection
from adaption.exact.ties import tie_points
from adaption.io.arrays import read_recorded
from adaption.net import Net
from adaption.net.blob import Blob
from adaption.net.node import Node
from adaption.net.plan import LayerFormats
from adaption.numerics import FixedPoint, Format, Wrpn

__all__ = [
    "Arithmetic",
    "Backend",
    "Exact",
    "Formats",
    "Key",
    "Onnxruntime",
    "Recorded",
    "Simulation",
    "Trace",
    "baked",
    "in_float",
]

Key = tuple[str, str]  # layer, blob
Array = npt.NDArray[Any]
Formats = Mapping[str, FixedPoint]


@dataclass(frozen=True)
class Arithmetic:
    """How a backend computes: what may be promised about it.

    `kind` is "exact", "float64" or "float32"; two exact ones of one `rounding` and `biases` are
    equal, but for layers that depend on one of `exceptions`. `is_lossless`: an exact one rounds
    nothing that the simulation does not.
    """

    kind: str
    rounding: str = "net"
    is_lossless: bool = True
    biases: str = "odd"
    exceptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trace:
    """What one pass made: values by layer and blob, in float64.

    `codes` are the tops that hold integer codes; others are float32. `ties` counts, by layer,
    values between two codes, `parted` those of them that the net's own rounding, half_away where
    the backend rounds half_even, gives another code.
    """

    values: Mapping[Key, Array]
    codes: frozenset[Key] = frozenset()
    ties: Mapping[str, int] = field(default_factory=dict)
    parted: Mapping[str, int] = field(default_factory=dict)


class Backend(Protocol):
    """Something that computes the net."""

    @property
    def name(self) -> str: ...

    @property
    def arithmetic(self) -> Arithmetic: ...

    def run(self, inputs: Mapping[str, Array]) -> Trace:
        """One pass. Inputs by blob, float32, already rounded to their formats."""
        ...


class Simulation:
    """Our own net, layer by layer. `strip` takes away formats."""

    def __init__(
        self,
        name: str,
        selection: Selection,
        strip: Callable[[LayerFormats], LayerFormats] = lambda formats: formats,
        *,
        in_double: bool = False,
    ) -> None:
        self.name = name
        self.arithmetic = Arithmetic("float64" if in_double else "float32")
        self._in_double = in_double
        members = tuple(Member(m.spec, _stripped(m.node, strip)) for m in selection.members)
        self._selection = replace(selection, members=members)

    def run(self, inputs: Mapping[str, Array]) -> Trace:
        given = {name: torch.from_numpy(np.array(x, np.float32)) for name, x in inputs.items()}
        values: dict[Key, Array] = {}
        for made in run_layers(self._selection, given, as_double=self._in_double):
            spec = made.member.spec
            for blob, top in zip(spec.tops, made.tops, strict=True):
                values[spec.name, blob] = _float64(top)
        return Trace(values)


class Exact:
    """Exact arithmetic on codes."""

    def __init__(self, name: str, net: Net, options: ExactOptions) -> None:
        self.name = name
        self.net = ExactNet(net, options)
        program = self.net.program
        self.arithmetic = Arithmetic(
            "exact",
            options.rounding or "net",
            program.is_lossless,
            options.biases,
            program.exceptions,
        )

    def run(self, inputs: Mapping[str, Array]) -> Trace:
        run = self.net.run(inputs)
        values: dict[Key, Array] = {}
        codes = set()
        for layer, blob, scale, top in run.tops():
            if scale is None:
                values[layer, blob] = _float64(top)
            else:
                values[layer, blob] = np.multiply(top.numpy(), scale.scale, dtype=np.float64)
                codes.add((layer, blob))
        if self.net.options.rounding != "half_even":
            return Trace(values, frozenset(codes), run.ties)
        away = {t.layer for t in run.program.tops if t.format and t.format.rounding == "half_away"}
        ties, parted = Counter[str](), Counter[str]()
        for point in tie_points(run):
            ties[point.layer] += point.ties
            parted[point.layer] += point.differing if point.layer in away else 0
        return Trace(values, frozenset(codes), ties, parted)


class Onnxruntime:
    """A file of export_onnx, with every top read out."""

    def __init__(self, file: ModelFile) -> None:
        self.file = file
        self.name = f"{self.file.path.name} ({self.file.style})"
        stated = self.file.arithmetic
        self.arithmetic = Arithmetic("exact" if self.file.style == "integer" else "float32")
        if stated is not None:
            exceptions = tuple(stated["exceptions"])
            self.arithmetic = Arithmetic(
                "exact", stated["rounding"], biases=stated["biases"], exceptions=exceptions
            )
        self._codes = self.file.codes()
        # To read out what is between codes would take integer kernels apart, and run others.
        wanted = self._codes if self.file.style == "qdq" else None
        try:
            with damage_told(self.file.path):
                self._session = self.file.whole(wanted)
        except SessionError as error:
            raise UsageError(
                f"onnxruntime does not run it: {error}", "style qonnx is for other tool chains"
            ).at(file=self.file.path) from None

    def run(self, inputs: Mapping[str, Array]) -> Trace:
        try:
            with damage_told(self.file.path):
                return self._run(inputs)
        except SessionError as error:
            raise UsageError(f"onnxruntime does not run it: {error}", "export it again").at(
                file=self.file.path
            ) from None

    def _run(self, inputs: Mapping[str, Array]) -> Trace:
        samples = {len(x) for x in inputs.values()}
        batch = self.file.batch
        if batch is None or samples == {batch}:
            return self._one(inputs)
        if len(samples) != 1 or max(samples) % batch:
            raise UsageError(
                f"{max(samples)} samples are given, the file takes {batch} at a time",
                f"give a multiple (--samples {batch})",
            ).at(file=self.file.path)
        parts = [
            self._one({name: x[i : i + batch] for name, x in inputs.items()})
            for i in range(0, max(samples), batch)
        ]
        whole = {key: np.concatenate([p.values[key] for p in parts]) for key in parts[0].values}
        return Trace(whole, parts[0].codes)

    def _one(self, inputs: Mapping[str, Array]) -> Trace:
        found = {**inputs, **self._session(inputs)}
        values: dict[Key, Array] = {}
        codes = set()
        for layer in self.file.layers:
            for blob, top, scale in zip(layer.blobs, layer.tops, layer.scales, strict=True):
                array = found.get(top) if top else None
                if array is None and top:
                    array = self.file.constant(top)
                if array is None:
                    continue
                made = np.asarray(array, np.float64)
                if scale is not None:  # in new memory: layers may share the value
                    made = made * (float(np.ldexp(1.0, -scale[0])) / scale[1])
                values[layer.name, blob] = made
                if top in self._codes:
                    codes.add((layer.name, blob))
        return Trace(values, frozenset(codes))


class Recorded:
    """Blobs from a file: each stands for the last layer that makes a blob of its name."""

    arithmetic = Arithmetic("float32")

    def __init__(self, path: str | os.PathLike[str], selection: Selection) -> None:
        self.name = os.fspath(path)
        self._makers = selection.makers

    def run(self, inputs: Mapping[str, Array]) -> Trace:
        samples = max((len(x) for x in inputs.values()), default=0)
        return Trace(
            {
                (self._makers[blob], blob): np.asarray(x[:samples], np.float64)
                for blob, x in read_recorded(self.name).items()
                if blob in self._makers
            }
        )


def in_float(formats: LayerFormats) -> LayerFormats:
    """Nothing rounded; where the clip of a WRPN format is the activation function, it stays."""
    return LayerFormats(
        activation=_unrounded(formats.activation), bottom=_unrounded(formats.bottom)
    )


def baked(formats: LayerFormats) -> LayerFormats:
    """Results not rounded."""
    return replace(formats, activation=_unrounded(formats.activation))


def _unrounded(fmt: Format | None) -> Format | None:
    return fmt.unrounded if isinstance(fmt, Wrpn) else None


def _stripped(node: Node, strip: Callable[[LayerFormats], LayerFormats]) -> Node:
    """`node` with other formats, and blobs of its own where rounded ones would be written."""
    formats = strip(node.formats)
    if formats == node.formats:
        return node
    blobs = [Blob(tensor=b.tensor.detach().clone()) for b in node.blobs]
    return node.having(formats, blobs)


def _float64(x: Tensor) -> Array:
    return np.asarray(x.detach().double().numpy())
