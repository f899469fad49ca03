"""Runtime: what a running net lends its layers, and what data layers tell of themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from adaption.later import torch

__all__ = ["Progress", "Runtime"]


@dataclass
class Runtime:
    """What a running net lends a layer for one forward pass."""

    training: bool = False
    generator: torch.Generator | None = None  # of what is drawn on the device
    host_generator: torch.Generator | None = None  # of what is drawn on the host; None: the same
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    original_semantics: bool = False
    config: dict[str, Any] = field(default_factory=dict)  # what forks read outside the prototxt
    state: dict[str, Any] = field(default_factory=dict)  # the layer's own, kept between passes
    # (points, kind, greatest magnitude) of what was rounded on a device; one list for all layers
    peaks: list[tuple[Any, str, Any]] = field(default_factory=list)

    @property
    def phase(self) -> str:
        return "TRAIN" if self.training else "TEST"

    @property
    def draws_on_host(self) -> torch.Generator | None:
        """The generator of fillers and data: a seed gives the same ones on every device."""
        return self.generator if self.host_generator is None else self.host_generator


@dataclass(frozen=True)
class Progress:
    """How far a data layer has come."""

    samples: int  # taken so far, by all processes that share the data
    epoch_size: int  # samples of one pass over the data

    @property
    def epochs(self) -> float:
        """Passes over the data."""
        return self.samples / self.epoch_size
