"""The description of a net: which layers, in which order, reading and writing which blobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from adaption.errors import LayerError, UsageError
from adaption.nearest import nearest_name

if TYPE_CHECKING:
    from adaption.io.prototxt import Notice
    from adaption.proto import caffe_pb2

__all__ = ["INPUT", "SPLIT", "LayerSpec", "NetSpec"]

# The types of the layers that this room puts into nets itself.
INPUT = "Input"  # its tops are the caller's to fill
SPLIT = "Split"  # its tops are its bottom, one for each reader


@dataclass(frozen=True)
class LayerSpec:
    """One layer of a filtered net. `message` is its typed LayerParameter (never changed)."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: caffe_pb2.LayerParameter = field(repr=False, compare=False)
    line: int | None = field(default=None, compare=False)  # in the prototxt, from 1
    # Modules whose code the caller lets type: "Python" layers run; never from the file.
    python_modules: tuple[str, ...] = field(default=(), compare=False)
    # What its block holds that nobody knows; see `unknown_settings`.
    unknown: tuple[Notice, ...] = field(default=(), repr=False, compare=False)

    @property
    def is_in_place(self) -> bool:
        return any(top in self.bottoms for top in self.tops)

    @property
    def is_input(self) -> bool:
        """Whether the caller fills the tops."""
        return self.type == INPUT

    @property
    def is_split(self) -> bool:
        """Whether the tops are the bottom, once for each reader."""
        return self.type == SPLIT


@dataclass(frozen=True)
class NetSpec:
    """A net for one NetState: legacy forms upgraded, layers filtered, splits not inserted."""

    name: str
    layers: tuple[LayerSpec, ...]
    phase: str = "TEST"  # "TRAIN" or "TEST"
    level: int = 0
    stages: tuple[str, ...] = ()
    file: str | None = None
    dialect: str | None = None  # Caffe fork that decides where forks disagree about a type
    force_backward: bool = False
    debug_info: bool = False

    def __iter__(self) -> Iterator[LayerSpec]:
        return iter(self.layers)

    def layer(self, name: str) -> LayerSpec:
        """The layer called `name`. Raises: KeyError."""
        for spec in self.layers:
            if spec.name == name:
                return spec
        raise KeyError(name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Blobs that the caller fills: the tops of Input layers."""
        return tuple(top for s in self.layers if s.is_input for top in s.tops)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Blobs that no layer consumes, sorted by name as Caffe's net outputs are."""
        open_tops: set[str] = set()
        for s in self.layers:
            open_tops -= set(s.bottoms)
            open_tops |= set(s.tops)
        return tuple(sorted(open_tops))

    def with_layers(self, layers: tuple[LayerSpec, ...]) -> NetSpec:
        return replace(self, layers=layers)

    def allowing(self, python_modules: Sequence[str]) -> NetSpec:
        """The net whose `type: "Python"` layers may run code of these modules.

        Raises: UsageError when they are not the dotted names of modules.
        """
        given = tuple(python_modules)
        if isinstance(python_modules, str) or not all(map(_is_module_name, given)):
            raise UsageError(
                f"python_modules is {python_modules!r}, allowed: names of modules",
                'write python_modules=("my_layers",) or --allow-python my_layers, the name that the'
                " prototxt gives as module",
            )
        return self.with_layers(tuple(replace(s, python_modules=given) for s in self.layers))

    def ignoring_unknown(self) -> NetSpec:
        """The net that runs in spite of fields nobody knows."""
        return self.with_layers(tuple(replace(s, unknown=()) for s in self.layers))

    def up_to(self, end: str | None) -> NetSpec:
        """The net cut behind the layer called `end`; None: all of it. Raises: LayerError."""
        if end is None:
            return self
        names = [s.name for s in self.layers]
        if end not in names:
            near = nearest_name(end, tuple(names))
            raise LayerError(
                f"has no layer {end!r} to end at" + (f", did you mean {near!r}?" if near else ""),
                f"its layers: {', '.join(names)}",
            ).at(file=self.file)
        return self.with_layers(self.layers[: names.index(end) + 1])


def _is_module_name(name: object) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))
