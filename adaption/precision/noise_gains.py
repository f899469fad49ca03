"""Noise gains: how much rounding noise in a tensor moves the scores of classes against each other.

For a tensor T, with Z the scores of a sample and f its greatest one,
    E_T = mean over samples of sum over i != f of |d(Z_i - Z_f) / dT|^2 / (2 (Z_i - Z_f)^2).
Source: Sakr, Kim, Shanbhag, "Analytical Guarantees on Numerical Precision of Deep Neural Networks"
(ICML 2017); the definition with /2 as in Sakr, Shanbhag (ICLR 2019).
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from adaption.errors import FieldError, NonFiniteError, ShapeError
from adaption.graph import NetSpec, leading_to
from adaption.io.weights import Weights
from adaption.net import Net, Point
from adaption.net.blob import Blob, SharedBlob
from adaption.net.node import Node
from adaption.precision.classifiers import holds_scores
from adaption.recipes.per_tensor_sites import Tensors

__all__ = ["ESTIMATES", "Gains", "noise_gains"]

ESTIMATES = ("mean", "median")

Blobs = Mapping[str, Tensor]


@dataclass
class Gains:
    """Contributions of each sample to the noise gains.

    weights: by weight layer; activations: by site (see Site.layer). ties: pairs of classes with
    equal scores, whose share would be infinite; they are left out.
    """

    weights: dict[str, list[float]] = field(default_factory=dict)
    activations: dict[str, list[float]] = field(default_factory=dict)
    samples: int = 0
    ties: int = 0

    def estimate(self, how: str = "mean") -> tuple[dict[str, float], dict[str, float]]:
        """The gains of weights and of activations.

        Args:
            how: "mean", the definition, which single samples close to a tie can govern; "median"
                over samples, which is stable.
        Raises: FieldError.
        """
        if how not in ESTIMATES:
            raise FieldError("gain_estimate", how, ", ".join(ESTIMATES))
        of = statistics.fmean if how == "mean" else statistics.median
        return (
            {name: of(values) for name, values in self.weights.items()},
            {name: of(values) for name, values in self.activations.items()},
        )


def noise_gains(
    spec: NetSpec,
    weights: Weights,
    tensors: Tensors,
    scores: str,
    samples: Iterable[Blobs],
    *,
    chunk: int = 1,
    device: str | torch.device = "cpu",
) -> Gains:
    """Noise gains of the weights and activations of a float net.

    One backward pass for each pair of classes and chunk. Gradients of weights are taken sample by
    sample, one at a time, so that memory does not grow with the number of samples.

    Args:
        spec: the net in phase TEST, with inputs in place of data layers. What the scores do not
            depend on is not run; its gains are 0.
        scores: blob of class scores (N, K), before any softmax.
        samples: blobs of one or more samples each, by input.
        chunk: samples that go through the net together. Where samples act on each other, or are
            not rows of all blobs, one at a time.
    Raises: ShapeError when `scores` does not hold one score per class; NonFiniteError.
    """
    passes = _Passes(spec, weights, tensors, scores, device)
    waiting: list[Blobs] = []
    for blobs in samples:
        waiting += passes.singly(blobs)
        while len(waiting) >= chunk:
            passes.run(waiting[:chunk])
            del waiting[:chunk]
    if waiting:
        passes.run(waiting)
    return passes.gains


class _Passes:
    """The net, its passes, and what they gather."""

    def __init__(
        self,
        spec: NetSpec,
        weights: Weights,
        tensors: Tensors,
        scores: str,
        device: str | torch.device,
    ) -> None:
        # Every blob gets a gradient, that of data included.
        part = replace(leading_to(spec, scores), force_backward=True)
        self.net = net = Net(part, weights, phase=spec.phase, device=device)
        self.scores = net.blobs[scores]
        if not holds_scores(self.scores.shape):
            raise ShapeError(
                f'blob "{scores}" of shape {self.scores.shape} holds no class scores, allowed:'
                " (N, K), one score per class",
                "noise gains are about the greatest of them: give a net that classifies",
            ).at(file=spec.file)
        self.nodes = {node.spec.name: node for node in net.nodes}
        self.weights = [name for name in tensors.weight_layers if name in self.nodes]
        self.computed = {s.layer for s in tensors.sites if not s.is_input}
        self.inputs = {name: s.layer for s in tensors.sites if s.is_input for name in s.readers}
        self.gains = Gains(
            {name: [] for name in tensors.weight_layers},
            {site.layer: [] for site in tensors.sites},
        )
        self.learns = {name: list(node.learns) for name, node in self.nodes.items()}
        self.are_rows: bool | None = None  # whether samples may go together; None: not known yet
        self.rows = _Rows(0, net.device)
        net.watch({"activation_grad"}, self._see)

    def singly(self, blobs: Blobs) -> Iterator[Blobs]:
        """Samples one by one, of the blobs that the net takes."""
        own = {name: blobs[name] for name in self.net.inputs}
        for i in range(len(next(iter(own.values())))):
            yield {name: x[i : i + 1] for name, x in own.items()}

    def run(self, samples: list[Blobs]) -> None:
        """Take some samples in, together where that gives the same."""
        if self.are_rows is None and len(samples) > 1:
            self.are_rows = self._are_rows(samples)
        for some in [samples] if self.are_rows else [[one] for one in samples]:
            self._run(_joined(some), len(some))

    def _are_rows(self, samples: list[Blobs]) -> bool:
        """Whether each sample's scores depend on its own row of every blob alone."""
        nodes = [self.nodes[name] for name in self.weights]
        owners = Counter(id(_owner(node.masters[0])) for node in nodes)
        if any(len(node.spec.bottoms) > 1 for node in nodes) or max(owners.values()) > 1:
            return False
        alone = []
        with torch.no_grad():
            for sample in (samples[0], samples[-1]):
                self.net.forward(sample)
                alone.append(self.scores.tensor.clone())
            self.net.forward(_joined(samples))
        seen = [*nodes, *(self.nodes[name] for name in self.computed & self.nodes.keys())]
        names = {name for node in seen for name in (*node.spec.bottoms, *node.spec.tops)}
        shapes = [self.scores.shape, *(self.net.blobs[name].shape for name in names)]
        if any(shape[:1] != (len(samples),) for shape in shapes):
            return False
        z = self.scores.tensor
        # A sum may be computed in another order for another number of samples.
        return torch.allclose(torch.cat([z[:1], z[-1:]]), torch.cat(alone), rtol=1e-3, atol=1e-5)

    def _run(self, blobs: Blobs, count: int) -> None:
        net = self.net
        # The gradient of a single sample is the whole one, which the net computes itself.
        for name, node in self.nodes.items():
            node.learns = self.learns[name] if count == 1 else [False] * len(node.learns)
        with torch.enable_grad():
            net.forward(blobs)
        z = self.scores.tensor.detach()
        flat = z.flatten(1)
        if not bool(torch.isfinite(flat).all()):
            raise NonFiniteError(
                "the class scores of the float net hold inf or NaN",
                "its training has diverged: lower base_lr",
            ).at(file=net.spec.file)
        top = flat.argmax(1, keepdim=True)
        self.rows = rows = _Rows(count, net.device)
        for step in range(1, flat.shape[1]):
            other = (top + step) % flat.shape[1]
            difference = flat.gather(1, other) - flat.gather(1, top)
            self.gains.ties += int((difference == 0).sum())
            factor = torch.where(difference == 0, 0.0, 1 / (2**0.5 * difference))
            seed = torch.zeros_like(flat)
            seed.scatter_(1, other, factor).scatter_(1, top, -factor)
            net.clear_param_diffs()
            rows.at_inputs = {}
            self.scores.set_grad(seed.view(z.shape))
            net.backward(observer=self._after)
            for (site, _), grad in rows.at_inputs.items():
                rows.add("activation", site, grad)
            if count == 1:
                for name in self.weights:  # a shared one has the sum of all its layers
                    rows.add("weight", name, self.nodes[name].masters[0].grad)
        for name, values in self.gains.weights.items():
            values += rows.sums["weight", name].tolist()
        for name, values in self.gains.activations.items():
            values += rows.sums["activation", name].tolist()
        self.gains.samples += count

    def _see(self, point: Point, grad: Tensor) -> None:
        """The gradient of a layer's top, before the layer's backward pass."""
        if point.layer in self.computed:
            self.rows.add("activation", point.layer, grad)
        if self.rows.count > 1 and point.layer in self.gains.weights:
            self.rows.add_weight(self.nodes[point.layer], grad)

    def _after(self, node: Node) -> None:
        """Of layers that read an input: the gradient of their bottoms, summed over the layers."""
        site = self.inputs.get(node.spec.name)
        if site is None:
            return
        kept = self.rows.at_inputs
        for i in node.read_bottoms:
            grad = self.net.blobs[node.spec.bottoms[i]].grad.detach()
            kept[site, i] = kept[site, i] + grad if (site, i) in kept else grad.clone()


