"""ADaPTION's low-precision Faster R-CNN: VGG16 in Q3.13, region proposals and heads in float.

Names are the original's (conv_lp_1 ... fc_lp_34), so that its weights load; its training nets pool
regions with spatial_scale 0.625, these with 1/16.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.text import net_text

from adaption.io import prototxt
from adaption.numerics import FixedPoint
from adaption.precision.original.create import create
from adaption.proto.caffe_pb2 import LayerParameter, NetParameter

__all__ = ["faster_rcnn_files"]

Q = FixedPoint.q("3.13")
CLASSES = 21
TRUNK = [
    *("64C3S1p1 A ReLU " * 2 + "2P2 " + "128C3S1p1 A ReLU " * 2 + "2P2 ").split(),
    *("256C3S1p1 A ReLU " * 3 + "2P2 " + "512C3S1p1 A ReLU " * 3 + "2P2 ").split(),
    *("512C3S1p1 A ReLU " * 3).split(),
]
HEAD = "RoI 4096F A ReLU D5 4096F A ReLU D5".split()
MAP, VECTOR = "act_lp_30", "act_lp_35"
FILLER = 'weight_filler { type: "xavier" } bias_filler { type: "constant" }'
SOLVER = {
    "base_lr": 0.0001, "lr_policy": '"step"', "gamma": 0.1, "stepsize": 60000, "display": 20,
    "momentum": 0.9, "weight_decay": 0.0005, "snapshot": 0,
}  # fmt: skip


def faster_rcnn_files() -> dict[str, str]:
    files = {"test.prototxt": _text(_test())}
    for stage in (1, 2):
        files[f"stage{stage}_rpn_train.prototxt"] = _text(_rpn_train(stage))
        files[f"stage{stage}_fast_rcnn_train.prototxt"] = _text(_fast_rcnn_train(stage))
        for part in ("rpn", "fast_rcnn"):
            name = f"stage{stage}_{part}"
            lines = [f'net: "models/faster_rcnn_vgg16/{name}_train.prototxt"']
            lines += [f"{key}: {value}" for key, value in SOLVER.items()]
            lines.append(f'snapshot_prefix: "vgg16_{part}"')
            files[f"{name}_solver.prototxt"] = "\n".join(lines) + "\n"
    return files


def _test() -> list[LayerParameter]:
    trunk, head = _vgg16(train=False)
    inputs = _layers(
        'name: "data" type: "Input" top: "data"'
        " input_param { shape { dim: 1 dim: 3 dim: 224 dim: 224 } }",
        'name: "im_info" type: "Input" top: "im_info" input_param { shape { dim: 1 dim: 3 } }',
    )
    proposal = _layers(
        'name: "rpn_cls_prob" type: "Softmax" bottom: "rpn_cls_score_reshape" top: "rpn_cls_prob"',
        'name: "rpn_cls_prob_reshape" type: "Reshape" bottom: "rpn_cls_prob"'
        ' top: "rpn_cls_prob_reshape"'
        " reshape_param { shape { dim: 0 dim: 18 dim: -1 dim: 0 } }",
        'name: "proposal" type: "Python" bottom: "rpn_cls_prob_reshape" bottom: "rpn_bbox_pred"'
        ' bottom: "im_info" top: "rois" python_param { module: "rpn.proposal_layer"'
        ' layer: "ProposalLayer" param_str: "\'feat_stride\': 16" }',
    )
    ends = _layers(
        'name: "cls_prob" type: "Softmax" bottom: "cls_score" top: "cls_prob"',
    )
    rpn = [*_rpn(""), *_layers(_RESHAPE)]
    return [*inputs, *trunk, *rpn, *proposal, *head, *_heads(train=False), *ends]


def _rpn_train(stage: int) -> list[LayerParameter]:
    """The region proposal net; the layers of the detector stand by, so that they are saved."""
    trunk, head = _vgg16(train=True)
    data = _data("data", "im_info", "gt_boxes")
    losses = _layers(
        _RESHAPE,
        'name: "rpn-data" type: "Python" bottom: "rpn_cls_score" bottom: "gt_boxes"'
        ' bottom: "im_info" bottom: "data" top: "rpn_labels" top: "rpn_bbox_targets"'
        ' top: "rpn_bbox_inside_weights" top: "rpn_bbox_outside_weights"'
        ' python_param { module: "rpn.anchor_target_layer" layer: "AnchorTargetLayer"'
        " param_str: \"'feat_stride': 16\" }",
        'name: "rpn_loss_cls" type: "SoftmaxWithLoss" bottom: "rpn_cls_score_reshape"'
        ' bottom: "rpn_labels" propagate_down: true propagate_down: false top: "rpn_cls_loss"'
        " loss_weight: 1 loss_param { ignore_label: -1 normalize: true }",
        'name: "rpn_loss_bbox" type: "SmoothL1Loss" bottom: "rpn_bbox_pred"'
        ' bottom: "rpn_bbox_targets" bottom: "rpn_bbox_inside_weights"'
        ' bottom: "rpn_bbox_outside_weights" top: "rpn_loss_bbox" loss_weight: 1'
        " smooth_l1_loss_param { sigma: 3 }",
    )
    standing_by = _layers(
        'name: "roi_31" type: "DummyData" top: "roi_31" dummy_data_param {'
        ' shape { dim: 1 dim: 25088 } data_filler { type: "constant" } }'
    )
    standing_by += _fixed(head[1:])
    standing_by += _layers(f'name: "silence_fc7" type: "Silence" bottom: "{VECTOR}"')
    trunk = trunk if stage == 1 else _fixed(trunk)
    return [*data, *trunk, *_rpn(FILLER), *losses, *standing_by]


def _fast_rcnn_train(stage: int) -> list[LayerParameter]:
    """The detector on given regions; the layers of the proposal net stand by."""
    trunk, head = _vgg16(train=True)
    data = _data(
        "data", "rois", "labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights"
    )
    losses = _layers(
        'name: "loss_cls" type: "SoftmaxWithLoss" bottom: "cls_score" bottom: "labels"'
        ' top: "loss_cls" loss_weight: 1',
        'name: "loss_bbox" type: "SmoothL1Loss" bottom: "bbox_pred" bottom: "bbox_targets"'
        ' bottom: "bbox_inside_weights" bottom: "bbox_outside_weights" top: "loss_bbox"'
        " loss_weight: 1",
    )
    standing_by = _fixed(_rpn(FILLER))
    standing_by += _layers(
        'name: "silence_rpn" type: "Silence" bottom: "rpn_cls_score" bottom: "rpn_bbox_pred"'
    )
    trunk = trunk if stage == 1 else _fixed(trunk)
    return [*data, *trunk, *head, *_heads(train=True), *losses, *standing_by]


_RESHAPE = (
    'name: "rpn_cls_score_reshape" type: "Reshape" bottom: "rpn_cls_score"'
    ' top: "rpn_cls_score_reshape" reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 0 } }'
)


def _vgg16(*, train: bool) -> tuple[list[LayerParameter], list[LayerParameter]]:
    """Layers up to the last map, and those from ROIPooling on, as the original creates them."""
    made = create("n", [*TRUNK, *HEAD], [Q], [Q], mode="train" if train else "deploy", header="")
    layers = _parsed(made.text)
    if not train:
        layers = [layer for layer in layers if layer.type != "Dropout"]
        for layer in layers:
            layer.ClearField("param")
    at = next(i for i, layer in enumerate(layers) if layer.type == "ROIPooling")
    return layers[:at], layers[at:]


def _rpn(filler: str) -> list[LayerParameter]:
    specs = "param { lr_mult: 1 } param { lr_mult: 2 }" if filler else ""
    conv = (
        'name: "{}" type: "Convolution" bottom: "{}" top: "{}" {} convolution_param {{'
        " num_output: {} kernel_size: {} pad: {} {} }}"
    )
    return _layers(
        conv.format("rpn_conv/3x3", MAP, "rpn/output", specs, 512, 3, 1, filler),
        'name: "rpn_relu/3x3" type: "ReLU" bottom: "rpn/output" top: "rpn/output"',
        # 9 anchors: object or not, and four deltas
        conv.format("rpn_cls_score", "rpn/output", "rpn_cls_score", specs, 18, 1, 0, filler),
        conv.format("rpn_bbox_pred", "rpn/output", "rpn_bbox_pred", specs, 36, 1, 0, filler),
    )


def _heads(*, train: bool) -> list[LayerParameter]:
    specs = "param { lr_mult: 1 } param { lr_mult: 2 }" if train else ""
    return _layers(
        *(
            f'name: "{name}" type: "InnerProduct" bottom: "{VECTOR}" top: "{name}" {specs}'
            f" inner_product_param {{ num_output: {outputs} {FILLER if train else ''} }}"
            for name, outputs in (("cls_score", CLASSES), ("bbox_pred", 4 * CLASSES))
        )
    )


def _data(*tops: str) -> list[LayerParameter]:
    """py-faster-rcnn's data layer, Python code that --allow-python runs."""
    named = " ".join(f'top: "{top}"' for top in tops)
    return _layers(
        f'name: "input-data" type: "Python" {named} python_param {{'
        ' module: "roi_data_layer.layer" layer: "RoIDataLayer"'
        f" param_str: \"'num_classes': {CLASSES}\" }}"
    )


def _fixed(layers: Sequence[LayerParameter]) -> list[LayerParameter]:
    """The same layers, not learning."""
    made = []
    for layer in layers:
        copy = LayerParameter()
        copy.CopyFrom(layer)
        for spec in copy.param:
            spec.lr_mult = spec.decay_mult = 0
        made.append(copy)
    return made


def _layers(*texts: str) -> list[LayerParameter]:
    return _parsed("\n".join(f"layer {{ {text} }}" for text in texts))


def _parsed(text: str) -> list[LayerParameter]:
    message, notices = prototxt.parse(text).message(NetParameter)
    assert not notices, notices
    return list(message.layer)


def _text(layers: list[LayerParameter]) -> str:
    net = NetParameter(name="VGG_ILSVRC_16_layers")
    net.layer.extend(layers)
    return net_text(net)
