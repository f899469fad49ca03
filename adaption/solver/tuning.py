"""Fine-tune a fixed-point net to the float net's class scores, without labels.

Weights are trained in full precision and rounded at use, formats do not change: distillation with
the float net as the only teacher. Gradients go through the layers that the scores come from, and
through no others, so that losses beside them count for nothing. Rates are in steps of each tensor's
grid, so that one rate serves every net and word length; they fall to 0 along half a cosine.
Source of the loss: Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network",
section 2. The optimizer is Adam (Kingma and Ba, 2015).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import cos, pi

import torch
from torch import Tensor

from adaption.errors import UsageError
from adaption.layers.recurrent import Recurrent
from adaption.net import Net
from adaption.net.blob import Blob, SharedBlob
from adaption.net.node import Node
from adaption.numerics import FixedPoint
from adaption.numerics.measures import divergence
from adaption.precision.refining.alone import scored_tops

__all__ = ["Distance", "Tuner", "check_tunable"]

WEIGHT_RATE = 0.01  # steps of the grid, as a rate of Adam
OTHER_RATE = 0.0005  # of the mean magnitude, of biases and of weights without a format
TEMPERATURE = 4.0

Inputs = Mapping[str, Tensor]


@dataclass
class Distance:
    """How far a net's class scores are from the float net's.

    divergence: T^2 KL(softmax(t / T) || softmax(s / T)), a sum over rows, with the T that nets are
    trained with. flipped: rows whose greatest score is another one.
    """

    divergence: float = 0.0
    flipped: int = 0
    rows: int = 0

    def to_dict(self) -> dict[str, float]:
        """Means, under the names of summary.json."""
        return {
            "divergence": self.divergence / max(1, self.rows),
            "flipped": self.flipped / max(1, self.rows),
        }


@dataclass(frozen=True)
class _Path:
    """The layers of a net that its class scores come from.

    blob: the scores before any Softmax. last: the last layer for them. nodes: all of them in order.
    """

    net: Net
    blob: str
    last: int
    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, net: Net, scores: str) -> _Path:
        found = scored_tops(net.nodes, [scores])
        if not found:
            raise _untunable(net, f'the scores "{scores}" are the result of no layer')
        name, blob = found.popitem()
        last = net.index(name)
        needed, nodes = {blob}, list[Node]()
        for node in reversed(net.nodes[: last + 1]):
            if needed.intersection(node.spec.tops):
                needed -= set(node.spec.tops)
                needed |= set(node.spec.bottoms)
                nodes.append(node)
        return cls(net, blob, last, tuple(reversed(nodes)))

    def scores(self, inputs: Inputs) -> Tensor:
        """Class scores of these samples; with gradients enabled they are recorded."""
        self.net.forward(dict(inputs), end=self.last)
        found = self.net.blobs[self.blob].tensor
        count = len(next(iter(inputs.values())))
        if len(found) != count:
            why = f"its scores have {len(found)} rows for a batch of {count}"
            raise _untunable(self.net, why)
        return found

    def parameters(self) -> list[_Parameter]:
        """What is trained: each blob once, statistics not."""
        made: dict[int, _Parameter] = {}
        for node in self.nodes:
            for i, blob in enumerate(node.masters):
                own = blob.owner if isinstance(blob, SharedBlob) else blob
                if own.count and node.layer.is_learned(i):
                    one = made.setdefault(id(own), _Parameter(own, node.spec.name, i))
                    one.formats.append(node.format_of(i))
        return list(made.values())

    def mark(self) -> None:
        """Have gradients go through these layers alone, down to the first that learns."""
        for node in self.net.nodes:
            node.needs_backward, node.learns = False, [False] * len(node.blobs)
            node.propagate_down = [False] * len(node.spec.bottoms)
        reached: set[str] = set()
        for node in self.nodes:
            masters = range(len(node.masters))
            learns = any(node.layer.is_learned(i) for i in masters)
            node.learns = [learns] * len(node.blobs)
            node.propagate_down = [
                name in reached and i not in node.layer.no_gradient
                for i, name in enumerate(node.spec.bottoms)
            ]
            node.needs_backward = learns or any(node.propagate_down)
            reached -= set(node.spec.tops)
            reached |= set(node.spec.tops) if node.needs_backward else set()


@dataclass
class _Parameter:
    """A blob that is trained: the layer that it is of first, its place there, and the formats that
    layers round it to; layers that share it may have several."""

    blob: Blob
    layer: str
    index: int
    formats: list[object] = field(default_factory=list)

    @property
    def form(self) -> FixedPoint | None:
        """The format, where there is one for all."""
        first = self.formats[0]
        is_one = isinstance(first, FixedPoint) and all(form == first for form in self.formats)
        return first if is_one and isinstance(first, FixedPoint) else None

    def rate(self, magnitude: float) -> float:
        """Its rate of Adam; `magnitude`: the mean one of the layer's weights."""
        steps = [form.lsb for form in self.formats if isinstance(form, FixedPoint)]
        if self.index == 0 and steps:
            return WEIGHT_RATE * min(steps)
        return OTHER_RATE * (self.magnitude or magnitude)

    @property
    def magnitude(self) -> float:
        """The mean magnitude of its values."""
        return float(self.blob.tensor.abs().mean())


def check_tunable(net: Net, scores: str) -> None:
    """Raises: UsageError where a float net of this form cannot be tuned by these scores."""
    path = _Path.of(net, scores)
    if not path.parameters():
        raise _untunable(net, f'nothing that the scores "{scores}" come from has parameters')
    for node in path.nodes:
        if isinstance(node.layer, Recurrent):
            raise _untunable(
                net, f'layer "{node.spec.name}" ({node.spec.type}) reads samples as one sequence'
            )


