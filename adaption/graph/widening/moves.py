"""Layers that join, cut and rearrange channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from adaption.graph.spec import LayerSpec
from adaption.graph.widening.channels import Channels, cut
from adaption.graph.widening.flow import OTHER_FACTOR, Flow
from adaption.graph.widening.table import axis_of, rule


@rule("Concat")
def _concat(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    param = item.message.concat_param
    axis = param.concat_dim if param.HasField("concat_dim") else param.axis
    wide = [x for x in bottoms if x.follows]
    if not wide:
        known = all(axis_of(axis, x) == x.axis for x in bottoms)
        pieces = tuple(p for x in bottoms for p in x.pieces)
        return [replace(bottoms[0], pieces=pieces) if known else Channels.fixed()]
    troubled = next((x for x in wide if x.trouble is not None), None)
    if troubled is not None:
        return [troubled.carrying(*bottoms)]
    x = wide[0]
    if any(axis_of(axis, one) != one.axis for one in wide):
        return [flow.are_equal(bottoms, "joins samples or positions of")]
    pieces = tuple(p for one in bottoms for p in one.pieces)
    joined = replace(x, pieces=pieces, is_flat=any(one.is_flat for one in bottoms))
    return [joined.carrying(*bottoms)]


@rule("Slice")
def _slice(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    (x,) = bottoms
    param = item.message.slice_param
    axis = axis_of(param.slice_dim if param.HasField("slice_dim") else param.axis, x)
    if x.trouble is not None or (None not in (axis, x.axis) and axis != x.axis):
        return [x] * len(item.tops)
    count, tops = x.count, len(item.tops)
    points = [int(p) for p in param.slice_point]
    if count is not None and not points and count % tops == 0:
        points = [count // tops * i for i in range(1, tops)]
    parts = None if count is None or axis is None else cut(x.pieces, points)
    if parts is None:
        if x.follows:
            x = x.troubled(flow.error("cuts channels that get wider at places that are unknown"))
            return [x] * tops
        return [Channels.fixed(rank=x.rank) for _ in item.tops]
    made = [replace(x, pieces=pieces) for pieces in parts]
    if flow.is_strict and x.follows:
        is_even = len({one.count for one in made}) == 1
        for i, one in enumerate(made[:-1]):
            before = _count_of(made[: i + 1])
            error = flow.error(
                f"slice_point {before} of {count} channels falls between two channels of the"
                " wider net",
                OTHER_FACTOR,
            )
            piece = replace(x, pieces=tuple(p for m in made[: i + 1] for p in m.pieces)).whole
            if is_even:
                flow.widths.is_multiple(one.whole, 1, error)
            flow.widths.is_whole(piece, error)
            if param.slice_point:
                flow.edit(("slice_param", "slice_point"), before, piece, index=i)
    return made


def _count_of(parts: Sequence[Channels]) -> int:
    """Channels of several blobs together, all of which are known."""
    return sum(one.count or 0 for one in parts)


@rule("ShuffleChannel")
def _shuffle(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    (x,) = bottoms
    group = int(item.message.shuffle_channel_param.group)
    if not x.follows or x.trouble is not None:
        return [x]
    if flow.is_strict:
        error = flow.error(f"its {group} groups cannot divide the channels", OTHER_FACTOR)
        flow.widths.is_multiple(x.whole, group, error)
    return [replace(x, pieces=(x.whole,))]


@rule("Reorg")
def _reorg(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    (x,) = bottoms
    param = item.message.reorg_param
    blocks = int(param.stride) ** 2
    factor = Fraction(1, blocks) if param.reverse else Fraction(blocks)
    if not x.follows or x.trouble is not None:
        return [Channels.fixed(rank=x.rank)] if x.trouble is None else [x]
    if flow.is_strict:
        error = flow.error(f"cannot make blocks of {blocks} of the channels", OTHER_FACTOR)
        flow.widths.is_multiple(x.whole, blocks, error)
    return [replace(x, pieces=(x.whole.times(factor),))]


@rule("Tile")
def _tile(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    (x,) = bottoms
    axis = axis_of(item.message.tile_param.axis, x)
    if axis is None or axis == x.axis:
        return [replace(x, pieces=x.pieces * int(item.message.tile_param.tiles))]
    return [x]


@rule("SPP")
def _pyramid(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    (x,) = bottoms
    is_flat = item.message.spp_param.pyramid_height > 1
    return [replace(x, is_flat=x.is_flat or is_flat, rank=2 if is_flat else x.rank)]


@rule("Flatten")
def _flatten(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    (x,) = bottoms
    param = item.message.flatten_param
    first, last = axis_of(param.axis, x), param.end_axis
    if x.axis is None or first is None or (last < -1 and x.rank is None):
        return [_lost(flow, x)]
    end = None if last == -1 else last if last >= 0 else last + (x.rank or 0)
    rank = None if x.rank is None else first + 1 if end is None else x.rank - (end - first)
    if x.axis < first:
        return [replace(x, rank=rank)]
    if end is not None and x.axis > end:
        return [replace(x, rank=rank, axis=x.axis - (end - first))]
    alone = x.rank is not None and first == x.axis == (x.rank - 1 if end is None else end)
    return [replace(x, axis=first, rank=rank, is_flat=x.is_flat or not alone)]


@rule("Permute", "Transpose")
def _permute(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    (x,) = bottoms
    if x.axis is None:
        return [x]
    message = item.message
    order = [*(message.permute_param.order or message.transpose_param.dim)]
    if x.axis in order:
        return [replace(x, axis=order.index(x.axis))]
    return [replace(x, axis=len(order) + sum(a not in order for a in range(x.axis)))]


@rule("Squeeze")
def _squeeze(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    (x,) = bottoms
    dropped = [axis_of(a, x) for a in item.message.squeeze_param.axis]
    if x.axis is None or not dropped or None in dropped or x.axis in dropped:
        return [_lost(flow, x)]
    axis = x.axis - sum(a is not None and a < x.axis for a in dropped)
    return [replace(x, axis=axis, rank=None if x.rank is None else x.rank - len(dropped))]


@rule("Reshape")
def _reshape(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    """Rows of channels stay rows where the axes before theirs do, or where theirs is the last."""
    (x,) = bottoms
    param = item.message.reshape_param
    if param.pixelshuffler > 1:
        if not x.follows:
            return [Channels.fixed(rank=4)]
        return [x.troubled(flow.error("makes pixels of channels that get wider"))]
    dims = [int(d) for d in param.shape.dim]
    if not x.follows or x.trouble is not None or x.axis is None:
        return [Channels.fixed(rank=len(dims)) if not x.follows else x]
    path = ("reshape_param", "shape", "dim")
    count, axis, rank = x.whole.count, x.axis, len(dims)
    assert count is not None
    if param.axis == 0 and param.num_axes == -1:
        if axis < rank and dims[axis] == 0:
            return [replace(x, rank=rank)]
        if axis < rank and not any(dims[:axis]):
            behind = dims[axis + 1 :]
            if dims[axis] == -1 and not behind:
                return [replace(x, rank=rank, is_flat=x.is_flat or x.rank != rank)]
            if dims[axis] == -1 and x.rank == rank and not any(behind):
                return [replace(x, rank=rank)]
            if not behind and dims[axis] > 0 and dims[axis] % count == 0:
                flow.edit(path, dims[axis], x.whole, axis, Fraction(dims[axis], count))
                return [replace(x, rank=rank, is_flat=x.is_flat or dims[axis] != count)]
        if axis < rank and -1 not in dims[:axis] and dims[axis] == count and not x.is_flat:
            flow.edit(path, count, x.whole, axis)
            return [replace(x, rank=rank)]
        if x.rank == axis + 1 and dims[-1] == count and not x.is_flat:
            flow.edit(path, count, x.whole, rank - 1)
            return [replace(x, axis=rank - 1, rank=rank)]
    error = flow.error(
        f"reshapes channels that get wider to {dims}, whose sizes are fixed",
        "write 0 where an axis stays and -1 where the rest goes",
    )
    return [x.troubled(error)]


def _lost(flow: Flow, x: Channels) -> Channels:
    """A blob whose axis of channels cannot be told any more."""
    if not x.follows:
        return Channels.fixed()
    return x.troubled(flow.error("moves channels that get wider to an axis that is unknown"))
