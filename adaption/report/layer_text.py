"""What a drawing says about a layer: its kind, and the settings one looks for."""

from __future__ import annotations

from adaption.graph import LayerSpec
from adaption.layers.base import is_known, traits_of, traits_of_type

__all__ = ["details", "kind_of_layer"]


def kind_of_layer(layer_type: str) -> str:
    """Which of `drawing.COLOURS` a layer type gets; "unknown" when it cannot run."""
    if is_known(layer_type):
        return traits_of_type(layer_type).kind_in_drawings()
    # All that is known of it is its name.
    return "loss" if "Loss" in layer_type or "Accuracy" in layer_type else "unknown"


def details(spec: LayerSpec) -> list[str]:
    """The settings of a layer that a drawing shows, as one line or none."""
    text = traits_of(spec).settings()
    return [text] if text else []
