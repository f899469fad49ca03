"""Which blobs of a net hold class scores, and which of them is the net's answer.

Of several classifiers (auxiliary ones in training nets, nets of several tasks) the main one has the
greatest loss weight, and of equal ones it is the last of the net: so GoogLeNet's is loss3
(Szegedy et al. 2014, section 5). The caller may name another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from adaption.errors import UsageError
from adaption.graph import LayerSpec, NetSpec
from adaption.layers.base import Layer, traits_of
from adaption.nearest import nearest_name
from adaption.net import Net

__all__ = ["Classifier", "Classifiers", "find_classifiers", "holds_scores"]


@dataclass(frozen=True)
class Classifier:
    """A blob of class scores.

    scores: the blob. label: the blob of the net that holds its labels; None: those of the data.
    axis: of the classes. ignore_label: labels that count for nothing. weight: of its loss.
    """

    scores: str
    label: str | None = None
    axis: int = 1
    ignore_label: int | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Classifiers:
    """All classifiers of a net in its order, and the blob of the main one.

    why: the rule that chose among several, in words; empty where there was no choice. unclear:
    outputs that look like scores, where nothing tells which are.
    """

    all: tuple[Classifier, ...] = ()
    main: str | None = None
    why: str = ""
    unclear: tuple[str, ...] = ()


def find_classifiers(spec: NetSpec, net: Net, chosen: str | None = None) -> Classifiers:
    """The classifiers of a net: what Accuracy and SoftmaxWithLoss read; without any of these the
    outputs that hold one score per class: those of Softmax layers, else the only one.

    Args:
        spec: the net without Split layers.
        net: the same, built.
        chosen: the blob that is to be the main one; None: by the rule.
    Raises: UsageError when `chosen` is no blob of class scores.
    """
    found = list(_trained(spec)) or list(_outputs(spec, net))
    unclear: tuple[str, ...] = ()
    if len(found) > 1 and not any(_is_sure(spec, c) for c in found):
        unclear, found = tuple(c.scores for c in found), []
    if chosen is not None:
        return _with_chosen(spec, net, found, chosen)
    if not found:
        return Classifiers(unclear=unclear)
    best = max(range(len(found)), key=lambda i: (found[i].weight, i))
    return Classifiers(tuple(found), found[best].scores, _why(found, best), unclear)


def holds_scores(shape: Sequence[int]) -> bool:
    """True for one score per class: (N, K), K > 1; further axes of size 1 allowed."""
    return len(shape) >= 2 and shape[1] > 1 and math.prod(shape[2:]) == 1


def _trained(spec: NetSpec) -> Iterator[Classifier]:
    """What layers read that compare scores with labels; each once, by what its Softmax reads."""
    made_by = {top: item for item in spec.layers for top in item.tops}
    found: dict[str, Classifier] = {}
    for item in spec.layers:
        layer = traits_of(item, spec)
        if not layer.reads_scores:
            continue
        one = _read_by(item, layer)
        source = made_by.get(one.scores)
        is_softmax = source is not None and traits_of(source, spec).gives_scores
        root = source.bottoms[0] if source is not None and is_softmax else one.scores
        before = found.get(root)
        if before is None:
            found[root] = one
        elif layer.measures:
            found[root] = replace(one, weight=before.weight)
        else:
            found[root] = replace(before, weight=one.weight)
    # A net with accuracies and losses has a weight for those with losses only; others count 1.
    yield from found.values()


def _read_by(item: LayerSpec, layer: Layer) -> Classifier:
    axis, ignored = layer.scores_of()
    weights = item.message.loss_weight
    weight = weights[0] if layer.is_loss and weights else 1.0
    return Classifier(item.bottoms[0], item.bottoms[1], axis, ignored, weight)


def _outputs(spec: NetSpec, net: Net) -> Iterator[Classifier]:
    """Outputs that may be scores, in the order of their layers; of Softmax layers if there are."""
    ends = [top for item in spec.layers for top in item.tops if top in spec.outputs]
    made_by = {top: item for item in spec.layers for top in item.tops}
    scores = [name for name in dict.fromkeys(ends) if holds_scores(net.blobs[name].shape)]
    softmax = [name for name in scores if traits_of(made_by[name], spec).gives_scores]
    yield from map(Classifier, softmax or scores)


def _is_sure(spec: NetSpec, one: Classifier) -> bool:
    made_by = {top: item for item in spec.layers for top in item.tops}
    source = made_by.get(one.scores)
    is_softmax = source is not None and traits_of(source, spec).gives_scores
    return one.label is not None or is_softmax


def _why(found: Sequence[Classifier], best: int) -> str:
    if len(found) == 1:
        return ""
    listed = ", ".join(f'"{c.scores}"' for c in found)
    weights = [c.weight for c in found]
    if weights.count(found[best].weight) > 1:
        reason = "the last one of the net"
        if len(set(weights)) > 1:
            reason = "the last one of those with the greatest loss weight"
    else:
        reason = f"the one with the greatest loss weight, {found[best].weight:g}"
    return (
        f'The net has {len(found)} classifiers, {listed}; "{found[best].scores}" is the main one,'
        f" {reason} (--score BLOB names another)."
    )


def _with_chosen(spec: NetSpec, net: Net, found: Sequence[Classifier], chosen: str) -> Classifiers:
    if chosen not in net.blobs:
        near = nearest_name(chosen, tuple(net.blobs))
        raise UsageError(
            f"the net has no blob {chosen!r} to score"
            + (f", did you mean {near!r}?" if near else ""),
            f"its classifiers: {', '.join(c.scores for c in found) or 'none'}; its outputs:"
            f" {', '.join(spec.outputs)}",
        ).at(file=spec.file)
    if all(c.scores != chosen for c in found):
        shape = net.blobs[chosen].shape
        if len(shape) < 2 or shape[1] < 2:
            raise UsageError(
                f"blob {chosen!r} has shape {shape}, allowed: one score per class, (N, K), or a"
                " map of them, (N, K, H, W)",
                f"its classifiers: {', '.join(c.scores for c in found) or 'none'}",
            ).at(file=spec.file)
        labels = {c.label for c in found}
        label = labels.pop() if len(labels) == 1 else None
        if label is not None and net.blobs[label].count != math.prod(shape) // shape[1]:
            label = None  # of samples, where there are maps of scores
        found = [*found, Classifier(chosen, label)]
    return Classifiers(tuple(found), chosen)
