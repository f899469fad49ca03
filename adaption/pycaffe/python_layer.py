"""Layers of type "Python": classes of the user's own modules, called as Caffe calls them.

Caffe: include/caffe/layers/python_layer.hpp, python/caffe/_caffe.cpp.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adaption.errors import AdaptionError, FieldError, LayerError, UsageError, near_miss
from adaption.graph import LayerSpec
from adaption.layers.base import Layer as CoreLayer
from adaption.layers.base import Runtime, Shape
from adaption.net import Blob
from adaption.net.device_blob import new_blob
from adaption.pycaffe.errors import also
from adaption.pycaffe.install import install_as_caffe

__all__ = ["BlobVec", "Layer", "Phase", "UserLayer", "run_user_code"]


# Of the frames of an error, the last outside of these shows the user's line.
_NOT_THE_USERS = (
    "<",
    str(Path(__file__).parents[1]),  # this package
    *(str(Path(m.__file__ or "<").parent) for m in (importlib, np, torch)),
)


class BlobVec(Sequence[Blob]):
    """The blobs of a layer; `add_blob` makes another one."""

    def __init__(self, blobs: list[Blob], device: torch.device | None = None) -> None:
        self._blobs = blobs
        self._device = device or torch.device("cpu")

    def add_blob(self, *shape: int) -> None:
        """Append a blob of zeros. In `setup`: it becomes a parameter of the net."""
        made = new_blob(self._device)
        made.reshape(*shape)
        self._blobs.append(made)

    def __getitem__(self, index: Any) -> Any:
        return self._blobs[index]

    def __len__(self) -> int:
        return len(self._blobs)

    def __iter__(self) -> Iterator[Blob]:
        return iter(self._blobs)


class Phase(IntEnum):
    """TRAIN (0) or TEST (1), whose text is the name: layers of py-faster-rcnn look it up so."""

    TRAIN = 0
    TEST = 1

    def __str__(self) -> str:
        return self.name


class Layer:
    """One layer as pycaffe shows it, and the base class of layers written in Python.

    A class of your own overrides the four methods; each gets lists of Blobs, whose `data` and
    `diff` are arrays to be read and written in place. Parameters are made in `setup` with
    `self.blobs.add_blob(*shape)`; `backward` adds to their diffs.

    Attributes:
        type: layer type, as in the prototxt.
        blobs: parameters in caffemodel order.
        param_str: the `python_param { param_str }` of the prototxt; `param_str_`, its name in
            2015, is the same.
        phase: TRAIN (0) or TEST (1).
    """

    type: str = "Python"
    blobs: BlobVec
    param_str: str = ""
    param_str_: str = ""
    phase: int = Phase.TEST

    def __init__(self, param: Any = None) -> None:
        """`param` is the LayerParameter, or None."""

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Called once, before the first `reshape`."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give the tops their shapes; called before every `forward`."""
        raise NotImplementedError(f"{type(self).__name__} has no method reshape")

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Write the tops' data."""
        raise NotImplementedError(f"{type(self).__name__} has no method forward")

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Write the diffs of the bottoms that `propagate_down` asks for."""
        raise NotImplementedError(f"{type(self).__name__} has no method backward")


def run_user_code(spec: LayerSpec) -> CoreLayer:
    """The layer that runs the class which `python_param` names; its module is imported here.

    Raises: LayerError, with what the module raised as its cause, when that does not work.
    """
    param = spec.message.python_param
    cls = _class_of(param.module, param.layer)
    return UserLayer(cls, spec)


def _class_of(module: str, name: str) -> type[Layer]:
    try:
        install_as_caffe()
    except UsageError:
        pass  # another caffe is in use; modules that write `import adaption.pycaffe` still work
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise _failure(f"import of {module}", error) from error
        raise LayerError(
            f"needs the Python module {module!r}, which is not found",
            f"put the folder that holds {module.partition('.')[0]} on PYTHONPATH",
        ) from error
    except Exception as error:
        raise _failure(f"import of {module}", error) from error
    found = getattr(loaded, name, None)
    if isinstance(found, type) and issubclass(found, Layer):
        return found
    known = [k for k, v in vars(loaded).items() if isinstance(v, type) and issubclass(v, Layer)]
    has = "no such class" if found is None else "it, but not derived from caffe.Layer"
    raise LayerError(
        f"needs the class {name!r} of module {module!r}, which has {has}",
        near_miss(name, known) or "derive it from adaption.pycaffe.Layer",
    )


class UserLayer(CoreLayer):
    """Runs an object of the user's class on the blobs of the net."""

    takes_blobs = True

    def __init__(self, cls: type[Layer], spec: LayerSpec) -> None:
        self.spec = spec
        self.user: Layer = self._guarded("constructor", cls, spec.message)
        self.is_set_up = False
        self._blobs: list[Blob] = []
        self.user.param_str = spec.message.python_param.param_str
        self.user.param_str_ = self.user.param_str
        self.user.phase = Phase(spec.message.phase)
        # A net binds its own; these serve where only shapes are asked for.
        self.bind([Blob() for _ in spec.bottoms], [Blob() for _ in spec.tops], self._blobs)
        self._is_in_net = False

    def check(self) -> None:
        for kind in ("weight", "bias"):
            if self.spec.message.precision_param.HasField(kind):
                raise FieldError(
                    f"precision_param.{kind}",
                    "set",
                    "layers that do not run code of their own",
                    "remove it, and round in the code",
                )

    def bind(self, bottoms: Sequence[Blob], tops: Sequence[Blob], blobs: list[Blob]) -> None:
        """Work on these Blobs from now on; a blob that is bottom and top is one and the same."""
        self.bottom, self.top = list(bottoms), list(tops)
        if blobs is not self._blobs:
            blobs.extend(self._blobs[len(blobs) :])
        self._blobs = blobs
        self._is_in_net = True
        self.user.blobs = BlobVec(blobs, next((b.device for b in [*bottoms, *tops]), None))

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        if not self._is_in_net:
            for blob, shape in zip(self.bottom, bottoms, strict=True):
                blob.reshape(*shape)
        if not self.is_set_up:
            self._call("setup", self.bottom, self.top)
            self.is_set_up = True
        self._call("reshape", self.bottom, self.top)
        return [blob.shape for blob in self.top]

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [blob.shape for blob in self._blobs]

    def run(self, runtime: Runtime, *tensors: Tensor) -> Any:
        if torch.is_grad_enabled():
            return _UserFunction.apply(self, *tensors)  # type: ignore[no-untyped-call]
        return self.compute()

    def compute(self) -> tuple[Tensor, ...]:
        """One forward pass on the blobs."""
        for blob in self.top:
            # What the last pass handed out, or a layer before keeps for its backward, stays.
            blob.set(blob.tensor.detach().clone(memory_format=torch.contiguous_format))
        self._call("reshape", self.bottom, self.top)
        self._call("forward", self.bottom, self.top)
        return tuple(blob.tensor.detach() for blob in self.top)

    def backpropagate(self, down: Sequence[bool]) -> list[Tensor | None]:
        """One backward pass on the blobs; the diffs of the bottoms that were asked for."""
        self._call("backward", self.top, list(down), self.bottom)
        for blob in self._blobs:
            blob.sync()  # an optimizer of torch sees the parameters alone
        return [b.grad if d else None for b, d in zip(self.bottom, down, strict=True)]

    def _call(self, method: str, *args: Any) -> None:
        self._guarded(method, getattr(self.user, method), *args)

    def _guarded(self, what: str, function: Any, *args: Any) -> Any:
        param = self.spec.message.python_param
        try:
            return function(*args)
        except Exception as error:
            raise _failure(f"{what} of {param.module}.{param.layer}", error).at(
                layer=self.spec.name, layer_type=self.spec.type, line=self.spec.line
            ) from error


class _UserFunction(torch.autograd.Function):
    """Lets Net.backward reach the user's `backward`; the values travel in the blobs."""

    @staticmethod
    def forward(ctx: Any, layer: UserLayer, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.layer = layer
        ctx.count = len(tensors)
        return layer.compute()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        layer: UserLayer = ctx.layer
        count = len(layer.bottom)
        made = layer.backpropagate(ctx.needs_input_grad[1 : 1 + count])
        # Parameters have their diffs from the user's code, as in Caffe.
        return (None, *made, *[None] * (ctx.count - count))


def _failure(what: str, error: Exception) -> LayerError:
    """The user's error in one line, with the line of code that raised it; raise it `from` that."""
    said = error.fact if isinstance(error, AdaptionError) else str(error)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_NOT_THE_USERS)]
    place = f" at {own[-1].filename}:{own[-1].lineno}" if own else ""
    made = LayerError(
        f"{what} failed{place}: {type(error).__name__}{f': {said}' if said else ''}",
        "correct that code, or the layer's param_str, bottoms and tops",
    )
    also(made, type(error))
    return made
