"""Formats that moved, or were random, as static ones: what a net for inference computes with.

Where a format takes its grid from the tensor, a calibration run counts the exponents of each
tensor. The static format has the exponent that most tensors had: with it a batch is rounded as it
was before, but for those whose greatest magnitude was unusual. Of equally many the larger counts,
and of a layer's bottoms, which share one format, the largest. Tensors of zeros do not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from adaption.errors import LayerError
from adaption.graph import LayerSpec
from adaption.graph.lp_params import read_lp_params
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document
from adaption.io.prototxt import Block
from adaption.net import Net, Plan, Point
from adaption.net.plan import FORWARD_KINDS, KINDS, layer_formats
from adaption.numerics import DynamicFixed, FixedPoint, Format
from adaption.precision.format_text import FORWARD, LPFP_PARAMS, set_points, text_of
from adaption.precision.product_grids import BIAS_BITS
from adaption.precision.rewrite import fresh_document
from adaption.proto import caffe_pb2

__all__ = ["Exponents", "freeze_file", "static_plan"]


@dataclass
class Exponents:
    """Counts the exponents that a net rounds with, by point and tensor; see Net.watch_grids."""

    counts: dict[Point, dict[int, Counter[int]]] = field(default_factory=dict)

    def __call__(self, point: Point, index: int, x: Tensor, grid: Format) -> None:
        if isinstance(grid, FixedPoint) and bool(torch.count_nonzero(x)):
            found = self.counts.setdefault(point, {}).setdefault(index, Counter())
            found[-grid.frac_length] += 1

    def chosen(self, point: Point) -> int | None:
        """The exponent of the static format; None where only zeros were seen."""
        per_tensor = self.counts.get(point, {}).values()
        return max((_most_common(counts) for counts in per_tensor), default=None)

    def to_dict(self) -> dict[str, dict[str, int]]:
        """By point, how many tensors had each exponent."""
        made = {}
        for point, per_tensor in self.counts.items():
            total: Counter[int] = sum(per_tensor.values(), Counter())
            made[str(point)] = {str(e): total[e] for e in sorted(total)}
        return made


def _most_common(counts: Counter[int]) -> int:
    return max(counts, key=lambda e: (counts[e], e))


def static_plan(
    net: Net, exponents: Exponents, more: Mapping[Point, Format]
) -> tuple[dict[Point, Format], list[str]]:
    """The formats of a net at the points of its forward pass, all static.

    Shared exponents become those counted; random rounding becomes half to even. Where a layer's
    bottoms and weights are in fixed point and its bias in float, the bias gets the grid of the
    products, in 32 bits, on which integer arithmetic holds it; so all forms of the net are equal.

    Args:
        more: formats at points where the net has none.
    Returns: the formats, and notes.
    """
    made: dict[Point, Format] = {}
    notes = []
    for node in net.nodes:
        name, formats = node.spec.name, dict(node.formats.items())
        formats |= {point.kind: fmt for point, fmt in more.items() if point.layer == name}
        for kind in FORWARD_KINDS:
            if kind not in formats:
                continue
            point = Point(name, kind)
            made[point], note = _static(formats[kind], exponents.chosen(point))
            notes += [f'layer "{name}": {kind}: {note}'] * bool(note)
        grid = _product_grid(made, name)
        if len(node.masters) > 1 and "bias" not in formats and grid is not None:
            if node.layer.is_weight_layer():
                made[Point(name, "bias")] = FixedPoint(BIAS_BITS, grid, "half_even")
    return made, notes


def _static(fmt: Format, exponent: int | None) -> tuple[Format, str]:
    if isinstance(fmt, DynamicFixed):
        rounding = "half_even" if fmt.is_random else fmt.rounding
        note = "" if exponent is not None else "only zeros were seen, so its exponent is 0"
        grid = FixedPoint(fmt.word_length, -(exponent or 0), rounding, fmt.is_signed, fmt.range)
        return grid, note
    if fmt.is_random:
        return replace(fmt, rounding="half_even"), ""  # type: ignore[type-var]
    return fmt, ""


def _product_grid(plan: Mapping[Point, Format], layer: str) -> int | None:
    """Fractional bits of a layer's products; None where not both operands are in fixed point."""
    grids = [plan.get(Point(layer, kind)) for kind in ("bottom", "weight")]
    if not all(isinstance(grid, FixedPoint) and grid.is_binary for grid in grids):
        return None
    return sum(grid.frac_length for grid in grids)  # type: ignore[union-attr]


def freeze_file(file: NetFile, plan: Plan, calibrated: Collection[str]) -> NetFile:
    """A net whose layers have these formats, without the points that only training has.

    Args:
        calibrated: layers that the plan speaks for; others keep what they say of their forward
            pass.
    Raises: LayerError when another layer has a format that moves.
    """
    document = fresh_document(file)
    for item in document.root.all("layer"):
        name, own = text_of(item.block, "name"), _forward_formats(item.block)
        if name in calibrated:
            _write(item.block, own, {kind: plan.get(Point(name, kind)) for kind in FORWARD_KINDS})
        elif any(fmt is not None and (fmt.follows_tensor or fmt.is_random) for fmt in own.values()):
            raise LayerError(
                "has a format that moves, and is not in the net that was calibrated",
                "freeze the net that has it, with data for it",
            ).at(file=file.file, layer=name)
        set_points(item.block, dict.fromkeys(k for k in KINDS if k not in FORWARD_KINDS))
        for param in item.block.all("precision_param"):
            for field_ in param.block.all("backward_weights"):
                field_.remove()
            if not param.block.fields:
                param.remove()
    return from_document(prototxt.parse(document.text(), file.file))


def _forward_formats(block: Block) -> dict[str, Format | None]:
    """What a layer's text says of its forward pass."""
    message, _ = prototxt.Document(block).message(caffe_pb2.LayerParameter)
    read_lp_params(message)
    said = layer_formats(LayerSpec(message.name, message.type, (), (), message))
    return {kind: said.of(kind) for kind in FORWARD_KINDS}


def _write(
    block: Block, own: Mapping[str, Format | None], wanted: Mapping[str, Format | None]
) -> None:
    """Change the formats that differ; what says them already stays."""
    changed = {kind: fmt for kind, fmt in wanted.items() if own[kind] != fmt}
    if not changed:
        return
    others = any(block.first(name) is not None for name in LPFP_PARAMS[1:])
    if others or any(own[kind] is not None for kind in FORWARD if kind in changed):
        # lpfp_param cannot say half to even, and its elders count only without precision_param.
        for field_ in block.all("lpfp_param"):
            field_.remove()
        changed = dict(wanted)
    set_points(block, changed)