def _untunable(net: Net, why: str) -> UsageError:
    return UsageError(
        f"the net cannot be tuned to the float net's class scores: {why}",
        "leave out --tune; `adaption train` trains nets of every form",
    ).at(file=net.spec.file)


@dataclass
class Tuner:
    """The training of one net.

    Args:
        net: the fixed-point net, phase TEST; its weights change.
        teacher: the float net, phase TEST.
        scores: blob of class scores of both. axis: of the classes.
        steps: how many there will be, for the rates.
        zeros: by layer, which weights stay 0, as many as it has.
        pace: factor of all rates.
    Raises: UsageError where the net cannot be tuned.
    """

    net: Net
    teacher: Net
    scores: str
    steps: int
    axis: int = 1
    zeros: Mapping[str, Tensor] = field(default_factory=dict)
    pace: float = 1.0

    def __post_init__(self) -> None:
        self.path, self.teacher_path = (
            _Path.of(net, self.scores) for net in (self.net, self.teacher)
        )
        self.flags = [(n.needs_backward, n.propagate_down, n.learns) for n in self.net.nodes]
        self.path.mark()
        self.params = self.path.parameters()
        self.start = [blob.tensor.detach().clone() for blob in self._all_blobs()]
        magnitudes = {p.layer: p.magnitude for p in self.params if p.index == 0}
        self.rates = [p.rate(magnitudes.get(p.layer, 1.0)) for p in self.params]
        self.optimizer = torch.optim.Adam([{"params": [p.blob.tensor]} for p in self.params])
        self.done = 0

    @property
    def blob(self) -> str:
        """The net's blob of class scores, before any Softmax."""
        return self.path.blob

    def _all_blobs(self) -> list[Blob]:
        """All blobs of the net, statistics among them."""
        return [blob for node in self.net.nodes for blob in node.masters]

    def step(self, pieces: Sequence[Inputs]) -> float:
        """One step on a batch, that is run piece by piece to bound memory.

        Returns: the loss, T^2 KL as a mean over the rows, before the step.
        """
        samples = [len(next(iter(piece.values()))) for piece in pieces]
        self.net.clear_param_diffs()
        total = 0.0
        for piece, count in zip(pieces, samples, strict=True):
            with torch.no_grad():
                wanted = self.teacher_path.scores(piece).clone()
            with torch.enable_grad():
                scores = self.path.scores(piece)
            apart, gradient = divergence(scores.detach(), wanted, TEMPERATURE, self.axis)
            share = count / sum(samples)
            total += float(apart.mean()) * share
            blob = self.net.blobs[self.path.blob]
            blob.set_grad(gradient * (share / apart.numel()))
            self.net.backward(start=self.path.last)
        falling = (1 + cos(pi * min(1.0, self.done / max(1, self.steps)))) / 2
        for rate, group in zip(self.rates, self.optimizer.param_groups, strict=True):
            group["lr"] = rate * self.pace * falling
        self.optimizer.step()
        self.done += 1
        with torch.no_grad():
            for param in self.params:
                self._bound(param)
        return total

    def _bound(self, param: _Parameter) -> None:
        """Keep values within the range of their format, and zeros where they are to stay."""
        values = param.blob.tensor
        if param.form is not None:
            values.clamp_(param.form.min_value, param.form.max_value)
        zeros = self.zeros.get(param.layer) if param.index == 0 else None
        if zeros is not None:
            values.masked_fill_(zeros.to(values.device).reshape(values.shape), 0)

    def distance(self, batches: Iterable[Inputs]) -> Distance:
        """How far the net's scores are from the teacher's on these samples."""
        made = Distance()
        for inputs in batches:
            with torch.no_grad():
                wanted = self.teacher_path.scores(inputs).double()
                scores = self.path.scores(inputs).double()
                apart, _ = divergence(scores, wanted, TEMPERATURE, self.axis)
                made.divergence += float(apart.sum())
                ours, top = scores.argmax(self.axis), wanted.argmax(self.axis)
                made.flipped += int((ours != top).sum())
                made.rows += top.numel()
        return made

    def kept(self) -> dict[str, Tensor]:
        """All that the next step depends on; see `take_up`."""
        made = {"done": torch.tensor(self.done), "draws": self.net.generator.get_state()}
        for i, param in enumerate(self.params):
            made[f"{i}"] = param.blob.tensor
            for name, values in self.optimizer.state.get(param.blob.tensor, {}).items():
                made[f"{i}.{name}"] = values
        return made

    def take_up(self, kept: Mapping[str, Tensor]) -> None:
        """Go on where another tuner of the same net was when it gave `kept`."""
        self.done = int(kept["done"])
        self.net.generator.set_state(kept["draws"])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, values in kept.items():
            number, _, of_optimizer = name.partition(".")
            if of_optimizer:
                moments.setdefault(int(number), {})[of_optimizer] = values
        with torch.no_grad():
            for i, param in enumerate(self.params):
                param.blob.tensor.copy_(kept[f"{i}"])
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})

    def settle(self, *, is_taken: bool) -> None:
        """Put the trained weights on their grids, or go back to those of the start."""
        trained = {id(param.blob) for param in self.params} if is_taken else set()
        with torch.no_grad():
            for blob, before in zip(self._all_blobs(), self.start, strict=True):
                own = blob.owner if isinstance(blob, SharedBlob) else blob
                if id(own) not in trained:
                    blob.tensor.copy_(before)
            for param in self.params if is_taken else ():
                if param.form is not None:
                    values = param.blob.tensor
                    values.copy_(param.form.quantize(values, self.net.generator))
        self.net.clear_param_diffs()
        for node, flags in zip(self.net.nodes, self.flags, strict=True):
            node.needs_backward, node.propagate_down, node.learns = flags
