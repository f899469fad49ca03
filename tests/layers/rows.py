"""One row per layer type: a prototxt snippet and bottoms that keep away from kinks and ties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adaption.layers.base import Layer, Runtime
from tests.layers.snippets import layer_of, spread

POSITIVE = {"low": 0.1, "high": 0.9}


@dataclass(frozen=True)
class Row:
    """`bottoms` and `blobs` are float64. `atol` beyond gradcheck's own says where Caffe's gradient
    is not the derivative."""

    type: str
    param: str
    bottoms: tuple[Tensor, ...]
    tops: int = 1
    phase: str = "TEST"
    blobs: tuple[Tensor, ...] | None = None
    atol: float = 1e-6
    note: str = ""
    dialect: str = ""  # the fork whose layer this is, where forks disagree about the type

    @property
    def id(self) -> str:
        return "-".join(part for part in (self.type, self.dialect, self.note) if part)

    @property
    def layer(self) -> Layer:
        snippet = f'type: "{self.type}" {self.param}'
        return layer_of(snippet, len(self.bottoms), self.tops, self.phase, self.dialect)

    def blobs_of(self, layer: Layer) -> list[Tensor]:
        if self.blobs is not None:
            return list(self.blobs)
        shapes = layer.blob_shapes(*(tuple(b.shape) for b in self.bottoms))
        return [spread(*s, low=-0.7, high=0.7, seed=9 + i) for i, s in enumerate(shapes)]

    def function(
        self, layer: Layer, device: str | torch.device = "cpu"
    ) -> Callable[..., tuple[Tensor, ...]]:
        """The forward pass, the same at each call."""

        def forward(*tensors: Tensor) -> tuple[Tensor, ...]:
            runtime = Runtime(
                training=self.phase == "TRAIN",
                generator=torch.Generator(device=device).manual_seed(3),
                device=torch.device(device),
            )
            count = len(self.bottoms)
            blobs = [
                t if layer.is_learned(i) else t.detach().clone()
                for i, t in enumerate(tensors[count:])
            ]
            tensors = (*tensors[:count], *blobs)
            if layer.same_tops_as_bottoms:
                bottoms, blobs = tensors[: len(self.bottoms)], tensors[len(self.bottoms) :]
                return tuple(layer.run(runtime, x, *blobs) for x in bottoms)
            tops = layer.run(runtime, *tensors)
            return tuple(tops) if isinstance(tops, tuple | list) else (tops,)

        return forward


def _index(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _rows() -> list[Row]:
    image = spread(2, 3, 4, 5)
    flat = spread(4, 6)
    label = _index(2, 0, 5, 3)
    conv = "convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 }"
    grouped = "convolution_param { num_output: 4 group: 2 kernel_size: 2 dilation: 2 }"
    ip = "inner_product_param { num_output: 3 }"
    lp = "lpfp_param { bd: 2 ad: 6 }"
    cont = torch.tensor([[0, 0], [1, 1], [1, 0]], dtype=torch.float64)
    state = spread(1, 2, 4, seed=5)
    region = torch.tensor([[0, 0, 0, 4, 3], [1, 1, 0, 3, 2], [1, 3, 1, 9, 9]], dtype=torch.float64)
    sequence = spread(3, 2, 3)
    pairs = (spread(4, 3), spread(4, 3, seed=1), _index(0, 1, 1, 0))
    volume = "kernel_size: 3 kernel_depth: 2 stride: 2 temporal_stride: 2"
    soft = torch.softmax(spread(4, 6), 1)
    statistics = (spread(3), spread(3, **POSITIVE), torch.ones(1, dtype=torch.float64))
    affine, own = (
        "batch_norm_param { scale_bias: true eps: 1e-3 }",
        (spread(3, seed=2), spread(3, seed=3)),
    )
    rows: list[tuple[str, str, Sequence[Tensor]] | Row] = [
        ("AbsVal", "", [image]),
        Row("BatchNorm", "", (image,), blobs=statistics),
        Row("BatchNorm", "", (image,), phase="TRAIN", blobs=statistics, note="train"),
        Row("BatchNorm", affine, (image,), blobs=(*statistics, *own), note="NVCaffe"),
        Row(
            "BatchNorm",
            affine,
            (image,),
            phase="TRAIN",
            blobs=(*statistics, *own),
            note="NVCaffe, train",
        ),
        ("BNLL", "", [image]),
        ("BatchReindex", "", [spread(3, 4), _index(2, 0, 2, 1)]),
        ("Bias", "", [image]),
        ("Clip", "clip_param { min: -1.03 max: 1.01 }", [image]),
        ("Concat", "", [image, spread(2, 2, 4, 5, seed=1)]),
        # The original's gradient has distance + 1e-4 where the derivative has the distance.
        Row("ContrastiveLoss", "contrastive_loss_param { margin: 3 }", pairs, atol=1e-4),
        Row(
            "ContrastiveLoss",
            "contrastive_loss_param { margin: 9 legacy_version: true }",
            pairs,
            note="legacy",
        ),
        ("Convolution", conv, [image]),
        Row("Convolution", grouped, (spread(1, 4, 5, 5),), note="grouped"),
        (
            "Convolution3D",
            "convolution_param { num_output: 2 kernel_size: 3 kernel_depth: 2 stride: 2 pad: 1"
            " temporal_stride: 2 temporal_pad: 1 }",
            [spread(1, 2, 3, 4, 5)],
        ),
        ("Crop", "crop_param { axis: 2 offset: 1 }", [image, spread(2, 3, 2, 3)]),
        ("Deconvolution", conv, [image]),
        Row("DiceCoefLoss", "", (flat, spread(4, 6, seed=1)), dialect="east"),
        Row("DiceCoefLoss", "", (flat, spread(4, 6, seed=1)), dialect="vnet"),
        Row("Dropout", "", (image,), phase="TRAIN"),
        ("ELU", "elu_param { alpha: 0.7 }", [image]),
        ("Eltwise", "eltwise_param { coeff: 2 coeff: -1 }", [image, spread(2, 3, 4, 5, seed=1)]),
        Row("Eltwise", "eltwise_param { operation: PROD }", (flat, spread(4, 6, seed=1)), note="p"),
        Row("Eltwise", "eltwise_param { operation: MAX }", (flat, flat.flip(0)), note="max"),
        ("Embed", "embed_param { num_output: 3 input_dim: 5 }", [_index(4, 0, 4)]),
        ("EuclideanLoss", "", [flat, spread(4, 6, seed=1)]),
        ("Exp", "exp_param { base: 2 scale: 0.5 shift: 0.3 }", [flat]),
        ("Filter", "", [flat, _index(0, 1, 1, 0)]),
        ("Flatten", "", [image]),
        ("HingeLoss", "", [flat, label]),
        Row("HingeLoss", "hinge_loss_param { norm: L2 }", (flat, label), note="L2"),
        ("Im2col", "convolution_param { kernel_size: 2 dilation: 2 pad: 1 }", [image]),
        ("InfogainLoss", "", [soft, label, spread(1, 1, 6, 6)]),
        Row(
            "InfogainLoss",
            "infogain_loss_param { axis: 1 }",
            (flat, label, spread(1, 1, 6, 6)),
            tops=2,
            note="scores",
        ),
        ("InnerProduct", ip, [image]),
        ("LPAct", lp, [flat]),
        ("LPConvolution", conv + lp, [image]),
        ("LPInnerProduct", ip + lp, [image]),
        ("LRN", "lrn_param { local_size: 3 alpha: 0.5 }", [image]),
        Row(
            "LRN",
            "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }",
            (image,),
            note="within",
        ),
        ("LSTM", "recurrent_param { num_output: 4 }", [sequence, cont]),
        Row("LSTM", "recurrent_param { num_output: 4 }", (sequence, cont, state[0]), note="static"),
        Row("LSTMUnit", "", (state, spread(1, 2, 16), cont[1:2]), tops=2),
        ("Log", "log_param { base: 3 scale: 2 shift: 0.3 }", [spread(4, 6, **POSITIVE)]),
        ("MVN", "", [image]),
        Row("MVN", "mvn_param { across_channels: true }", (image,), note="across"),
        Row("MVN", "mvn_param { normalize_variance: false }", (image,), note="mean"),
        ("MultinomialLogisticLoss", "", [soft, label]),
        ("Normalize", "", [image]),
        Row(
            "Normalize",
            "norm_param { across_spatial: false channel_shared: false eps: 0.1 }",
            (image,),
            note="per channel",
        ),
        ("PReLU", "", [image]),
        Row("Parameter", "parameter_param { shape { dim: 2 dim: 3 } }", ()),
        ("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }", [image]),
        ("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }", [image]),
        Row("Pooling", "pooling_param { pool: AVE kernel_size: 3 pad: 1 }", (image,), note="ave"),
        ("Power", "power_param { power: 1.5 scale: 0.5 shift: 2 }", [flat]),
        ("RNN", "recurrent_param { num_output: 4 }", [sequence, cont]),
        Row("RNN", "recurrent_param { num_output: 4 }", (sequence, cont, state[0]), note="static"),
        (
            "ROIPooling",
            "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.9 }",
            [image, region],
        ),
        ("ReLU", "", [image]),
        Row("ReLU", "relu_param { negative_slope: 0.1 }", (image,), note="leaky"),
        ("ReLU6", "relu6_param { negative_slope: 0.1 }", [image * 4]),
        ("Reduction", "", [image]),
        Row("Reduction", "reduction_param { operation: ASUM axis: 1 }", (image,), note="asum"),
        Row("Reduction", "reduction_param { operation: SUMSQ coeff: 2 }", (image,), note="sumsq"),
        Row("Reduction", "reduction_param { operation: MEAN axis: -1 }", (image,), note="mean"),
        Row("Pooling3D", f"pooling_param {{ {volume} }}", (spread(1, 2, 3, 4, 6),)),
        Row(
            "Pooling3D",
            f"pooling_param {{ pool: AVE pad: 1 {volume} }}",
            (spread(1, 2, 3, 4, 6),),
            note="mean",
        ),
        ("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 2 } }", [image]),
        Row("Reshape", "reshape_param { pixelshuffler: 2 }", (spread(2, 8, 2, 3),), note="pixels"),
        ("SPP", "spp_param { pyramid_height: 2 }", [image]),
        Row("SPP", "spp_param { pyramid_height: 2 pool: AVE }", (image,), note="ave"),
        ("Scale", "scale_param { bias_term: true }", [image]),
        ("Sigmoid", "", [flat]),
        ("SigmoidCrossEntropyLoss", "", [flat, spread(4, 6, **POSITIVE)]),
        Row("Slice", "slice_param { axis: 1 slice_point: 2 }", (flat,), tops=2),
        ("SmoothL1Loss", "", [flat, spread(4, 6, seed=1)]),
        Row(
            "SmoothL1Loss",
            "smooth_l1_loss_param { sigma: 2 }",
            tuple(spread(4, 6, seed=i) for i in range(4)),
            note="weights",
        ),
        ("Softmax", "", [flat]),
        ("SoftmaxWithLoss", "", [flat, label]),
        Row("Split", "", (flat,), tops=2),
        ("Swish", "swish_param { beta: 1.5 }", [flat]),
        ("TanH", "", [flat]),
        ("Tile", "tile_param { axis: -1 tiles: 3 }", [flat]),
    ]
    return [r if isinstance(r, Row) else Row(r[0], r[1], tuple(r[2])) for r in rows]


def _segmentation_and_others() -> list[Row]:
    """Layers of the segmentation, YOLO, text and face forks."""
    image, small = spread(2, 3, 4, 5), spread(1, 2, 3, 4)
    channel = {"low": 0.2, "high": 0.8}
    four = (*(spread(1, 3, 1, 1, seed=i) for i in range(3)), spread(1, 3, 1, 1, **channel))
    flat_four = tuple(b.reshape(1, 3) for b in four)
    mask = _index(3, 8, 0, 14).reshape(1, 1, 2, 2)
    depthwise = "convolution_param { kernel_size: 3 pad: 1 stride: 2 }"
    group = "convolution_param { num_output: 3 group: 3 kernel_size: 2 }"
    sequence, marks = spread(3, 2, 3), _index(0, 0, 1, 1, 1, 0)
    text = "ctc_loss_param { alphabet_size: 4 time_step: 5 }"
    meanfield = "multi_stage_meanfield_param { num_iterations: 2 theta_gamma: 2 }"
    moving = "bn_param { momentum: 0.8 }"
    resize = "resize_bilinear_param { output_height: 5 output_width: 7"

    def row(type_: str, param: str, *bottoms: Tensor, **options: Any) -> Row:
        return Row(type_, param, bottoms, **options)

    return [
        row("Axpy", "", spread(2, 3), image, spread(2, 3, 4, 5, seed=1)),
        row("Axpy", "", spread(2, 3, 1, 1), image, image.flip(0), note="4 axes"),
        row("BN", moving, image, blobs=four, dialect="pspnet"),
        row("BN", moving, image, blobs=four, phase="TRAIN", dialect="pspnet", note="train"),
        row("BN", "", image, blobs=(*four[:2], *(0 * b for b in four[2:])), dialect="pspnet"),
        row("BN", moving, spread(5, 3), blobs=flat_four, dialect="tsn"),
        row("BN", "bn_param { bn_mode: LEARN }", image, tops=3, dialect="segnet"),
        row("BN", "bn_param { bn_mode: INFERENCE }", image, dialect="segnet", note="inference"),
        row("BN", "bn_param { decay: 0.1 }", image, blobs=four, dialect="ctpn"),
        row("BN", "bn_param { moving_average: true }", image, blobs=four, dialect="ctpn", note="m"),
        row(
            "BN",
            "bn_param { axis: 2 }",
            image,
            blobs=tuple(spread(1, 1, 4, 1, seed=i) for i in range(4)),
            dialect="ctpn",
            note="axis",
        ),
        row("ConvolutionDepthwise", depthwise, image),
        row("CropCenter", "crop_center_param { crop_size: 0 crop_size: 1 }", spread(2, 4)),
        # With more sequences than one the fork's gradient is that of their sum.
        row("CtcLoss", text, spread(6, 1, 4), _index(2, 0, 2).reshape(1, 3)),
        row("DepthwiseConvolution", group, image),
        row("Interp", "interp_param { height: 7 width: 3 }", small),
        row(
            "Interp", "interp_param { zoom_factor: 3 pad_beg: -1 pad_end: -1 }", image, note="crop"
        ),
        row("Interp", "interp_param { height: 1 width: 1 }", small, note="one"),
        row("Lstm", "lstm_param { num_output: 4 }", sequence),
        row("Lstm", "lstm_param { num_output: 4 }", sequence, marks, note="marks"),
        row("MultiStageMeanfield", meanfield, small, spread(1, 2, 3, 4, seed=1), 5 * _rgb()),
        row("Reorg", "reorg_param { stride: 2 }", spread(2, 4, 4, 6), dialect="darknet"),
        row(
            "Reorg",
            "reorg_param { stride: 2 reverse: true }",
            spread(2, 8, 2, 3),
            dialect="darknet",
            note="reverse",
        ),
        row("Reorg", "reorg_param { stride: 2 }", spread(2, 3, 4, 6), dialect="deeptextspotter"),
        row("ResizeBilinear", resize + ' data_format: "NCHW" }', small),
        row("ResizeBilinear", resize + " align_corners: true }", small, note="corners"),
        row("ResizeBilinear", resize + " half_pixel_centers: true }", small, note="half"),
        row("ResizeBilinear", resize + " pytorch_half_pixel: true }", small, note="torch"),
        row("Reverse", "reverse_param { axis: -1 }", small),
        row("ShuffleChannel", "shuffle_channel_param { group: 2 }", spread(2, 6, 3)),
        row("Squeeze", "squeeze_param { axis: 1 axis: -1 }", spread(3, 1, 2, 1)),
        row("Squeeze", "", spread(3, 2), note="nothing"),
        row("Transpose", "transpose_param { dim: 2 dim: 0 dim: 1 }", spread(3, 2, 4)),
        row("Upsample", "", spread(1, 1, 2, 2), mask, dialect="segnet"),
        row("Upsample", "upsample_param { scale: 2 }", small, dialect="darknet"),
    ]


def _rgb() -> Tensor:
    return spread(1, 3, 3, 4, seed=2)


def _detection() -> list[Row]:
    """Layers of the SSD and R-CNN families."""
    regions = _index(0, 0, 0, 4, 3, 1, 1, 0, 9, 9, 1, 3, 1, 2, 0).reshape(3, 5)
    prior = torch.tensor(
        [[0.1, 0.1, 0.4, 0.5], [0.3, 0.2, 0.9, 0.8], [0.55, 0.5, 0.95, 0.9], [-0.1, 0, 0.3, 0.3]],
        dtype=torch.float64,
    )
    variance = _index(0.1, 0.1, 0.2, 0.2).repeat(4)
    priors = torch.stack([prior.flatten(), variance])[None]
    truth = torch.tensor(
        [[0, 1, 0, 0.1, 0.15, 0.45, 0.5, 0], [1, 2, 0, 0.5, 0.5, 0.9, 0.9, 0]],
        dtype=torch.float64,
    )[None, None]
    loc, conf = spread(2, 16), spread(2, 12, seed=1)
    boxes = (spread(3, 4), spread(3, 4, seed=1))
    label = _index(1, 0, 3)

    def multibox(param: str, note: str, loc: Tensor = loc) -> Row:
        param = f"multibox_loss_param {{ num_classes: 3 code_type: CENTER_SIZE {param} }}"
        return Row("MultiBoxLoss", param, (loc, conf, priors, truth), note=note)

    return [
        multibox("", "mined"),
        multibox("mining_type: NONE conf_loss_type: LOGISTIC loc_loss_type: L2", "logistic"),
        multibox("mining_type: HARD_EXAMPLE sample_size: 2 bp_inside: true", "hard"),
        multibox("encode_variance_in_target: true loc_weight: 0.7", "variance"),
        multibox("mining_type: NONE share_location: false", "own", spread(2, 48)),
        Row(
            "PSROIPooling",
            "psroi_pooling_param { spatial_scale: 0.9 output_dim: 2 group_size: 2 }",
            (spread(2, 8, 4, 5), regions),
        ),
        Row("SmoothL1LossOHEM", "", boxes),
        Row("SmoothL1LossOHEM", "", (*boxes, spread(3, 4, seed=2)), note="weights"),
        Row("SoftmaxWithLossOHEM", "", (spread(3, 4), label)),
        Row(
            "SoftmaxWithLossOHEM", "loss_param { ignore_label: 3 }", (spread(3, 4), label), note="i"
        ),
    ]


ROWS = [*_rows(), *_segmentation_and_others(), *_detection()]
