"""sparsity: zeros among weights and activations before and after quantization; what they save."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor

from adaption.data import Transform
from adaption.export.nullhop.sparsity_map import compressed_words, dense_words
from adaption.graph import NetSpec
from adaption.io.limits import Size, within_limit
from adaption.job.feed import Feed, fed_by
from adaption.job.load import open_net
from adaption.net import Net, Point
from adaption.net.node import Node
from adaption.options import COMMON, NET, RunOptions, takes_options
from adaption.precision.classifiers import Classifiers
from adaption.precision.counting import count_zeros
from adaption.precision.evaluate import refuse_nan_outputs
from adaption.precision.proposal import Proposal
from adaption.precision.rewrite import rewrite
from adaption.precision.sites import quantization_sites
from adaption.report import track

__all__ = ["Sparsity", "sparsity"]

PathLike = str | os.PathLike[str]
FORMAT = "adaption.sparsity/1"


@dataclass
class Count:
    """Values seen, zeros among them, and 16-bit words of their maps in NullHop's form."""

    values: int = 0
    zeros: int = 0
    words: int = 0
    dense: int = 0

    def add(self, x: Tensor) -> None:
        """Count the zeros of one batch, samples first."""
        zeros = count_zeros(x)
        samples, shape = x.shape[0], tuple(x.shape[1:])
        if len(shape) not in (1, 3):
            shape = (prod(shape),)
        self.values += x.numel()
        self.zeros += zeros
        self.words += samples * compressed_words(shape, 0) + x.numel() - zeros
        self.dense += samples * dense_words(shape)

    @property
    def zero_share(self) -> float:
        return self.zeros / max(1, self.values)

    @property
    def ratio(self) -> float:
        """Compressed size over plain size."""
        return self.words / max(1, self.dense)


@dataclass
class Counts:
    """Of one net: what each layer gives, and what each weight layer reads."""

    tops: dict[str, Count] = field(default_factory=dict)
    inputs: dict[str, Count] = field(default_factory=dict)
    samples: int = 0


@dataclass(frozen=True)
class Sparsity:
    """One entry per weight layer, and all of them together; `after` is None without a plan."""

    net: str
    samples: int
    layers: Sequence[Mapping[str, Any]]
    total: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "format": FORMAT,
            "net": self.net,
            "samples": self.samples,
            "layers": list(self.layers),
            "total": self.total,
        }


@takes_options(options=(COMMON, *NET))
@within_limit
def sparsity(
    net: PathLike,
    weights: PathLike,
    data: Any = None,
    *,
    plan: Proposal | PathLike | None = None,
    transform: Transform | None = None,
    root: PathLike | None = None,
    options: RunOptions = RunOptions(),
    quiet: bool = False,
    memory_limit: Size | None = None,
    **choices: Any,
) -> Sparsity:
    """Count zeros in a float net over data and, with a plan, in its quantized form.

    Per weight layer: zeros among its weights, in its result before and after the activation
    function, and in what it reads, which tell the MACs that can be skipped, and the size of that
    feature map in NullHop's compressed form.

    Args:
        net, weights: of the float net; `plan`: formats, from `propose` or `quantize`.
        data, transform, root, options, quiet, choices: as for `measure`.
        memory_limit: the most that one array, image or blob may take, as in "8G".
    Raises: AdaptionError on bad input.
    """
    if plan is not None and not isinstance(plan, Proposal):
        plan = Proposal.load(plan)
    opened = open_net(net, weights, data, options, transform=transform, root=root)
    full, feed = opened.net, opened.feed
    before = _count(full, feed, "counting zeros of the float net", quiet)
    after = low = None
    if plan is not None:
        spec = fed_by(opened.part.of(rewrite(opened.file, plan)), feed)
        low = Net(spec, opened.weights, seed=options.seed)
        after = _count(low, feed, "counting zeros of the quantized net", quiet)
    layers = [_layer(site, full, before, after, plan) for site in _sites(feed.spec)]
    return Sparsity(full.name, before.samples, layers, _total(layers))


