"""slack: how far a step's top may lie upon what the step reads for the last time.

A step is a row of events: each reads all that it needs, then writes some elements of the top, one
behind another. What the events after it still have to read must not be written over.
"""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from adaption.exact.float_ops import FloatMean, FloatProduct
from adaption.exact.program import MaxPool, Op, Product, SquareSum, WindowSum
from adaption.export.package.c.graph import Graph
from adaption.export.package.c.scratch import sums_of
from adaption.export.package.c.steps import Step
from adaption.layers.convolution import Convolution
from adaption.layers.inner_product import InnerProduct

__all__ = ["slack"]

Places = npt.NDArray[np.int64]


def slack(graph: Graph, step: Step, name: str, size: int, top_size: int) -> int:
    """Bytes by which the top has to begin before a value that the step reads; 0 or less where it
    may begin with it or behind.

    Args:
        size, top_size: bytes of an element of the value, and of the top.
    """
    starts = _events(graph, step)
    ends = np.append(starts[1:], graph.count(step.top))
    first = _reads(graph, step, name, starts)
    still = np.minimum.accumulate(first[::-1])[::-1][1:]  # by the events behind each
    apart = -(graph.count(name) * size + graph.count(step.top) * top_size)
    if still.size:
        apart = int((ends[:-1] * top_size - still * size).max())
    if name in step.stages[-1].leaves:
        apart = max(apart, _by_element(graph, step, name, size, top_size))
    return apart


def _by_element(graph: Graph, step: Step, name: str, size: int, top_size: int) -> int:
    """The same for what the last stage reads element by element while it writes the top: an event
    of rows or channels has not read all of it when it starts to write."""
    behind = graph.count(step.top) - 1
    if graph.count(name) != graph.count(step.top):
        return behind * top_size  # it may be read from its start on until the end
    return max(behind * (top_size - size), top_size - size) if behind else -size


def _events(graph: Graph, step: Step) -> Places:
    """The first element of the top that each event writes."""
    core, count = step.stages[0].core, graph.count(step.top)
    whole = _plane(graph, step.top)
    if len(step.stages) > 1:
        return np.arange(0, count, whole)
    if isinstance(core, Product) and isinstance(core.form, Convolution):
        together = sums_of(graph, core).count
        by_channel = np.arange(0, whole, together)
        return (np.arange(0, count, whole)[:, None] + by_channel).ravel()
    return np.arange(count)


def _plane(graph: Graph, name: str) -> int:
    return prod(graph.shape(name)[1:])


def _reads(graph: Graph, step: Step, name: str, starts: Places) -> Places:
    """The first element of a value that each event reads."""
    found = np.full(len(starts), graph.count(name))
    for k, stage in enumerate(step.stages):
        if name in stage.leaves:
            # By element: where stages differ in size, an event is a whole channel of each.
            own = starts
            if k < len(step.stages) - 1:
                own = starts // _plane(graph, step.top) * _plane(graph, stage.top)
            is_flat = graph.count(name) == graph.count(stage.top)
            found = np.minimum(found, own if is_flat else 0)
    core = step.stages[0].core
    if core is not None and core.inputs[0] == name:
        found = np.minimum(found, _core_reads(graph, step, core, starts))
    return found


def _core_reads(graph: Graph, step: Step, core: Op, starts: Places) -> Places:
    shape, top = graph.shape(core.inputs[0]), graph.shape(core.outputs[0])
    if isinstance(core, SquareSum):
        return np.zeros_like(starts)
    if isinstance(core, Product | FloatProduct) and isinstance(core.form, InnerProduct):
        size = graph.count(core.inputs[0]) * core.form.num_output // graph.count(core.outputs[0])
        return np.asarray(starts // core.form.num_output * size)
    plane = prod(shape[1:])
    whole = _plane(graph, step.top if len(step.stages) > 1 else core.outputs[0])
    channel, rest = starts // whole, starts % whole
    row, column = rest // top[-1], rest % top[-1]
    if isinstance(core, MaxPool | WindowSum | FloatMean):
        h, w = core.form.windows((1, *shape))
        line = np.maximum(row * h.stride - h.pad, 0)
        column = np.maximum(column * w.stride - w.pad, 0)
        return np.asarray(channel * plane + line * shape[-1] + column)
    assert isinstance(core, Product | FloatProduct) and isinstance(core.form, Convolution)
    g, groups = core.form.geometry(4), core.form.groups(shape[0])
    first = channel // (top[0] // groups) * (shape[0] // groups) * plane
    if core.form.is_transposed:
        line = -((-row - g.pad[0] + (g.kernel[0] - 1) * g.dilation[0]) // g.stride[0])
    else:
        line = row * g.stride[0] - g.pad[0]
    is_mix = isinstance(core, Product) and sums_of(graph, core).how == "mix"
    along = column if is_mix else 0  # else columns left of it, too
    return np.asarray(first + np.maximum(line, 0) * shape[-1] + along)
