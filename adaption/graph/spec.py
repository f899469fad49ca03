"""The description of a net: which layers, in which order, reading and writing which blobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adaption.proto import caffe_pb2

__all__ = ["LayerSpec", "NetSpec"]


@dataclass(frozen=True)
class LayerSpec:
    """One layer of a filtered net. `message` is its typed LayerParameter (never changed)."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: caffe_pb2.LayerParameter = field(repr=False, compare=False)
    line: int | None = field(default=None, compare=False)  # in the prototxt, from 1

    @property
    def is_in_place(self) -> bool:
        return any(top in self.bottoms for top in self.tops)


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
        return tuple(top for s in self.layers if s.type == "Input" for top in s.tops)

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
