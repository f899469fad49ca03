"""Our side of a comparison: the exported layers of a net, run one after another and kept apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from adaption.exact.program import in_pieces
from adaption.exact.selection import Member, Selection
from adaption.layers.inner_product import InnerProduct
from adaption.net.blob import Blob
from adaption.net.node import Node
from adaption.net.plan import LayerFormats
from adaption.numerics import Format

__all__ = ["LayerRun", "greatest_finite", "run_layers", "without_activation"]

Drawn = Mapping[str, Sequence[Tensor]]  # layer -> its blobs, where rounding drew them at random


@dataclass(frozen=True)
class LayerRun:
    """One layer's pass. `before` are its tops before they are rounded, `tops` after it;
    `own_errors` is, per top, the greatest error of `before` against the same layer in float64; None
    where that was not asked for."""

    member: Member
    before: tuple[Tensor, ...]
    tops: tuple[Tensor, ...]
    own_errors: tuple[float, ...] | None
    error_scale: float = 0.0  # see Layer.error_scale


def run_layers(
    selection: Selection,
    inputs: Mapping[str, Tensor],
    drawn: Drawn | None = None,
    *,
    in_double: bool = False,
    as_double: bool = False,
) -> Iterator[LayerRun]:
    """Run the layers of `selection` as Net.forward does; the net itself is not changed.

    Args:
        inputs: float32 values of the selection's inputs.
        drawn: rounded blobs of layers whose weights are rounded at random.
        in_double: run every layer in float64, too, for `own_errors`.
        as_double: run the whole net in float64 instead, on the same rounded blobs.
    """
    latest = {name: x.double() if as_double else x for name, x in inputs.items()}
    for member in selection.members:
        bottoms = [latest[b] for b in member.spec.bottoms]
        node = without_activation(member.node, (drawn or {}).get(member.spec.name))
        # Before the float32 pass, so that a layer that updates its blobs is given the same ones.
        exact = _in_double(node, bottoms) if in_double else None
        before = _in_double(node, bottoms) if as_double else node.forward(bottoms, record=False)
        fmt = member.node.formats.activation
        tops = [_rounded(x, fmt, node) for x in before]
        latest.update(zip(member.spec.tops, tops, strict=True))
        errors = None
        if exact is not None:
            errors = tuple(
                greatest_finite(x.double() - y) for x, y in zip(before, exact, strict=True)
            )
        scale = node.layer.error_scale(*bottoms)
        yield LayerRun(member, tuple(before), tuple(tops), errors, scale)


def _rounded(x: Tensor, fmt: Format | None, node: Node) -> Tensor:
    return x if fmt is None else fmt.quantize(x, node.runtime.generator)


def without_activation(node: Node, drawn: Sequence[Tensor] | None) -> Node:
    """A copy of `node` that hands out its tops unrounded and leaves the net's blobs alone."""
    if drawn is not None:
        copies = 2 if node.is_paired else 1
        blobs = [Blob(tensor=t.clone()) for t in drawn for _ in range(copies)]
        return node.having(LayerFormats(bottom=node.formats.bottom), blobs)
    formats = node.formats.having({"activation": None})
    if node.layer.writes_blobs:
        blobs = [Blob(tensor=b.tensor.detach().clone()) for b in node.blobs]
        return node.having(formats, blobs)
    return node.having(formats)


def _in_double(node: Node, bottoms: Sequence[Tensor]) -> list[Tensor]:
    layer = node.layer
    if isinstance(layer, InnerProduct) and not layer.transpose:
        x = bottoms[0]
        if node.formats.bottom is not None:
            x = node.points.rounded("bottom", x)
        return [_product_in_double(layer, x, node.quantized_blobs())]
    blobs = [b.detach().double() for b in node.quantized_blobs()]
    wide = [x.double() for x in bottoms]
    if node.formats.bottom is not None:
        for i in node.read_bottoms:
            wide[i] = node.points.rounded("bottom", wide[i], i)
    with torch.no_grad():
        if layer.same_tops_as_bottoms:
            return [layer.run(node.runtime, x, *blobs) for x in wide]
        made = layer.run(node.runtime, *wide, *blobs)
    return list(made) if isinstance(made, tuple | list) else [made]


def _product_in_double(layer: InnerProduct, x: Tensor, blobs: Sequence[Tensor]) -> Tensor:
    weight, *bias = (b.detach() for b in blobs)

    def some(rows: Tensor, part: slice) -> Tensor:
        return F.linear(rows, weight[part].double(), *(b[part].double() for b in bias))

    with torch.no_grad():
        return in_pieces(layer, x.double(), weight, some)


def greatest_finite(x: Tensor) -> float:
    """The greatest magnitude but for infinities and NaN; 0 where there is none."""
    if not x.numel():
        return 0.0
    greatest = max(abs(float(end)) for end in torch.aminmax(x))  # NaN where one is
    if math.isfinite(greatest):
        return greatest
    finite = x[x.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0
