"""Weights into and out of a net, by layer name. Caffe: Net::CopyTrainedLayersFrom, Net::ToProto."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from adaption.errors import WeightsError
from adaption.io.caffemodel import LayerWeights, WeightBlob, Weights
from adaption.net.blob import Blob
from adaption.net.node import Node

__all__ = ["LoadReport", "keep_rounded_only", "layer_weights", "load_weights", "share_weights"]

T = TypeVar("T")


@dataclass
class LoadReport:
    """What a load did, by layer name."""

    file: str | None = None
    loaded: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)  # in the file, not in the net
    missing: list[str] = field(default_factory=list)  # in the net, without weights in the file

    def __str__(self) -> str:
        text = f"{len(self.loaded)} layers loaded"
        if self.ignored:
            text += f", {len(self.ignored)} of the file not in the net: {_some(self.ignored)}"
        if self.missing:
            text += f", {len(self.missing)} of the net not in the file: {_some(self.missing)}"
        return text


def load_weights(
    nodes: Sequence[Node], weights: Weights, *, original_semantics: bool = False
) -> LoadReport:
    """Copy blobs into the layers of the same name.

    Plain weights (W, b) load into low-precision layers (W, rounded W, b, rounded b) and back,
    unless `original_semantics`. Of several layers of one name the first of the file goes to the
    first of the net, and so on; Caffe copies all of them to the first. Layers of the file that the
    net lacks are ignored; layers of the net that the file lacks keep their values; both are
    reported.

    Raises: WeightsError listing every blob whose number or shape does not fit, or where the file
        holds more layers of one name than the net; then no blob has been written.
    """
    report = LoadReport(file=weights.file)
    targets = _by_turn((own.spec.name, own) for own in nodes if own.blobs)
    sources = _by_turn((x.name, x) for x in weights.layers if x.blobs)
    _check_turns(targets, sources)
    plain = {node.spec.name for node in nodes if not node.blobs}
    copies: list[tuple[Blob, WeightBlob]] = []
    misfits = []
    for key, source in sources.items():
        node = targets.get(key)
        if node is None:
            if source.name not in plain:
                report.ignored.append(source.name)
            continue
        pairs = _pair(node, source, original_semantics)
        bad = _misfits(node, source, pairs)
        if bad:
            misfits.append(f'"{source.name}" ({bad})')
        else:
            copies.extend(pairs or [])
            report.loaded.append(source.name)
    report.missing = [name for name, turn in targets if (name, turn) not in sources]
    if misfits:
        raise WeightsError(
            f"weights do not fit the net: {'; '.join(misfits[:12])}"
            + (f"; {len(misfits) - 12} more" if len(misfits) > 12 else ""),
            "give the caffemodel that belongs to this prototxt, or rename the layers that differ",
        ).at(file=weights.file)
    for blob, value in copies:
        blob.write(value.array())
    return report


def _by_turn(items: Iterable[tuple[str, T]]) -> dict[tuple[str, int], T]:
    """Layers by name, and by their place among those of the name, from 0."""
    seen: Counter[str] = Counter()
    found = {}
    for name, item in items:
        found[name, seen[name]] = item
        seen[name] += 1
    return found


def _check_turns(
    targets: Mapping[tuple[str, int], object], sources: Mapping[tuple[str, int], object]
) -> None:
    own, given = (Counter(name for name, _ in items) for items in (targets, sources))
    for name, count in given.items():
        if count > own[name] > 0:
            raise WeightsError(
                f"{count} layers are called {name!r}, of which the net has {own[name]}",
                "rename one of them, in the prototxt that the weights were trained with",
            )


def _pair(
    node: Node, source: LayerWeights, original_semantics: bool
) -> list[tuple[Blob, WeightBlob]] | None:
    """Target and source blobs in order; None when their numbers do not fit."""
    blobs = node.layer.arranged(source.blobs)
    if len(blobs) == len(node.blobs):
        return list(zip(node.blobs, blobs, strict=True))
    if original_semantics:
        return None
    count = len(node.masters)
    if node.is_paired and len(blobs) == count:
        return [
            (target, value)
            for i, value in enumerate(blobs)
            for target in node.blobs[2 * i : 2 * i + 2]
        ]
    if not node.is_paired and source.is_paired and len(blobs) == 2 * count:
        return list(zip(node.blobs, blobs[::2], strict=True))
    return None


def _misfits(node: Node, source: LayerWeights, pairs: list[tuple[Blob, WeightBlob]] | None) -> str:
    if pairs is None:
        return f"{len(source.blobs)} blobs in the file, {len(node.blobs)} in the net"
    for i, (blob, value) in enumerate(pairs):
        if not _same_shape(blob.shape, value):
            return f"blob {i} is {_by(value.shape)} in the file, {_by(blob.shape)} in the net"
        if not value.has_data:
            return f"blob {i} holds no data in the file"
    return ""


def _same_shape(shape: tuple[int, ...], value: WeightBlob) -> bool:
    """Caffe's Blob::ShapeEquals: legacy files give four numbers for blobs of up to four axes."""
    if tuple(value.shape) == shape:
        return True
    if value.legacy and len(shape) <= 4:
        return (1,) * (4 - len(shape)) + shape == tuple(value.shape)
    return False


