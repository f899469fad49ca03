"""Layers that keep channels as they are, add or compare them, or in which they end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adaption.graph.spec import LayerSpec
from adaption.graph.widening.channels import Channels
from adaption.graph.widening.flow import Flow
from adaption.graph.widening.table import axis_of, rule

# -- layers that keep channels as they are -------------------------------------------------------


@rule(
    *("AbsVal", "BNLL", "BatchNorm", "BN", "Clip", "CropCenter", "Dropout", "ELU", "Exp", "Interp"),
    *("LPAct", "LRN", "Log", "MVN", "Normalize", "PReLU", "Pooling", "Power", "ReLU", "ReLU6"),
    *("ResizeBilinear", "Reverse", "Sigmoid", "TanH", "Threshold", "BatchReindex"),
    "ROIPooling",
)
def same(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    x = bottoms[0]
    if item.type in ("BatchNorm", "BN", "PReLU", "Normalize"):
        flow.shares([[x]] * len(item.message.param))
    # A mask or statistics beside it, which nobody has to read.
    return [x, *[replace(x, carried=frozenset())] * (len(item.tops) - 1)]


@rule("Split", "Filter")
def _each(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    return [bottoms[min(i, len(bottoms) - 1)] for i in range(len(item.tops))]


@rule("Scale", "Bias")
def _scale(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    if len(bottoms) == 1:
        flow.shares([bottoms] * 2)
        return bottoms
    x, factors = bottoms
    param = item.message.scale_param if item.type == "Scale" else item.message.bias_param
    first = param.axis
    if factors.axis is not None and first >= 0:
        factors = replace(factors, axis=factors.axis + first)
    if not factors.follows and x.follows and factors.rank is not None and x.axis is not None:
        if not first <= x.axis < first + factors.rank:
            return [x]  # one factor for all channels
    return [flow.are_equal([x, factors], "multiplies")]


@rule("Crop")
def _crop(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    x = bottoms[0]
    axis = axis_of(item.message.crop_param.axis, x)
    if x.axis is not None and axis is not None and axis > x.axis:
        return [x]
    return [flow.are_equal(bottoms, "crops to")]


# -- layers that add, or compare -----------------------------------------------------------------


@rule("Eltwise")
def _eltwise(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    param = item.message.eltwise_param
    names = {param.SUM: "adds", param.PROD: "multiplies", param.MAX: "compares"}
    if param.operation == param.SUM:
        return [flow.are_equal(flow.projected(bottoms), "adds").carrying(*bottoms)]
    return [flow.are_equal(bottoms, names[param.operation])]


@rule("Axpy")
def _axpy(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    return [flow.are_equal(bottoms, "adds")]


@rule("Upsample")
def _upsample(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    return [flow.are_equal(bottoms, "unpools")]


@rule(
    *("DiceCoefLoss", "EuclideanLoss", "SigmoidCrossEntropyLoss", "SmoothL1Loss"),
    *("ContrastiveLoss", "SmoothL1LossOHEM"),
)
def _distance(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    """Compares two blobs value by value; features with features, or scores with targets."""
    if all(x.follows for x in bottoms[:2]):
        flow.are_equal(bottoms[:2], "compares")
    else:
        _result(flow, item, bottoms)
    return [Channels.fixed() for _ in item.tops]


# -- layers in which channels end ----------------------------------------------------------------


@rule(
    *("Accuracy", "ArgMax", "BoxAnnotatorOHEM", "CTCLoss", "CtcLoss", "DetectionOutput"),
    *("HingeLoss", "InfogainLoss", "LabelsequenceAccuracy", "MultiBoxLoss", "MultiStageMeanfield"),
    *("MultinomialLogisticLoss", "PSROIPooling", "Proposal", "Region", "RegionLoss", "SegAccuracy"),
    *("SoftmaxWithLoss", "SoftmaxWithLossOHEM", "YoloDetectionOutput", "Yolov3"),
    *("HDF5Output", "Yolov3DetectionOutput"),
)
def _result(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    """Channels have a meaning each: a class, a box."""
    for x in bottoms:
        flow.is_result(x, f'layer "{item.name}" ({item.type})')
    return [Channels.fixed() for _ in item.tops]


@rule("CenterLoss", "PriorBox", "Silence")
def _ends(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    """Any number of channels will do."""
    return [Channels.fixed() for _ in item.tops]


@rule("Reduction")
def _reduction(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    (x,) = bottoms
    axis = axis_of(item.message.reduction_param.axis, x)
    if axis is None or x.axis is None or x.axis >= axis:
        return [Channels.fixed(rank=axis)]
    return [replace(x, rank=axis)]


@rule("Softmax")
def _softmax(flow: Flow, item: LayerSpec, bottoms: list[Channels]) -> Sequence[Channels]:
    (x,) = bottoms
    axis = axis_of(item.message.softmax_param.axis, x)
    if not x.follows or (None not in (axis, x.axis) and axis != x.axis):
        return [x]
    error = flow.error(
        "makes probabilities of channels that get wider",
        "leave the net as it is: more channels would share one probability",
    )
    return [x.troubled(error)]
