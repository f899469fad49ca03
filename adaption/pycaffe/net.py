"""pycaffe's Net. Caffe: python/caffe/pycaffe.py, python/caffe/_caffe.cpp."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaption.errors import AdaptionError, UsageError
from adaption.io.atomic import atomic_write
from adaption.io.caffemodel_h5 import read_hdf5, write_hdf5
from adaption.io.kinds import kind_of, wrong_kind
from adaption.io.weights import Weights
from adaption.net import Blob
from adaption.net import Net as CoreNet
from adaption.net.node import Node
from adaption.pycaffe.callbacks import Callbacks
from adaption.pycaffe.errors import ShapeError, also_raised_as
from adaption.pycaffe.mode import TEST, settings
from adaption.pycaffe.python_layer import BlobVec, Layer, Phase, UserLayer

__all__ = ["Layer", "Net"]

PathLike = str | os.PathLike[str]
Array = NDArray[np.float32]


class Net:
    """A net, called as pycaffe calls it.

    `Net(prototxt, phase)`, `Net(prototxt, weights, phase)` or
    `Net(prototxt, phase, weights=..., level=..., stages=...)`; `phase` is TRAIN (0) or TEST (1).
    `Net(prototxt, weights)`, the form of 2014, means TEST.

    Raises: AdaptionError with file, line and layer when files are bad or do not fit. It is a
        RuntimeError, too, or what a Python layer raised.
    """

    @also_raised_as(RuntimeError)
    def __init__(
        self,
        network_file: PathLike,
        *args: Any,
        phase: int | None = None,
        weights: PathLike | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
    ) -> None:
        rest = list(args)
        if rest and not isinstance(rest[0], int | np.integer):
            weights = rest.pop(0)
        if rest:
            phase = rest.pop(0)
        elif phase is None and weights is not None:
            phase = TEST
        if rest or phase not in (0, 1):
            raise UsageError(
                f"Net was called with phase {phase!r}", "Net(prototxt, weights, caffe.TEST)"
            )
        self._net = CoreNet(
            network_file,
            weights,
            ("TRAIN", "TEST")[phase],
            level=level,
            stages=tuple(stages or ()),
            original_semantics=settings.original_semantics,
            seed=settings.next_seed(),
            python_modules=tuple(settings.python_modules),
            ignore_unknown=settings.ignore_unknown,
            device=settings.device,
        )
        self._index()

    @classmethod
    def around(cls, net: CoreNet) -> Net:
        """The facade of a net that is there already: a solver's."""
        made = cls.__new__(cls)
        made._net = net
        made._index()
        return made

    def _index(self) -> None:
        net = self._net
        self._callbacks = Callbacks()
        self.blobs: OrderedDict[str, Blob] = OrderedDict(net.blobs)
        self.params: OrderedDict[str, list[Blob]] = OrderedDict(net.params)
        self.layers = [_shown(node) for node in net.nodes]
        self._layer_names = net.layer_names
        self.layer_dict: OrderedDict[str, Layer] = OrderedDict(
            zip(self._layer_names, self.layers, strict=True)
        )
        self.bottom_names = OrderedDict((n.spec.name, list(n.spec.bottoms)) for n in net.nodes)
        self.top_names = OrderedDict((n.spec.name, list(n.spec.tops)) for n in net.nodes)

    def __repr__(self) -> str:
        return repr(self._net)

    @property
    def name(self) -> str:
        return self._net.name

    @property
    def inputs(self) -> list[str]:
        """Names of the input blobs."""
        return list(self._net.inputs)

    @property
    def outputs(self) -> list[str]:
        """Names of the output blobs."""
        return list(self._net.outputs)

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """Loss weight of each blob, 0 where it is no loss."""
        weights = OrderedDict.fromkeys(self.blobs, 0.0)
        for node in self._net.nodes:
            weights.update(zip(node.spec.tops, node.loss_weights, strict=True))
        return weights

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Array]:
        """Forward pass.

        Args:
            blobs: blobs to return besides the outputs.
            start, end: first and last layer by name, both included.
            kwargs: input arrays by blob name, of the blobs' shapes.
        Returns: arrays by blob name: the outputs, or the tops of `end`, and `blobs`.
        """
        if kwargs:
            if set(kwargs) != set(self.inputs):
                raise UsageError(
                    f"forward is given {sorted(kwargs)}", f"the inputs are {sorted(self.inputs)}"
                )
            for name, array in kwargs.items():
                _fill(self.blobs[name].data, array, f'input "{name}"')
        made = self._run_forward(start, end)
        names = [*made, *(b for b in blobs or () if b not in made)]
        return {name: self.blobs[name].data for name in names}

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Array]:
        """Backward pass.

        Args:
            diffs: blobs whose diffs are returned besides those of the inputs.
            start, end: layers to begin and end at, in backward order, both included.
            kwargs: diffs of output blobs by name.
        Returns: diffs by blob name: the inputs, or the bottoms of `end`, and `diffs`.
        """
        for name, array in kwargs.items():
            if name not in self.outputs:
                raise UsageError(f"backward is given {name!r}", f"the outputs are {self.outputs}")
            _fill(self.blobs[name].diff, array, f'diff of "{name}"')
        self._run_backward(start, end)
        names = self.bottom_names[end] if end is not None else self.inputs
        return {name: self.blobs[name].diff for name in dict.fromkeys([*names, *(diffs or ())])}

    def _run_forward(
        self, start: str | int | None = None, end: str | int | None = None
    ) -> list[str]:
        """Run layers, with what was asked for before and after each; the names of the tops."""
        net = self._net
        if not self._callbacks.of_forward:
            return list(net.forward(start=start, end=end))
        first = 0 if start is None else net.index(start)
        last = len(net.nodes) - 1 if end is None else net.index(end)
        for index in range(first, last + 1):
            self._callbacks.call("before_forward", index)
            net.forward(start=index, end=index)
            self._callbacks.call("after_forward", index)
        return list(net.outputs if end is None else net.nodes[last].spec.tops)

    def _run_backward(self, start: str | int | None = None, end: str | int | None = None) -> None:
        net = self._net
        if not self._callbacks.of_backward:
            net.backward(start=start, end=end, as_they_are=True)
            return
        first = len(net.nodes) - 1 if start is None else net.index(start)
        last = 0 if end is None else net.index(end)
        for index in range(first, last - 1, -1):
            self._callbacks.call("before_backward", index)
            net.backward(start=index, end=index, as_they_are=True)
            self._callbacks.call("after_backward", index)

    def before_forward(self, callback: Callable[[int], Any]) -> None:
        """Call with a layer's index before it runs, from now on."""
        self._callbacks.add("before_forward", callback)

    def after_forward(self, callback: Callable[[int], Any]) -> None:
        """Call with a layer's index after it has run."""
        self._callbacks.add("after_forward", callback)

    def before_backward(self, callback: Callable[[int], Any]) -> None:
        """Call with a layer's index before its backward pass."""
        self._callbacks.add("before_backward", callback)

    def after_backward(self, callback: Callable[[int], Any]) -> None:
        """Call with a layer's index after its backward pass."""
        self._callbacks.add("after_backward", callback)

    def _forward(self, start: int, end: int) -> float:
        """Run the layers from index `start` to index `end`. Returns: their loss."""
        self._run_forward(int(start), int(end))
        return sum(
            weight * float(self._net.blobs[top].tensor.sum())
            for node in self._net.nodes[int(start) : int(end) + 1]
            for top, weight in zip(node.spec.tops, node.loss_weights, strict=True)
            if weight
        )

    def _backward(self, start: int, end: int) -> None:
        """Backward from the layer of index `start` down to that of index `end`."""
        self._run_backward(int(start), int(end))

    @property
    def _blobs(self) -> list[Blob]:
        return list(self.blobs.values())

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    @property
    def _inputs(self) -> list[int]:
        return self._places(self.inputs)

    @property
    def _outputs(self) -> list[int]:
        return self._places(self.outputs)

    def _bottom_ids(self, layer: int) -> list[int]:
        return self._places(self._net.nodes[self._net.index(layer)].spec.bottoms)

    def _top_ids(self, layer: int) -> list[int]:
        return self._places(self._net.nodes[self._net.index(layer)].spec.tops)

    def _places(self, names: Sequence[str]) -> list[int]:
        known = list(self.blobs)
        return [known.index(name) for name in names]

    def _batch(self, blobs: Mapping[str, Any]) -> Iterator[dict[str, Array]]:
        """Arrays in batches of the net's size, the last one padded with zeros."""
        return self._batches(blobs)

    def _set_input_arrays(self, data: Any, labels: Any) -> None:
        self.set_input_arrays(data, labels)

    def forward_all(self, blobs: Sequence[str] | None = None, **kwargs: Any) -> dict[str, Array]:
        """Forward over any number of samples, in batches of the net's size; the last is padded."""
        if not kwargs:
            raise UsageError("forward_all is given no arrays", f"the inputs are {self.inputs}")
        made: dict[str, list[Array]] = {}
        for chunk in self._batches(kwargs):
            _collect(made, self.forward(blobs, None, None, **chunk))
        return _joined(made, len(next(iter(kwargs.values()))))

    def forward_backward_all(
        self,
        blobs: Sequence[str] | None = None,
        diffs: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Forward and backward over any number of samples, in batches of the net's size.

        Args:
            blobs, diffs: as in `forward` and `backward`.
            kwargs: arrays of input blobs, and diffs of output blobs, by name.
        Returns: blobs and diffs by name. The diffs of parameters are summed over the batches.
        """
        known = {*self.inputs, *self.outputs}
        if not kwargs or not known.issuperset(kwargs):
            raise UsageError(
                f"forward_backward_all is given {sorted(kwargs)}",
                f"the inputs are {self.inputs}, the outputs {self.outputs}",
            )
        ahead = self._batches({k: v for k, v in kwargs.items() if k in self.inputs})
        back = self._batches({k: v for k, v in kwargs.items() if k in self.outputs})
        made: dict[str, list[Array]] = {}
        grads: dict[str, list[Array]] = {}
        nothing: dict[str, Array] = {}
        for inputs, tops in zip_longest(ahead, back, fillvalue=nothing):
            _collect(made, self.forward(blobs, None, None, **inputs))
            _collect(grads, self.backward(diffs, None, None, **tops))
        count = len(next(iter(kwargs.values())))
        return _joined(made, count), _joined(grads, count)

    def _batches(self, arrays: Mapping[str, Any]) -> Iterator[dict[str, Array]]:
        if not arrays:
            return
        count = len(next(iter(arrays.values())))
        size = self.blobs[next(iter(arrays))].shape[0]
        for at in range(0, count, size):
            chunk = {}
            for name, values in arrays.items():
                part = np.asarray(values[at : at + size], np.float32)
                short = size - len(part)
                pad = np.zeros((short, *part.shape[1:]), np.float32)
                chunk[name] = np.concatenate([part, pad]) if short else part
            yield chunk

    @also_raised_as(RuntimeError)
    def reshape(self) -> None:
        """Pass changed input shapes through the net."""
        self._net.reshape()

    @also_raised_as(RuntimeError)
    def copy_from(self, weights: PathLike) -> None:
        """Load a caffemodel (binary or HDF5) by layer name."""
        self._net.load(weights)

    @also_raised_as(RuntimeError)
    def save(self, path: PathLike) -> None:
        """Write a binary caffemodel."""
        self._net.save(path)

    @also_raised_as(RuntimeError)
    def save_hdf5(self, path: PathLike) -> None:
        """Write the weights as HDF5, whatever the file is called."""
        with atomic_write(path, "w+b") as out:
            write_hdf5(out, self._net.weights())

    @also_raised_as(RuntimeError)
    def load_hdf5(self, path: PathLike) -> None:
        """Load weights from HDF5 by layer name. Raises: FileFormatError on another kind of file."""
        kind = kind_of(path)
        if kind != "hdf5":
            raise wrong_kind(path, kind, "HDF5 weights", "load a .caffemodel with copy_from")
        self._net.load(Weights(read_hdf5(path), file=path))

    @also_raised_as(RuntimeError)
    def share_with(self, other: Net) -> None:
        """Use the weights of `other`'s layers of the same name; diffs stay apart."""
        self._net.share_with(other._net)

    @also_raised_as(RuntimeError)
    def set_input_arrays(self, data: Any, labels: Any) -> None:
        """Hand arrays to the net's MemoryData layer: (N, C, H, W) and one label per sample."""
        node = self._net.nodes[0]
        if not hasattr(node.layer, "set_input_arrays"):
            raise UsageError(
                "the first layer is no MemoryData layer", "fill the input blobs instead"
            )
        try:
            node.layer.set_input_arrays(node.runtime, data, labels)
        except AdaptionError as error:
            raise error.at(
                file=self._net.spec.file, layer=node.spec.name, layer_type=node.spec.type
            ) from None

    def clear_param_diffs(self) -> None:
        """Set the diffs of all parameters to zero."""
        self._net.clear_param_diffs()


def _shown(node: Node) -> Layer:
    """A layer as pycaffe shows it; one written in Python is the user's own object."""
    if isinstance(node.layer, UserLayer):
        return node.layer.user
    made = Layer()
    made.type, made.blobs = node.spec.type, BlobVec(node.blobs)
    made.phase = Phase(node.spec.message.phase)
    return made


def _fill(target: Array, values: Any, what: str) -> None:
    """Write `values` into a blob's array: the same first axis, the others as numpy broadcasts."""
    shape = np.shape(values)
    try:
        if shape[:1] != target.shape[:1]:
            raise ValueError
        target[...] = values
    except ValueError:
        raise ShapeError(
            f"{what} has shape {shape}, the net has {target.shape}",
            "reshape the blob, then call net.reshape()",
        ) from None


def _collect(lists: dict[str, list[Array]], made: Mapping[str, Array]) -> None:
    for name, values in made.items():
        lists.setdefault(name, []).append(np.atleast_1d(values).copy())


def _joined(lists: Mapping[str, list[Array]], count: int) -> dict[str, Array]:
    """The batches in one array, without the padding of the last."""
    return {name: np.concatenate(parts)[:count] for name, parts in lists.items()}
