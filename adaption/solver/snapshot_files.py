"""Names of the files of one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Files", "sidecar_of", "tensors_of"]


@dataclass(frozen=True)
class Files:
    """Paths of one snapshot."""

    weights: Path
    state: Path

    @property
    def sidecar(self) -> Path:
        return sidecar_of(self.state)


def sidecar_of(state: Path) -> Path:
    """Where a solver state's sidecar lies."""
    return state.with_name(state.name + ".json")


def tensors_of(state: Path) -> Path:
    """Where a solver state's tensors lie, those that Caffe's file has no place for."""
    return state.with_name(state.name + ".tensors.npz")
