"""What a step needs beside its bottoms and its top: how it sums products, and memory for that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from adaption.exact.program import Product
from adaption.export.package.c.graph import Graph, refusal
from adaption.export.package.c.steps import Step
from adaption.export.package.c.types import CType, computed_in
from adaption.layers.convolution import Convolution
from adaption.layers.inner_product import InnerProduct

__all__ = ["Scratch", "Sums", "scratch_of", "sums_of"]

MOST_SUMS = 128  # of a convolution with one tap, whose places need not be rows


@dataclass(frozen=True)
class Sums:
    """How a product is summed: "dot", each sum by itself; "mix", `count` places of a channel at a
    time, of one tap each; "convolve" and "deconvolve", a row of `count` at a time."""

    how: str
    count: int
    kind: CType


@dataclass(frozen=True)
class Scratch:
    """Memory during one step: the sums of a stage, or one channel of its top."""

    stage: int
    what: str
    kind: CType
    count: int


def sums_of(graph: Graph, op: Product) -> Sums:
    """Raises: LayerError on a convolution that is not over rows and columns."""
    top = graph.value(op.outputs[0])
    kind = computed_in(top.low, top.high)
    if isinstance(op.form, InnerProduct):
        return Sums("dot", 1, kind)
    assert isinstance(op.form, Convolution)
    shape, made = graph.shape(op.inputs[0]), graph.shape(op.outputs[0])
    if len(shape) != 3 or op.form.axis != 1:
        raise refusal(op, f"convolves a bottom of {len(shape) + 1} axes")
    if op.form.is_transposed:
        return Sums("deconvolve", made[-1], kind)
    g = op.form.geometry(4)
    is_unpadded = not any(g.pad) and made[1:] == _places(shape[1:], g.kernel)
    if is_unpadded and set(g.stride) == {1} and prod(g.kernel) == 1:
        places = prod(made[1:])
        rounds = -(-places // MOST_SUMS)
        return Sums("mix", -(-places // rounds), kind)
    if is_unpadded and tuple(g.kernel) == tuple(shape[1:]):
        return Sums("dot", 1, kind)
    return Sums("convolve", made[-1], kind)


def _places(size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n - k + 1 for n, k in zip(size, kernel, strict=True))


def scratch_of(graph: Graph, step: Step) -> Iterator[Scratch]:
    """The memory that a step needs for itself."""
    for i, stage in enumerate(step.stages):
        if isinstance(stage.core, Product):
            sums = sums_of(graph, stage.core)
            if sums.how != "dot":
                yield Scratch(i, "sums", sums.kind, sums.count)
        if i < len(step.stages) - 1:
            plane = prod(graph.shape(stage.top)[1:])
            yield Scratch(i, "plane", graph.stored_kind(stage.top), plane)
