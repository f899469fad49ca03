"""Every layer type exported and held against its forward pass, at the batch size of the prototxt
and, where the model takes any, at another one. Geometry corner cases of convolution and pooling."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest

from adaption.compare.float_check import check_float
from adaption.errors import DataError
from adaption.export.onnx import export_onnx
from tests.export.nets import input_layer, net_of, run_model, samples

Shape = tuple[int, ...]


class Row(NamedTuple):
    """`text` follows the layer's name, bottoms (x, x1, ...) and top y; extra tops stand in it."""

    text: str
    shape: Shape = (2, 4, 7, 6)
    more: tuple[Shape, ...] = ()
    any_batch: bool = True
    note: str = ""


def conv(fields: str, shape: Shape = (2, 4, 7, 6), **more: object) -> Row:
    return Row(f'type: "Convolution" convolution_param {{ {fields} }}', shape, **more)  # type: ignore[arg-type]


def deconv(fields: str, shape: Shape = (2, 4, 5, 4)) -> Row:
    return Row(f'type: "Deconvolution" convolution_param {{ {fields} }}', shape)


def pool(fields: str, shape: Shape = (2, 3, 7, 6), note: str = "") -> Row:
    return Row(f'type: "Pooling" pooling_param {{ {fields} }}', shape, note=note)


def reshape(fields: str, shape: Shape = (2, 4, 7, 6), any_batch: bool = True) -> Row:
    return Row(f'type: "Reshape" reshape_param {{ {fields} }}', shape, any_batch=any_batch)


