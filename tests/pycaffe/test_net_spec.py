"""NetSpec and the coordinate maps: what the original wrote, other forms of calls, and errors."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adaption.pycaffe as caffe
from adaption.errors import AdaptionError, FieldError, LayerError, UsageError
from adaption.pycaffe import coord_map
from adaption.pycaffe import layers as L
from adaption.pycaffe import params as P
from adaption.pycaffe.net_spec import Top, assign_proto, param_name_dict, to_proto


def image(*dims: int) -> Any:
    return L.Input(input_param={"shape": {"dim": list(dims)}})


def lenet() -> caffe.NetSpec:
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(
        shape=[dict(dim=[4, 1, 28, 28]), dict(dim=[4])], transform_param=dict(scale=0.5), ntop=2
    )
    n.conv1 = L.Convolution(
        n.data,
        kernel_size=5,
        num_output=20,
        weight_filler=dict(type="xavier"),
        param=[dict(lr_mult=1), dict(lr_mult=2)],
    )
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.relu1 = L.ReLU(n.pool1, in_place=True)
    n.ip1 = L.InnerProduct(n.relu1, num_output=10)
    n.loss = L.SoftmaxWithLoss(n.ip1, n.label)
    return n


def cropped() -> caffe.NetSpec:
    n = caffe.NetSpec()
    n.data = image(1, 3, 20, 20)
    n.c1 = L.Convolution(n.data, num_output=4, kernel_size=3, pad=5)
    n.p1 = L.Pooling(n.c1, kernel_size=2, stride=2)
    n.u = L.Deconvolution(n.p1, convolution_param=dict(num_output=2, kernel_size=4, stride=2))
    n.crop = coord_map.crop(n.u, n.data)
    return n


# -- golden --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "file"), [(lenet, "netspec_lenet"), (cropped, "coord_map_crop")])
def test_golden(make: Callable[[], caffe.NetSpec], file: str, shared: Path) -> None:
    want = (shared / "golden" / "python_api" / f"{file}.prototxt").read_text()
    assert str(make().to_proto()) == want


def test_every_golden_net_is_in_the_list(shared: Path) -> None:
    found = {p.stem for p in (shared / "golden" / "python_api").glob("*.prototxt")}
    assert found == {"netspec_lenet", "coord_map_crop", "api_net"}


# -- NetSpec -------------------------------------------------------------------------------------


def test_layers_without_a_net_are_numbered_by_type() -> None:
    data = image(1, 3, 8, 8)
    a = L.Convolution(data, num_output=1, kernel_size=1)
    b = L.Convolution(L.ReLU(a, in_place=True), num_output=1, kernel_size=1)
    net = to_proto(b, a)
    assert [(x.name, list(x.bottom), list(x.top)) for x in net.layer] == [
        ("Input1", [], ["Input1"]),
        ("Convolution1", ["Input1"], ["Convolution1"]),
        ("ReLU1", ["Convolution1"], ["Convolution1"]),
        ("Convolution2", ["Convolution1"], ["Convolution2"]),
    ]
    assert b.to_proto() == to_proto(b)


def test_a_layer_without_tops() -> None:
    n = caffe.NetSpec()
    n.a, n.b = L.DummyData(ntop=2)
    n.silence = L.Silence(n.a, n.b, ntop=0)
    layer = n.to_proto().layer[-1]
    assert (layer.name, list(layer.bottom), list(layer.top)) == ("silence", ["a", "b"], [])
    assert to_proto(n.silence).layer[-1].name == "Silence1"


def test_unnamed_layers_between_named_ones() -> None:
    n = caffe.NetSpec()
    n.data = image(1, 3)
    n.sum = L.Eltwise(L.Power(n.data, scale=2), L.Power(n.data, shift=1))
    assert [x.name for x in n.to_proto().layer] == ["data", "Power1", "Power2", "sum"]


def test_settings_find_their_message() -> None:
    n = caffe.NetSpec()
    n.data = image(1, 3, 8, 8)
    n.conv = L.LPConvolution(
        n.data,
        convolution_param=dict(num_output=2, kernel_size=3),
        lpfp_param=dict(bd=2, ad=14, rounding_scheme=P.LowPrecisionFP.DETERMINISTIC),
        include=dict(phase=caffe.TRAIN),
        loss_weight=(0.5,),
        name="other",
    )
    n.up = L.Deconvolution(n.conv, num_output=1, kernel_size=[4, 4])  # pycaffe: no such setting
    n.script = L.Python(n.up, module="m", layer="C", param_str="x")
    conv, up, script = n.to_proto().layer[1:]
    assert (conv.name, conv.convolution_param.num_output) == ("other", 2)
    assert (conv.lpfp_param.bd, conv.lpfp_param.ad) == (2, 14)
    assert conv.include[0].phase == caffe.TRAIN and list(conv.loss_weight) == [0.5]
    assert list(up.convolution_param.kernel_size) == [4, 4]
    assert (script.python_param.module, script.python_param.layer) == ("m", "C")


def test_settings_may_be_numpy_values_and_messages() -> None:
    n = caffe.NetSpec()
    n.data = L.Input(shape=caffe.caffe_pb2.BlobShape(dim=np.array([2, 3])))
    n.drop = L.Dropout(n.data, dropout_ratio=np.float32(0.25))
    n.ip = L.InnerProduct(
        n.drop,
        num_output=np.int64(4),
        weight_filler=caffe.caffe_pb2.FillerParameter(type="msra"),
        bias_term=False,
    )
    data, drop, ip = n.to_proto().layer
    assert list(data.input_param.shape[0].dim) == [2, 3]
    assert drop.dropout_param.dropout_ratio == 0.25
    assert (ip.inner_product_param.num_output, ip.inner_product_param.bias_term) == (4, False)
    assert ip.inner_product_param.weight_filler.type == "msra"


def test_an_empty_message_is_set() -> None:
    n = caffe.NetSpec()
    n.data = L.Input(input_param={})
    assert n.to_proto().layer[0].HasField("input_param")


def test_net_is_a_mapping_of_tops() -> None:
    n = lenet()
    assert n["conv1"] is n.conv1
    n["extra"] = L.ReLU(n.ip1)
    assert n.keys()[-1] == "extra" and n.vals()[-1] is n.extra
    del n["extra"]
    n.update("ip1", {"num_output": 7})
    assert n.to_proto().layer[4].inner_product_param.num_output == 7
    assert not hasattr(n, "extra")


def test_a_deep_net_needs_no_deep_stack() -> None:
    top = image(1)
    for _ in range(3000):
        top = L.ReLU(top)
    assert len(to_proto(top).layer) == 3001


def test_param_name_dict() -> None:
    names = param_name_dict()
    assert names["Pooling"] == "pooling" and names["InnerProduct"] == "inner_product"
    assert names["LowPrecisionFP"] == "lpfp" and "Deconvolution" not in names


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: to_proto(L.Pooling(kernal_size=3)),
            FieldError,
            'layer "Pooling1" (Pooling): kernal_size is 3, allowed: fields of PoolingParameter\n'
            "  fix: did you mean 'kernel_size'?",
        ),
        (
            lambda: to_proto(L.Convolution(weight_filler=dict(tipe="x"))),
            FieldError,
            "layer \"Convolution1\" (Convolution): weight_filler.tipe is 'x', allowed: fields of"
            " FillerParameter\n  fix: did you mean 'type'?",
        ),
        (
            lambda: to_proto(L.Wavelet(levels=3)),
            FieldError,
            'layer "Wavelet1" (Wavelet): levels is 3, allowed: fields of LayerParameter',
        ),
        (
            lambda: L.ReLU("data"),
            UsageError,
            "input 0 of ReLU is a str, allowed: a Top\n  fix: a layer of several tops gives a"
            " tuple of them: a, b = L.Data(ntop=2)",
        ),
        (
            lambda: setattr(caffe.NetSpec(), "data", L.DummyData(ntop=2)),
            UsageError,
            "data is a tuple, allowed: a top\n  fix: a layer of several tops gives a tuple of"
            " them: n.data, n.label = L.Data(ntop=2)",
        ),
    ],
)
def test_errors(call: Callable[[], Any], error: type[AdaptionError], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text


def test_a_value_that_does_not_fit() -> None:
    with pytest.raises(FieldError, match=r"^kernel_size is 'a', allowed: what the field takes"):
        assign_proto(caffe.caffe_pb2.PoolingParameter(), "kernel_size", "a")


def test_unknown_names() -> None:
    n = lenet()
    with pytest.raises(
        AttributeError, match=r"^the net has no top 'dato' yet, did you mean 'data'\?$"
    ):
        n.dato  # noqa: B018
    with pytest.raises(AttributeError, match=r"^caffe_pb2 has no message WaveletParameter$"):
        P.Wavelet  # noqa: B018


# -- coordinate maps -----------------------------------------------------------------------------


def test_pointwise_layers_map_to_themselves() -> None:
    data = image(1, 3, 8, 8)
    assert coord_map.coord_map_from_to(L.ReLU(L.LRN(data)), data) == (None, 1, 0)
    assert coord_map.crop(L.ReLU(data), data).fn.params["crop_param"] == {
        "axis": 2,
        "offset": [0],
    }


@pytest.mark.parametrize("kind", ["BN", "Normalize", "Softmax"])
def test_layers_that_keep_places_map_to_themselves(kind: str) -> None:
    data = image(1, 3, 8, 8)
    assert coord_map.coord_map_from_to(getattr(L, kind)(data), data) == (None, 1, 0)
    assert {kind, "ReLU", "Split"} < set(coord_map.PASS_THROUGH_LAYERS)


@pytest.mark.parametrize("kind", ["ConvolutionDepthwise", "DepthwiseConvolution", "LPConvolution"])
def test_every_convolution_maps_alike(kind: str) -> None:
    settings = dict(kernel_size=3, stride=2, pad=1)
    data = image(1, 3, 8, 8)
    tops = [getattr(L, k)(data, convolution_param=settings) for k in (kind, "Convolution")]
    mine, theirs = (coord_map.coord_map(top.fn) for top in tops)
    assert [np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True)] == [True] * 3


@pytest.mark.parametrize("stride", [2, 3, 49])
def test_strides_cancel_exactly(stride: int) -> None:
    """In floating point, 49 * (1 / 49) is not 1."""
    data = image(1, 3, 98, 98)
    down = L.Convolution(data, num_output=1, kernel_size=stride, stride=stride)
    up = L.Deconvolution(down, convolution_param=dict(kernel_size=stride, stride=stride))
    axis, scale, shift = coord_map.coord_map_from_to(up, data)
    assert (axis, list(scale), list(shift)) == (1, [1], [0])


def test_sizes_per_axis() -> None:
    data = image(1, 3, 8, 8)
    a = L.Convolution(data, kernel_size=[3, 5], stride=2, pad=[1, 0], dilation=2)
    b = L.Pooling(data, kernel_h=3, kernel_w=5, stride=2, pad_h=1)
    assert [list(v) for v in coord_map.coord_map(a.fn)[1:]] == [
        [Fraction(1, 2)],
        [Fraction(-1, 2), Fraction(-2)],
    ]
    assert list(coord_map.coord_map(b.fn)[2]) == [0, -1]


def test_maps_go_through_a_common_ancestor() -> None:
    """The second bottom of a Crop only lends its size."""
    data = image(1, 3, 20, 20)
    conv = L.Convolution(data, kernel_size=5)
    inner = L.Crop(data, conv, crop_param=dict(axis=2, offset=[2]))
    made = coord_map.crop(inner, L.Convolution(inner, kernel_size=3))
    assert made.fn.params["crop_param"] == {"axis": 2, "offset": [1]}
    back = coord_map.coord_map_from_to(inner, conv)
    assert list(back[2]) == [0]


def fork(**settings: Any) -> tuple[Top, Top]:
    data = image(1, 3, 20, 20)
    return L.Convolution(data, **settings), data


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: coord_map.crop(*fork(kernel_size=1, stride=2)),
            "scales differ by 2, a crop needs 1\n  fix: choose kernel, stride and pad so that both"
            " tops have pixels in the same places",
        ),
        (
            lambda: coord_map.crop(*fork(kernel_size=3)),
            "the crop would start at -1, allowed: 0 or more\n  fix: choose kernel, stride and pad"
            " so that both tops have pixels in the same places",
        ),
        (
            lambda: coord_map.crop(*fork(kernel_size=4, pad=3)),
            "the crop would start at 3/2, between two pixels\n  fix: choose kernel, stride and pad"
            " so that both tops have pixels in the same places",
        ),
        (
            lambda: coord_map.coord_map(fork()[0].fn),
            "kernel_size is not set, so there is no coordinate map",
        ),
        (
            lambda: coord_map.coord_map(L.InnerProduct(num_output=1).fn),
            "layer type InnerProduct has no coordinate map\n  fix: crop between spatial layers",
        ),
        (
            lambda: coord_map.coord_map_from_to(image(1), image(1)),
            "no coordinate map from a Input to a Input top\n  fix: both have to come from one top"
            " through spatial layers",
        ),
        (
            lambda: coord_map.compose((1, 1, 0), (2, 1, 0)),
            "the maps are of axis 1 and of axis 2",
        ),
    ],
)
def test_coord_map_errors(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(LayerError) as caught:
        call()
    assert str(caught.value) == text
