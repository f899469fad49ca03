"""Which points a layer has, and which formats a point can take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from adaption.errors import FieldError
from adaption.numerics import BinaryWeight, FixedPoint, Format, Wrpn

if TYPE_CHECKING:
    from adaption.layers.base import Layer
    from adaption.net.plan import LayerFormats

__all__ = ["HasPoints", "check_formats", "missing_point"]


class HasPoints(Protocol):
    """A layer with its masters: a Node of a net, or what is known of it without one."""

    @property
    def layer(self) -> Layer: ...

    @property
    def masters(self) -> Sequence[object]: ...

    @property
    def read_bottoms(self) -> Sequence[int]: ...


OF_WEIGHT = ("weight", "weight_grad", "weight_accumulator")
OF_BIAS = ("bias", "bias_grad")


def check_formats(node: HasPoints, formats: LayerFormats) -> None:
    """Refuse a point that the layer does not have, or a format that the point cannot take.

    The layer's blobs have their shapes already. Raises: FieldError naming the point.
    """
    for kind, fmt in formats.items():
        allowed = missing_point(node, kind)
        if allowed:
            raise FieldError(f"precision_param.{kind}", "set", *allowed)
        wrong = _unfit(node, kind, fmt, formats)
        if wrong:
            raise FieldError(f"precision_param.{kind}", str(fmt), wrong)


def missing_point(node: HasPoints, kind: str) -> tuple[str, str] | None:
    """Where a kind of point is allowed, and what to do, when the layer lacks it; else None."""
    remove = "remove it from this layer"
    if kind in OF_WEIGHT or kind in OF_BIAS:
        if node.layer.writes_blobs or len(node.masters) > 2:
            return "layers whose blobs are one weight and one bias", remove
        if len(node.masters) < (1 if kind in OF_WEIGHT else 2):
            return f"layers with a {'weight' if kind in OF_WEIGHT else 'bias'}", remove
        return None
    if node.layer.is_source:
        return "layers that compute", "put an LPAct layer behind the data"
    if kind == "bottom" and not node.read_bottoms:
        return "layers that read numbers", remove
    return None


def _unfit(node: HasPoints, kind: str, fmt: Format, formats: LayerFormats) -> str:
    """What the point takes instead of `fmt`; empty when it takes it."""
    if isinstance(fmt, BinaryWeight):
        if kind != "weight":
            return "WRPN with one bit only at weight"
        if fmt.per_filter and not node.layer.filters_come_first:
            return "per_filter only where the first axis of the weight counts filters"
    elif isinstance(fmt, Wrpn):
        if kind not in ("weight", "bias", "bottom", "activation"):
            return "no WRPN format, whose range is that of weights and activations"
        if kind in ("weight", "bias") and not fmt.is_signed:
            return "the weight rule of WRPN (is_signed: true)"
    if kind == "weight_accumulator":
        grid = formats.weight
        if not isinstance(fmt, FixedPoint) or not fmt.is_binary:
            return "kind FIXED"
        if not isinstance(grid, FixedPoint) or not grid.is_binary:
            return "only beside a weight of kind FIXED, whose grid the updates stay on"
    return ""