ROWS = [
    conv("num_output: 3 kernel_size: 3"),
    conv("num_output: 3 kernel_size: 3 pad: 1 stride: 2 bias_term: false"),
    conv("num_output: 3 kernel_h: 1 kernel_w: 5 pad_h: 0 pad_w: 2 stride_h: 2 stride_w: 1"),
    conv("num_output: 6 kernel_size: 3 group: 2"),
    conv("num_output: 4 kernel_size: 3 group: 4 pad: 1", note="depthwise"),
    conv("num_output: 3 kernel_size: 3 dilation: 2 pad: 2"),
    conv("num_output: 3 kernel_size: 3 kernel_size: 2 stride: 2 stride: 1 pad: 0 pad: 1"),
    conv("num_output: 3 kernel_size: 3 pad: 1", (2, 4, 9)),
    conv("num_output: 3 kernel_size: 2 stride: 2", (2, 4, 5, 6, 4)),
    conv("num_output: 3 kernel_size: 3 axis: 2", (2, 3, 4, 9), note="1-d, axis 2"),
    conv("num_output: 3 kernel_size: 3 pad: 1 axis: 0", (4, 7, 6), any_batch=False),
    conv("num_output: 3 kernel_size: 7 stride: 5 pad: 3", note="kernel as wide as the bottom"),
    deconv("num_output: 3 kernel_size: 4 stride: 2 pad: 1"),
    deconv("num_output: 4 kernel_size: 3 group: 2"),
    deconv("num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 4 bias_term: false"),
    deconv("num_output: 3 kernel_size: 3 dilation: 2 pad: 2 stride: 3"),
    deconv("num_output: 3 kernel_size: 3 stride: 2", (2, 4, 6)),
    *(
        pool(f"pool: {kind} {fields}", shape, note)
        for kind in ("MAX", "AVE", "AVE_EXC_PAD")
        for fields, shape, note in [
            ("kernel_size: 2 stride: 2", (2, 3, 6, 6), "even"),
            ("kernel_size: 2 stride: 2", (2, 3, 7, 5), "last window cut off"),
            ("kernel_size: 3 stride: 2", (2, 3, 7, 8), "k3s2"),
            ("kernel_size: 3 stride: 2 pad: 1", (2, 3, 7, 8), "k3s2 padded"),
            ("kernel_size: 3 stride: 1 pad: 1", (2, 3, 7, 6), "same size"),
            ("kernel_size: 3 stride: 3 pad: 2", (2, 3, 7, 5), "pad beyond half the kernel"),
            ("kernel_size: 2 stride: 2 pad: 1", (2, 3, 5, 6), "last window starts in the pad"),
            ("kernel_size: 2 stride: 3", (2, 3, 7, 6), "stride beyond the kernel"),
            ("kernel_size: 2 stride: 5 pad: 1", (2, 3, 8, 9), "unread border"),
            ("kernel_size: 1 stride: 2", (2, 3, 7, 6), "one pixel"),
            ("kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 1", (2, 3, 7, 6), "oblong"),
            ("kernel_size: 9 stride: 4 pad: 4", (2, 3, 7, 6), "kernel wider than the bottom"),
            ("global_pooling: true", (2, 3, 7, 6), "global"),
        ]
    ),
    Row('type: "LRN" lrn_param { local_size: 5 alpha: 0.1 beta: 0.75 k: 2 }', (2, 8, 5, 4)),
    Row('type: "LRN" lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }'),
    Row('type: "LRN" lrn_param { local_size: 9 alpha: 1 }', note="wider than the channels"),
    Row('type: "BatchNorm"'),
    Row('type: "BatchNorm" batch_norm_param { eps: 0.01 use_global_stats: true }', (2, 5)),
    Row('type: "BatchNorm" batch_norm_param { use_global_stats: false }', note="of the batch"),
    Row('type: "BatchNorm"', (6,), note="one axis"),
    Row('type: "Scale" scale_param { bias_term: true }'),
    Row('type: "Scale" scale_param { axis: 1 num_axes: 2 }'),
    Row('type: "Scale" scale_param { axis: -1 num_axes: 1 bias_term: true }'),
    Row('type: "Scale" scale_param { num_axes: 0 }', note="a scalar"),
    Row('type: "Scale" scale_param { axis: 0 }', more=((2, 4),), note="as in SE nets"),
    Row('type: "Scale" scale_param { axis: 1 bias_term: true }', more=((4, 7),)),
    Row('type: "Bias" bias_param { axis: 1 }'),
    Row('type: "Bias" bias_param { axis: 0 }', more=((2, 4, 7, 6),)),
    Row('type: "PReLU"'),
    Row('type: "PReLU" prelu_param { channel_shared: true }'),
    Row('type: "PReLU"', (2, 5), note="behind InnerProduct"),
    Row('type: "ReLU"'),
    Row('type: "ReLU" relu_param { negative_slope: 0.1 }'),
    Row('type: "Sigmoid"'),
    Row('type: "TanH"'),
    Row('type: "Power" power_param { power: 2 scale: 0.5 shift: 1 }'),
    Row('type: "Power" power_param { scale: -2 }'),
    Row('type: "Power" power_param { power: 0 }'),
    Row('type: "Power" power_param { power: 3 scale: 0 shift: 2 }'),
    Row('type: "Dropout"'),
    Row('type: "LPAct" lpfp_param { bd: 2 ad: 6 }'),
    Row('type: "Eltwise"', more=((2, 4, 7, 6), (2, 4, 7, 6))),
    Row('type: "Eltwise" eltwise_param { coeff: 1 coeff: -0.5 }', more=((2, 4, 7, 6),)),
    Row('type: "Eltwise" eltwise_param { operation: PROD }', more=((2, 4, 7, 6),)),
    Row('type: "Eltwise" eltwise_param { operation: MAX }', more=((2, 4, 7, 6), (2, 4, 7, 6))),
    Row('type: "Concat"', more=((2, 2, 7, 6),)),
    Row('type: "Concat" concat_param { axis: -1 }', more=((2, 4, 7, 1),)),
    Row('type: "Concat" concat_param { axis: 0 }', more=((2, 4, 7, 6),)),
    Row('type: "Concat"', note="one bottom"),
    Row('type: "Slice" top: "z" slice_param { axis: 1 }'),
    Row('type: "Slice" top: "z" top: "w" slice_param { axis: 2 slice_point: 1 slice_point: 5 }'),
    Row('type: "Slice" top: "z" slice_param { axis: 0 }', any_batch=False),
    Row('type: "Slice"', note="one top"),
    Row('type: "Split" top: "z"'),
    Row('type: "Flatten"'),
    Row('type: "Flatten" flatten_param { axis: 2 }'),
    Row('type: "Flatten" flatten_param { axis: 1 end_axis: 2 }'),
    Row('type: "Flatten" flatten_param { axis: 0 end_axis: 1 }'),
    reshape("shape { dim: 0 dim: -1 }"),
    reshape("shape { dim: 0 dim: 0 dim: 6 dim: -1 }"),
    reshape("shape { dim: -1 dim: 42 }"),
    reshape("shape { dim: 2 dim: -1 }"),
    reshape("shape { dim: 2 dim: 168 }", any_batch=False),
    reshape("shape { dim: 2 dim: 2 } axis: 1 num_axes: 1"),
    reshape("shape { dim: 1 } axis: 0 num_axes: 0"),
    reshape("shape { dim: 1 } axis: -1 num_axes: 0"),
    reshape("shape { dim: -1 } axis: 1 num_axes: 2"),
    Row('type: "Softmax"'),
    Row('type: "Softmax" softmax_param { axis: -1 }'),
    Row('type: "Softmax" softmax_param { axis: 0 }'),
    Row('type: "InnerProduct" inner_product_param { num_output: 3 }'),
    Row('type: "InnerProduct" inner_product_param { num_output: 3 bias_term: false }'),
    Row('type: "InnerProduct" inner_product_param { num_output: 3 transpose: true }'),
    Row('type: "InnerProduct" inner_product_param { num_output: 3 axis: 2 }'),
    Row('type: "InnerProduct" inner_product_param { num_output: 3 axis: -1 transpose: true }'),
    Row('type: "InnerProduct" inner_product_param { num_output: 3 axis: 0 }', any_batch=False),
    *(
        Row(f'type: "Reduction" reduction_param {{ operation: {op} {rest} }}')
        for op in ("SUM", "ASUM", "SUMSQ", "MEAN")
        for rest in ("axis: 1", "axis: 2 coeff: 0.5", "axis: 0")
    ),
    Row('type: "Permute" permute_param { order: 0 order: 2 order: 3 order: 1 }'),
    Row('type: "Normalize" norm_param { across_spatial: false channel_shared: false }'),
    Row('type: "Normalize" norm_param { across_spatial: true channel_shared: true }'),
    Row('type: "Crop" crop_param { axis: 2 offset: 1 }', more=((2, 4, 4, 3),)),
    Row('type: "ELU"'),
    Row('type: "MVN"'),
    Row('type: "SPP" spp_param { pyramid_height: 2 }', (2, 3, 8, 8)),
    Row('type: "Tile" tile_param { axis: 1 tiles: 3 }'),
]


