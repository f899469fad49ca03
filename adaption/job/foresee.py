"""What can be known before a net is run: whether it will have an integer form at all."""

from __future__ import annotations

from collections.abc import Callable

import torch

from adaption.errors import AdaptionError, FieldError, UsageError
from adaption.exact import ExactNet
from adaption.graph import NetSpec
from adaption.layers.base import Layer, traits_of
from adaption.net import Net, Point
from adaption.precision.measure import Measurement
from adaption.precision.proposal import Proposal
from adaption.precision.statistics import TensorStats

__all__ = ["reason_in_words", "refuse_float_layers", "refuse_unmatched", "why_not_exact"]


def why_not_exact(
    spec: NetSpec,
    *,
    is_partly_float: bool,
    propose: Callable[[Measurement], Proposal],
    low: Callable[[Proposal], NetSpec],
) -> str:
    """Why the net will not be exact on integers, in words; empty where nothing is in the way.

    A net of the same layers is given formats for made-up ranges and taken for exact arithmetic. So
    that this costs nothing as a rule, it is tried only where a layer without an integer form stands
    before weights.

    Args:
        spec: the float net, fed by inputs.
        is_partly_float: layers are to stay in float.
        propose: formats from a measurement, with the settings of the job.
        low: the low-precision net of such formats.
    """
    if not (is_partly_float or _has_formless_layer(spec)):
        return ""
    full = Net(spec)
    made_up = _of_one(full)
    full.release()
    try:
        ExactNet(Net(low(propose(made_up))))
    except AdaptionError as error:
        return reason_in_words(error)
    return ""


def refuse_unmatched(full: Net, propose: Callable[[Measurement], Proposal]) -> None:
    """Raise FieldError or UsageError where the choices name layers that the net lacks.

    `propose` raises it anyway, but takes measured ranges, for which the net has to run. Of made-up
    ranges it may say other things, which do not count.
    """
    try:
        propose(_of_one(full))
    except FieldError as error:
        if error.field == "bits":
            raise
    except UsageError:
        raise
    except AdaptionError:
        pass


def refuse_float_layers(style: str, foreseen: str, without: str) -> None:
    """Raise UsageError where layers left in float on request are what is in the way.

    Args:
        style: of ONNX.
        foreseen: why the net will not be exact on integers; empty where it will.
        without: the same of the net with all layers rounded.
    """
    if foreseen and not without:
        raise UsageError(
            f"with these layers in float no net_lp.onnx of style {style} can be written:"
            f" {foreseen}",
            "round this layer, too, or ask for --onnx float",
        )


def reason_in_words(error: AdaptionError) -> str:
    """The fact of an error with the layer that it is about, without files."""
    kind = f" ({error.layer_type})" if error.layer_type else ""
    where = "" if error.layer is None else f'layer "{error.layer}"{kind}: '
    return f"{where}{error.fact}"


def _of_one(full: Net) -> Measurement:
    """A measurement in which every value of the net is 1 or -1."""
    made_up = Measurement(full.name)
    stats = TensorStats.of(torch.tensor([-1.0, 1.0]), legacy_rule=True)
    for node in full.nodes:
        for i, kind in enumerate(("weight", "bias")):
            if i < len(node.masters):
                made_up.points[Point(node.spec.name, kind)] = stats
        made_up.points[Point(node.spec.name, "activation")] = stats
    return made_up


def _has_formless_layer(spec: NetSpec) -> bool:
    """Whether a layer that has no integer form stands before a weight layer."""
    tainted: set[str] = set()
    for item in spec.layers:
        layer = traits_of(item, spec)
        hands_on = any(name in tainted for name in item.bottoms)
        if hands_on and layer.is_weight_layer():
            return True
        has_form = type(layer).lower_integer is not Layer.lower_integer
        has_form = has_form or layer.is_identity or layer.keeps_codes() or layer.is_pointwise
        is_formless = not (has_form or layer.kind in ("data", "loss"))
        tainted.difference_update(item.tops)
        if hands_on or is_formless:
            tainted.update(item.tops)
    return False
