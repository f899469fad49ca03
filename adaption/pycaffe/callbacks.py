"""What a script wants called before and after each layer of a net. Caffe: Net::Callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Callbacks"]

Callback = Callable[[int], Any]


@dataclass
class Callbacks:
    """Callables by the moment they are called at; each gets the index of the layer."""

    by_moment: dict[str, list[Callback]] = field(default_factory=dict)

    def add(self, moment: str, callback: Callback) -> None:
        self.by_moment.setdefault(moment, []).append(callback)

    def call(self, moment: str, layer: int) -> None:
        for callback in self.by_moment.get(moment, ()):
            callback(layer)

    @property
    def of_forward(self) -> bool:
        """Whether a forward pass has to stop at every layer."""
        return bool({"before_forward", "after_forward"} & set(self.by_moment))

    @property
    def of_backward(self) -> bool:
        return bool({"before_backward", "after_backward"} & set(self.by_moment))