def _joined(samples: list[Blobs]) -> dict[str, Tensor]:
    return {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}


def _owner(blob: Blob) -> Blob:
    return blob.owner if isinstance(blob, SharedBlob) else blob


class _Rows:
    """Sums of squares by sample, over the pairs of classes, of one chunk."""

    def __init__(self, count: int, device: torch.device) -> None:
        self.count = count
        self.sums: defaultdict[tuple[str, str], Tensor] = defaultdict(
            lambda: torch.zeros(count, dtype=torch.float64, device=device)
        )
        self.at_inputs: dict[tuple[str, int], Tensor] = {}  # gradients of one pair
        self._alone: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._inputs: dict[str, Tensor] = {}

    def add(self, kind: str, name: str, x: Tensor) -> None:
        """Add the squares of each sample's row; of a single sample, of the whole tensor."""
        self.sums[kind, name] += self._sum(x.detach().square())

    def _sum(self, x: Tensor) -> Tensor:
        return x.reshape(self.count, -1).sum(1, dtype=torch.float64)

    def add_weight(self, node: Node, grad: Tensor) -> None:
        """Add the squares of the weight's gradient by each sample alone."""
        name, layer, tape = node.spec.name, node.layer, node.tape
        assert tape is not None, "the pass is recorded"
        x = tape.bottoms[0].detach()
        if grad[0].numel() == getattr(layer, "num_output", 0) and getattr(layer, "group", 1) == 1:
            # There is one place, so that the gradient is an outer product.
            if name not in self._inputs:
                self._inputs[name] = self._sum(_met(layer, x))
            self.sums["weight", name] += self._sum(grad.square()) * self._inputs[name]
            return
        if name not in self._alone:
            blobs = [blob.detach() for blob in tape.blobs]
            self._alone[name] = [_alone(node, x[i : i + 1], blobs) for i in range(self.count)]
        found = []
        for i, (weight, y) in enumerate(self._alone[name]):
            (own,) = torch.autograd.grad(y, weight, grad[i : i + 1], retain_graph=True)
            found.append(own.square().sum(dtype=torch.float64))
        self.sums["weight", name] += torch.stack(found)


def _met(layer, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    """The squares that meet the weights of one output, summed, by sample."""
    one = replace(layer, num_output=1, bias_term=False)
    (shape,) = one.blob_shapes(tuple(x.shape))
    found: Tensor = one.forward(x.square(), x.new_ones(shape))
    return found


def _alone(node: Node, x: Tensor, blobs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """A layer's weight, and its top for one sample, made of it."""
    weight = blobs[0].detach().requires_grad_()
    with torch.enable_grad():
        return weight, node.layer.run(node.runtime, x, weight, *blobs[1:])