def share_weights(nodes: Sequence[Node], sources: Sequence[Node]) -> None:
    """Let layers use the data of the source layers of the same name; diffs stay apart.

    Raises: WeightsError listing every layer whose blobs differ in number, shape or device; then
        nothing is shared. Caffe: Net::ShareTrainedLayersWith.
    """
    targets = _by_turn((own.spec.name, own) for own in nodes)
    pairs: list[tuple[Blob, Blob]] = []
    misfits = []
    for key, source in _by_turn((x.spec.name, x) for x in sources).items():
        node = targets.get(key)
        if node is None:
            continue
        have, want = ([b.shape for b in n.blobs] for n in (node, source))
        here, there = (n.runtime.device for n in (node, source))
        if have != want:
            misfits.append(f'"{source.spec.name}" ({have} here, {want} there)')
        elif have and here != there:
            misfits.append(f'"{source.spec.name}" ({here} here, {there} there)')
        else:
            pairs += zip(node.blobs, source.blobs, strict=True)
    if misfits:
        raise WeightsError(
            f"blobs to share differ: {'; '.join(misfits)}",
            "share between nets whose layers of one name are alike",
        )
    for blob, owner in pairs:
        blob.share_data(owner)


def keep_rounded_only(nodes: Sequence[Node]) -> None:
    """Let rounded weights stand for their masters, which gives back the memory of these.

    The net computes the same; only where rounding is deterministic, since rounding again changes
    nothing then. It cannot be trained or saved any more.
    """
    for node in nodes:
        if not node.is_paired:
            continue
        node.quantized_blobs()  # fresh
        for i, master in enumerate(node.masters):
            fmt = node.format_of(i)
            if fmt is not None and not fmt.is_random:
                master.share_data(node.blobs[2 * i + 1])


def layer_weights(nodes: Sequence[Node], *, with_diff: bool = False) -> Iterator[LayerWeights]:
    """Every layer with its blobs, as a caffemodel holds them; rounded blobs are fresh.

    Draws no random numbers: a run goes on the same whether it is saved on the way or not.
    """
    for node in nodes:
        if node.spec.is_split:
            continue
        if not node.runtime.original_semantics:
            node.refresh()
        yield LayerWeights(
            node.spec.name,
            node.spec.type,
            [
                WeightBlob.of(b.tensor.detach().cpu().numpy(), b.grad.cpu() if with_diff else None)
                for b in node.blobs
            ],
        )


def _by(shape: Sequence[int]) -> str:
    return "x".join(str(d) for d in shape) or "scalar"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return f"{shown}, ..." if len(names) > 6 else shown
