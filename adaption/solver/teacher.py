"""Distillation: a trained net teaches the one that trains, by its class scores on every batch.

With the teacher's scores t, the net's scores s, a temperature T and a weight w, the classification
loss L becomes (1 - w) L + w T^2 KL(softmax(t / T) || softmax(s / T)), the divergence as a mean over
the samples. The factor T^2 keeps the gradient's size when T changes. Source: Hinton, Vinyals, Dean
2015, "Distilling the Knowledge in a Neural Network", section 2.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from adaption.errors import AdaptionError, ShapeError, UsageError, WeightsError
from adaption.graph import LayerSpec, NetSpec, NetState, build_spec
from adaption.io.netfile import read_net
from adaption.layers.base import canonical_axis, traits_of
from adaption.net import Net
from adaption.net.node import Node
from adaption.numerics.measures import divergence
from adaption.options.checks import Number
from adaption.precision.classifiers import Classifier, find_classifiers
from adaption.solver.listener import Output
from adaption.solver.passes import Passes

__all__ = ["Teacher", "TeachingPasses"]

LOSS = "SoftmaxWithLoss"  # whose gradient is known to be the one above


@dataclass(frozen=True)
class Teacher:
    """A net that teaches another.

    net, weights: prototxt (deploy or train_val; its TEST state) and caffemodel, as a rule the float
        net. weight: share of the loss that is the teacher's, above 0 up to 1. temperature: above 0;
        the greater, the more the scores of wrong classes count.
    Raises: FieldError.
    """

    net: str | os.PathLike[str]
    weights: str | os.PathLike[str]
    weight: float = 0.7
    temperature: float = 2.0

    def __post_init__(self) -> None:
        Number("above 0, up to 1", lambda w: 0 < w <= 1)("teacher_weight", self.weight)
        Number("above 0", lambda t: 0 < t < float("inf"))("teacher_temperature", self.temperature)

    def to_dict(self) -> dict[str, Any]:
        """What a run depends on beside its files, in plain values."""
        return {"weight": self.weight, "temperature": self.temperature}


class TeachingPasses(Passes):
    """Passes of a train net whose classification loss is shared with a teacher.

    Raises: AdaptionError when the teacher cannot be built, or does not suit the train net.
    """

    def __init__(self, teacher: Teacher, net: Net, net_options: dict[str, Any]) -> None:
        self.teacher = teacher
        main = find_classifiers(net.spec, net).main
        found = [s for s in net.spec.layers if s.type == LOSS and s.bottoms[0] == main]
        if main is None or not found:
            raise UsageError(
                f"the train net has no {LOSS} layer, so a teacher has nothing to add to",
                "train it without a teacher",
            ).at(file=net.spec.file)
        self.loss_node = net.nodes[net.index(found[-1].name)]
        axis, self.ignored = self.loss_node.layer.scores_of()
        self.axis = canonical_axis(axis, len(self._scores(net).shape))
        self.loss_weight = self.loss_node.loss_weights[0]
        self.teacher_net, self.logits, self.last = _build(teacher, net, net_options)
        self.shared = [name for name in self.teacher_net.inputs if name in net.blobs]
        self.sources_end = _last_maker(net, self.shared)
        self.gradient = torch.empty(0)  # of the divergence, in the latest forward pass
        self.divergence = 0.0  # T^2 KL, in that pass

    def _scores(self, net: Net) -> Tensor:
        return net.blobs[self.loss_node.spec.bottoms[0]].tensor

    def forward(self, net: Net) -> float:
        net.forward(end=self.sources_end)
        inputs = {name: net.blobs[name].tensor for name in self.shared}
        with torch.no_grad():  # before layers of the train net round their inputs in place
            self.teacher_net.forward(inputs, end=self.last)
        if self.sources_end + 1 < len(net.nodes):
            net.forward(start=self.sources_end + 1)
        with torch.no_grad():
            self._compare(net)
        own = self.loss_weight * float(net.blobs[self.loss_node.spec.tops[0]].tensor)
        return net.loss() + self.teacher.weight * (self.loss_weight * self.divergence - own)

    def _compare(self, net: Net) -> None:
        """The divergence from the teacher and its gradient, a mean over samples that count."""
        scores, theirs = self._scores(net), self.teacher_net.blobs[self.logits].tensor
        if scores.shape != theirs.shape:
            raise ShapeError(
                f'the teacher\'s class scores "{self.logits}" have shape {tuple(theirs.shape)},'
                f" those of the train net {tuple(scores.shape)}",
                "give a teacher of the same classes",
            ).at(file=self.teacher_net.spec.file)
        apart, gradient = divergence(scores, theirs, self.teacher.temperature, self.axis)
        counts = torch.ones_like(apart)
        if self.ignored is not None:
            labels = net.blobs[self.loss_node.spec.bottoms[1]].tensor
            counts = (labels.reshape(counts.shape) != self.ignored).to(apart.dtype)
        share = counts / counts.sum().clamp(min=1)
        self.divergence = float((apart * share).sum())
        self.gradient = gradient * share.unsqueeze(self.axis)

    def backward(self, net: Net) -> None:
        net.backward(observer=lambda node: self._share(net, node))

    def _share(self, net: Net, node: Node) -> None:
        """Behind the loss layer: its gradient, and the teacher's, by their shares."""
        if node is not self.loss_node or not node.propagate_down[0]:
            return
        blob, w = net.blobs[node.spec.bottoms[0]], self.teacher.weight
        assert blob.grad is not None
        blob.set_grad((1 - w) * blob.grad + (w * self.loss_weight) * self.gradient)

    def outputs(self, net: Net) -> list[Output]:
        """The loss with the share that it has left, and the teacher's as an output of its own."""
        top, w = self.loss_node.spec.tops[0], self.teacher.weight
        shown = [
            replace(o, loss_weight=(1 - w) * o.loss_weight) if o.name == top else o
            for o in super().outputs(net)
        ]
        return [*shown, Output("teacher", self.divergence, w * self.loss_weight)]


