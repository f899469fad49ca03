"""From a NetSpec with splits to nodes with shapes and filled blobs. Caffe: Net::Init."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import prod

import torch

from adaption.errors import AdaptionError, FieldError, LayerError, ShapeError
from adaption.graph import LayerSpec, NetSpec
from adaption.io.lp_types import LP_INNER_PRODUCT
from adaption.layers.base import (
    Layer,
    Runtime,
    build_layer,
    choose_class,
)
from adaption.layers.dialects import check_dialect
from adaption.layers.shapes import with_automatic_tops
from adaption.layers.unread import check_fields, refuse_unknown, unread_notices
from adaption.net.blob import Blob, SharedBlob
from adaption.net.device_blob import new_blob
from adaption.net.fillers import fill
from adaption.net.memory import FAILURES, Footprint
from adaption.net.node import Node
from adaption.net.plan import layer_formats
from adaption.net.points import Points
from adaption.net.points_check import check_formats

__all__ = [
    "accumulator_notices",
    "build_nodes",
    "dialect_notices",
    "fill_first_tops",
    "infer_shapes",
    "name_masters",
]

Shape = tuple[int, ...]


def accumulator_notices(nodes: Sequence[Node]) -> list[str]:
    """A sentence for each layer whose stated accumulator this simulation does not model."""
    return [
        f'layer "{n.spec.name}": precision_param.accumulator counts in exact arithmetic; this net'
        " sums in float32"
        for n in nodes
        if n.formats.accumulator is not None
    ]


def dialect_notices(spec: NetSpec) -> list[str]:
    """A sentence for each layer whose type forks disagree about (which one is taken, and why), and
    for each setting that is not read."""
    made = []
    for item in spec.layers:
        cls, sentence = choose_class(item, spec.dialect, spec.layers)
        made += [sentence] if sentence else []
        made += unread_notices(item, cls)
    return made


def build_nodes(spec: NetSpec, lent: Runtime) -> list[Node]:
    """One node per layer, without shapes yet.

    Args:
        lent: what all layers are lent: generators, device, semantics.

    Raises: UnknownLayerError or UnknownFieldError listing all that is unknown; FieldError on an
        unknown dialect; errors of single layers.
    """
    check_dialect(spec.dialect)
    refuse_unknown(spec)
    nodes = []
    for item in with_automatic_tops(spec.layers):
        layer = build_layer(item, spec.dialect, spec.layers)
        _check_fields(item, type(layer))
        runtime = replace(
            lent,
            training=spec.phase == "TRAIN"
            if not item.message.HasField("phase")
            else item.message.phase == 0,
            config={},
            state={},
        )
        try:
            formats = layer_formats(item, original_semantics=lent.original_semantics)
            weights = _loss_weights(item, layer, original_semantics=lent.original_semantics)
        except AdaptionError as error:
            raise error.at(layer=item.name, layer_type=item.type, line=item.line) from None
        points = Points(formats, item.name, item.type, item.line, runtime)
        nodes.append(Node(item, layer, points, runtime, loss_weights=weights))
    return nodes


def _check_fields(item: LayerSpec, cls: type[Layer]) -> None:
    try:
        check_fields(item, cls)
    except AdaptionError as error:
        raise error.at(layer=item.name, layer_type=item.type, line=item.line) from None


def _loss_weights(spec: LayerSpec, layer: Layer, *, original_semantics: bool) -> list[float]:
    given = list(spec.message.loss_weight)
    if given and len(given) != len(spec.tops):
        raise FieldError("loss_weight", given, f"one per top ({len(spec.tops)})")
    forgotten = original_semantics and layer.forgets_loss_weight
    if not given and layer.is_loss and not forgotten:
        return [1.0, *[0.0] * (len(spec.tops) - 1)]
    return given or [0.0] * len(spec.tops)


def infer_shapes(nodes: Sequence[Node], blobs: dict[str, Blob]) -> None:
    """Give every blob its shape; make and fill parameter blobs where there are none yet.

    An input blob that exists keeps its shape, so the same call reshapes a net.
    Raises: ShapeError naming the layer whose shapes do not fit.
    """
    shared: dict[str, Blob] = {}
    multipliers: dict[tuple[str, str], float] = {}
    footprint = Footprint()
    for node in nodes:
        spec = node.spec
        bottoms = [blobs[b].shape for b in spec.bottoms]
        if node.layer.takes_blobs:
            device = node.runtime.device
            own = [blobs.setdefault(top, new_blob(device)) for top in spec.tops]
            node.layer.bind([blobs[b] for b in spec.bottoms], own, node.blobs)
        try:
            if spec.is_input and all(t in blobs for t in spec.tops):
                tops = [blobs[t].shape for t in spec.tops]
            else:
                tops = node.layer.top_shapes(*bottoms)
            for name, shape in zip(spec.tops, tops, strict=True):
                _check_in_place(spec, bottoms, name, shape)
                footprint.add(name, shape, f'top "{name}"')
            _make_parameters(node, bottoms, shared, footprint)
            _check_multipliers(node, multipliers)
        except AdaptionError as error:
            where = error.at(layer=spec.name, layer_type=spec.type, line=spec.line)
            raise where from error.__cause__
        except IndexError:
            raise ShapeError(
                f"bottoms of shape {', '.join(str(b) for b in bottoms)} have too few axes"
            ).at(layer=spec.name, layer_type=spec.type, line=spec.line) from None
        except FAILURES as error:
            raise ShapeError(
                f"its fields do not fit bottoms of shape {', '.join(str(b) for b in bottoms)}:"
                f" {error}"
            ).at(layer=spec.name, layer_type=spec.type, line=spec.line) from error
        for name, shape in zip(spec.tops, tops, strict=True):
            if any(d < 0 for d in shape):
                raise ShapeError(
                    f"bottoms of shape {', '.join(str(b) for b in bottoms)} give top"
                    f' "{name}" the shape {tuple(shape)}',
                    "enlarge the input, or correct kernel size, pad and crop",
                ).at(layer=spec.name, layer_type=spec.type, line=spec.line)
            if name in blobs:
                blobs[name].reshape(*shape)
            else:
                blobs[name] = new_blob(node.runtime.device, shape)


def name_masters(nodes: Sequence[Node]) -> None:
    """Name every master as the first layer that has it does; a shared one has one name."""
    names: dict[int, str] = {}
    for node in nodes:
        owners = [b.owner if isinstance(b, SharedBlob) else b for b in node.masters]
        node.master_names = [
            names.setdefault(id(owner), f"{node.spec.name}[{i}]") for i, owner in enumerate(owners)
        ]


def _check_in_place(spec: LayerSpec, bottoms: Sequence[Shape], top: str, shape: Shape) -> None:
    """Refuse a top over a bottom of another size, which the next pass would find in its place."""
    if top in spec.bottoms and prod(shape) != prod(bottoms[spec.bottoms.index(top)]):
        raise ShapeError(
            f'makes "{top}" of shape {bottoms[spec.bottoms.index(top)]} a blob of shape {shape}',
            "give the top a name of its own",
        )


def fill_first_tops(nodes: Sequence[Node], blobs: dict[str, Blob]) -> None:
    """Write what tops hold before the first pass. Caffe: DummyDataLayer::LayerSetUp."""
    for node in nodes:
        spec = node.spec
        try:
            made = node.layer.first_tops(node.runtime)
        except AdaptionError as error:
            raise error.at(layer=spec.name, layer_type=spec.type, line=spec.line) from None
        except FAILURES as error:
            raise LayerError(f"its first values cannot be made: {error}").at(
                layer=spec.name, layer_type=spec.type, line=spec.line
            ) from error
        for name, values in zip(spec.tops, made, strict=False):
            if values is not None:
                blobs[name].set(values)


def _make_parameters(
    node: Node, bottoms: Sequence[Shape], shared: dict[str, Blob], footprint: Footprint
) -> None:
    wanted = node.layer.blob_shapes(*bottoms)
    for i, shape in enumerate(wanted):
        footprint.add(f"{node.spec.name}:{i}", shape, f"blob {i}")
    if node.blobs:
        have = [b.shape for b in node.masters]
        if have != [tuple(s) for s in wanted]:
            raise ShapeError(f"the blobs have shapes {have}, this input needs {wanted}")
    elif wanted:
        fillers = node.layer.blob_fillers()
        for i, shape in enumerate(wanted):
            if min(shape, default=1) < 1:
                raise ShapeError(f"its blob {i} would have shape {tuple(shape)}")
            filler = fillers[i] if i < len(fillers) else None
            _add_blob(node, tuple(shape), filler)
    if len(node.masters) < 2 and not node.spec.message.precision_param.HasField("bias"):
        # lpfp_param's round_bias says nothing about a layer without a bias.
        node.points.formats = node.formats.having({"bias": None})
    check_formats(node, node.formats)
    _share(node, shared)


def _add_blob(node: Node, shape: Shape, filler: object) -> None:
    for copy in range(2 if node.is_paired else 1):
        blob = new_blob(node.runtime.device, shape)
        index = len(node.blobs)
        node.blobs.append(blob)
        if copy and not node.runtime.original_semantics:
            blob.follow(partial(node.refresh, index // 2))  # always that of its master
            continue
        # The original draws the rounded copy on its own, and leaves LPInnerProduct's at zero.
        if filler is not None and not (index == 1 and node.spec.type == LP_INNER_PRODUCT):
            values = torch.from_numpy(blob.data)  # drawn on the host, alike for every device
            fill(values, filler, node.runtime.draws_on_host)  # type: ignore[arg-type]


def _share(node: Node, shared: dict[str, Blob]) -> None:
    """Blobs whose param specs carry the same name are one blob. Caffe: Net::AppendParam."""
    specs = node.spec.message.param
    step = 2 if node.is_paired and not node.runtime.original_semantics else 1
    for i, blob in enumerate(node.blobs):
        if i % step or i // step >= len(specs) or not specs[i // step].name:
            continue
        spec = specs[i // step]
        owner = shared.setdefault(spec.name, blob)
        if blob is owner or (isinstance(blob, SharedBlob) and blob.owner is owner):
            continue
        if owner.shape != blob.shape:
            permissive = type(spec).PERMISSIVE
            if spec.share_mode != permissive or owner.count != blob.count:
                raise ShapeError(
                    f'shares param "{spec.name}" of shape {owner.shape}, its own blob {i} needs'
                    f" {blob.shape}",
                    "share blobs of one shape, or of one count with share_mode: PERMISSIVE",
                )
        node.blobs[i] = owner if owner.shape == blob.shape else SharedBlob(owner, blob.shape)


def _check_multipliers(node: Node, given: dict[tuple[str, str], float]) -> None:
    """Refuse multipliers of a shared parameter that differ from those given before, as Caffe."""
    for spec in node.spec.message.param[: len(node.blobs)]:
        for name in ("lr_mult", "decay_mult"):
            if not spec.name or not spec.HasField(name):
                continue
            value = getattr(spec, name)
            first = given.setdefault((spec.name, name), value)
            if value != first:
                raise FieldError(
                    f'{name} of the shared param "{spec.name}"',
                    value,
                    f"{first}, which an earlier layer gives",
                    "give it once, or the same everywhere",
                )
