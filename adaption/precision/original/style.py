"""A net in ADaPTION's own names and layout: extracted as a descriptor, created anew."""

from __future__ import annotations

from collections.abc import Sequence

from adaption.errors import UsageError
from adaption.graph import INPUT
from adaption.io.netfile import NetFile
from adaption.net import Point
from adaption.numerics import FixedPoint
from adaption.precision.original.create import Created, create
from adaption.precision.original.extract import extract
from adaption.precision.proposal import Proposal
from adaption.precision.rewrite import file_sites, fresh_document, rewrite

__all__ = ["original_style"]


def original_style(
    net: NetFile, plan: Proposal | None, exclude: Sequence[str] = (), lpact: str | None = None
) -> Created:
    """The net as `create` writes it, with the formats of a plan; None: a float net.

    Its data layers are kept as they stand. A net without a TRAIN data layer becomes a deploy net.
    Raises: LayerError when the net is no chain; UsageError for what the original's generator
        cannot do: leave layers out, or round behind the ReLU.
    """
    if exclude or lpact not in (None, "before-relu"):
        raise UsageError(
            "the original's style rounds all weight layers, and results before the ReLU",
            "leave --exclude and --lpact out, or leave --style original out",
            file=net.file,
        )
    data = [item for item in net.message.layer if not item.bottom and item.top]
    is_deploy = all(item.type == INPUT for item in data)
    weights: list[FixedPoint] = []
    activations: list[FixedPoint] = []
    if plan is not None:
        for site in file_sites(net):
            weights.append(_format(plan, site.weight.name, "weight", net))
            if site.result is not None:
                activations.append(_format(plan, site.weight.name, "activation", net))
    names = {item.name for item in data}
    layers = fresh_document(net).root.all("layer")
    texts = [x.text for x in layers if x.block.first("bottom") is None]
    rounds_bias = plan is not None and any(point.kind == "bias" for point in plan.plan)
    return create(
        net.message.name or "net",
        extract(rewrite(net), "deploy" if is_deploy else "train"),
        weights,
        activations,
        mode="deploy" if is_deploy else "train",
        lp=plan is not None,
        round_bias=rounds_bias,
        header="\n".join(texts) + "\n" if texts and names else None,
        data=data[0].top[0] if data else "data",
    )


def _format(plan: Proposal, layer: str, kind: str, net: NetFile) -> FixedPoint:
    found = plan.plan.get(Point(layer, kind))
    if found is None:
        raise UsageError(
            f'the plan has no {kind} format for layer "{layer}"',
            "the original's style rounds all weights and results; leave --style original out",
            file=net.file,
        )
    return found