def _build(teacher: Teacher, net: Net, options: dict[str, Any]) -> tuple[Net, str, int]:
    """The teacher, fed by the blobs of `net`; the blob of its scores before any Softmax, and the
    place of the last layer to run for it."""
    file = read_net(teacher.net)
    spec = build_spec(file.message, NetState("TEST"), file=file.file, lines=file.lines)
    shapes = {}
    for item in _sources(spec):
        for top in item.tops:
            shapes[top] = net.blobs[top].shape if top in net.blobs else (1,)
    try:
        built = Net(spec, input_shapes=shapes, **options)
        report = built.load(teacher.weights)
        if report.missing:
            raise WeightsError(
                f"has no weights for: {', '.join(report.missing)}",
                "give the caffemodel that belongs to the teacher's prototxt",
            ).at(file=teacher.weights)
        found = find_classifiers(built.spec, built)
        classifier = next((c for c in found.all if c.scores == found.main), None)
        if classifier is None:
            raise UsageError(
                "no blob of the teacher is known to hold class scores",
                "give a net that ends in a Softmax or SoftmaxWithLoss layer",
            )
        logits = _before_softmax(built.spec, classifier)
    except AdaptionError as error:
        raise error.at(file=file.file) from error.__cause__
    read = {name for item in built.spec.layers for name in item.bottoms}
    lacking = [
        n for n in built.inputs if n in read and n not in net.blobs and n != classifier.label
    ]
    if lacking:
        raise UsageError(
            f"the teacher reads {', '.join(lacking)}, which the train net does not have",
            f"name its input as the train net's: {', '.join(net.blobs)[:200]}",
        ).at(file=file.file)
    makers = [i for i, node in enumerate(built.nodes) if logits in node.spec.tops]
    softmax = [i for i in makers if built.nodes[i].layer.gives_scores]  # one in place
    if softmax:
        makers = [i for i in makers if i < softmax[0]]
    return built, logits, makers[-1]


def _before_softmax(spec: NetSpec, classifier: Classifier) -> str:
    """The blob that the Softmax layer of a classifier reads; its own blob where it has none."""
    for item in spec.layers:
        if classifier.scores in item.tops and traits_of(item, spec).gives_scores:
            return item.bottoms[0]
    return classifier.scores


def _sources(spec: NetSpec) -> list[LayerSpec]:
    """The layers that bring data, but for inputs."""
    found = [s for s in spec.layers if not s.bottoms and not s.is_input]
    return [s for s in found if traits_of(s, spec).is_source]


def _last_maker(net: Net, blobs: list[str]) -> int:
    """The place of the last layer that first makes one of these blobs."""
    first: dict[str, int] = {}
    for i, node in enumerate(net.nodes):
        for top in node.spec.tops:
            first.setdefault(top, i)
    return max((first[name] for name in blobs), default=0)