def _count(net: Net, feed: Feed, label: str, quiet: bool) -> Counts:
    made = Counts()
    rounded: dict[str, Count] = {}  # what LPAct makes of a layer's top counts as that layer's
    behind: dict[str, str] = {}  # blob -> the layer that gave it

    def observe(node: Node, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        spec = node.spec
        if node.layer.is_weight_layer():
            for x in bottoms:
                made.inputs.setdefault(spec.name, Count()).add(x)
        is_handed_on = node.layer.kind == "rounding" or spec.is_split
        giver = behind[spec.bottoms[0]] if is_handed_on else spec.name
        behind.update(dict.fromkeys(spec.tops, giver))
        if not spec.is_split:
            counts = (rounded if is_handed_on else made.tops).setdefault(giver, Count())
            for top in tops:
                if top.dim():
                    counts.add(top)

    with torch.no_grad():
        for batch in track(feed, label, quiet=quiet, unit="batches"):
            net.forward(batch.blobs, observer=observe)
            refuse_nan_outputs(net, Classifiers(), batch)
            made.samples += len(batch.names)
    made.tops |= rounded
    return made


def _sites(spec: NetSpec) -> list[tuple[str, str, str]]:
    """Each weight layer, the layer with its whole result, and the activation function behind."""
    before = {s.weight.name: s.result for s in quantization_sites(spec)}
    after = {s.weight.name: s.result for s in quantization_sites(spec, "after-relu")}
    found = []
    for name, result in before.items():
        last = after[name]
        found.append((name, result.name if result else name, last.name if last else name))
    return found


def _layer(
    site: tuple[str, str, str],
    net: Net,
    before: Counts,
    after: Counts | None,
    plan: Proposal | None,
) -> dict[str, Any]:
    name, result, activation = site
    node = net.nodes[net.index(name)]
    bottoms = [net.blobs[b].shape for b in node.spec.bottoms]
    macs = node.layer.macs(bottoms, [net.blobs[t].shape for t in node.spec.tops])
    macs //= max(1, bottoms[0][0])
    made: dict[str, Any] = {"name": name, "type": node.spec.type, "macs": macs}
    weight = Count()
    values = node.masters[0].tensor.detach()
    weight.add(values.reshape(1, -1))
    made["weights"] = {"count": weight.values, "before": weight.zero_share, "after": None}
    fmt = None if plan is None else plan.plan.get(Point(name, "weight"))
    if fmt is not None:
        rounded = Count()
        generator = torch.Generator().manual_seed(0)  # of stochastic rounding
        rounded.add(fmt.quantize(values, generator).reshape(1, -1))
        made["weights"]["after"] = rounded.zero_share
    for key, layer in (("result", result), ("activation", activation)):
        made[key] = _pair(before.tops[layer], None if after is None else after.tops[layer])
    reads = before.inputs[name]
    reads_after = None if after is None else after.inputs[name]
    made["input"] = _pair(reads, reads_after)
    for when, count in (("before", reads), ("after", reads_after)):
        made[f"skippable_macs_{when}"] = None if count is None else round(macs * count.zero_share)
        made[f"map_words_{when}"] = None if count is None else count.words // before.samples
    made["map_words_dense"] = reads.dense // before.samples
    return made


def _pair(before: Count, after: Count | None) -> dict[str, float | None]:
    return {"before": before.zero_share, "after": None if after is None else after.zero_share}


def _total(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ["macs", "map_words_dense"]
    names += [
        f"{n}_{when}" for n in ("skippable_macs", "map_words") for when in ("before", "after")
    ]
    return {name: _sum(layer[name] for layer in layers) for name in names}


def _sum(values: Iterable[int | None]) -> int | None:
    found = list(values)
    return None if None in found else sum(v for v in found if v is not None)