@pytest.mark.parametrize("row", [pytest.param(r, id=f"{r.text} {r.shape} {r.note}") for r in ROWS])
def test_exported_layer_computes_its_forward_pass(row: Row, tmp_path: Path) -> None:
    shapes = [row.shape, *row.more]
    names = ["x", *(f"x{i}" for i in range(1, len(shapes)))]
    inputs = "".join(input_layer(n, *s) for n, s in zip(names, shapes, strict=True))
    bottoms = " ".join(f'bottom: "{n}"' for n in names)
    net = net_of(f'{inputs}layer {{ name: "L" {bottoms} top: "y" {row.text} }}')
    report = export_onnx(net, tmp_path / "net.onnx")
    assert (report.batch is None) == row.any_batch, report.notes
    onnx.checker.check_model(onnx.load(tmp_path / "net.onnx"), full_check=True)

    if any(bool(y.isnan().any()) for y in net.forward(samples(net)).values()):
        # Caffe, too, divides by 0 where a window lies beyond the blob: nothing can be proved.
        with pytest.raises(DataError, match="is the first layer that gives NaN"):
            check_float(net, tmp_path / "net.onnx", samples(net))
    else:
        checked = check_float(net, tmp_path / "net.onnx", samples(net))
        assert checked.ok, checked.detail
    for count in {row.shape[0], 3 if report.batch is None else row.shape[0]}:
        values = samples(net, count)
        want = {name: t.numpy() for name, t in net.forward(values).items()}
        found = run_model(tmp_path / "net.onnx", values)
        assert set(found) == set(want)
        for name, y in want.items():
            assert found[name].shape == y.shape
            # float32 in another order of operations
            np.testing.assert_allclose(found[name], y, rtol=2e-5, atol=1e-5)
