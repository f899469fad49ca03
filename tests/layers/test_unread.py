"""Fields of known messages that a layer does not read: refused, harmless, or said."""

from __future__ import annotations

import dataclasses

import pytest

from adaption.errors import FieldError
from adaption.graph import LayerSpec
from adaption.layers.base import _registered
from adaption.layers.unread import HARMLESS, MOVED, check_fields
from adaption.proto import caffe_pb2
from tests.layers.snippets import net_of

X = {"x": [[1.0, 2.0], [3.0, 4.0]]}


def own(kind: str, param: str, bottoms: str = 'bottom: "x"', top: str = "y") -> str:
    return f'layer {{ name: "L" type: "{kind}" {bottoms} top: "{top}" {param} }}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            own(
                "SoftmaxWithLoss", "loss_param { label_smoothing: 0.1 }", 'bottom: "x" bottom: "t"'
            ),
            "loss_param.label_smoothing is 0.10000000149011612, allowed: 0.0, or left out",
        ),
        (
            own(
                "SigmoidCrossEntropyLoss",
                "loss_param { weight_by_label_freqs: true }",
                'bottom: "x" bottom: "x2"',
            ),
            "loss_param.weight_by_label_freqs is True, allowed: False, or left out",
        ),
        (
            own(
                "SigmoidCrossEntropyLoss",
                "loss_param { class_weighting: 1 class_weighting: 2 }",
                'bottom: "x" bottom: "x2"',
            ),
            "loss_param.class_weighting is [1.0, 2.0], allowed: nothing",
        ),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(FieldError) as caught:
        net_of(text, {**X, "t": [0, 1], "x2": [[0, 1], [1, 0]]})
    assert str(caught.value).splitlines()[0] == f'layer "L" ({caught.value.layer_type}): {message}'
    assert caught.value.fix == "remove it, since it is not computed here"


@pytest.mark.parametrize(
    "text",
    [
        own("InnerProduct", "inner_product_param { num_output: 2 }"),
        own("ReLU", "relu_param { engine: CUDNN }"),
        own("Softmax", "softmax_param { engine: CAFFE }"),
        own("Eltwise", "eltwise_param { stable_prod_grad: false }", 'bottom: "x" bottom: "x2"'),
        own(
            "SoftmaxWithLoss",
            "loss_param { weight_by_label_freqs: false label_smoothing: 0 normalize: true }",
            'bottom: "x" bottom: "t"',
        ),
    ],
)
def test_read_harmless_or_as_by_default(text: str) -> None:
    net = net_of(text, {**X, "t": [0, 1], "x2": [[0, 1], [1, 0]]})
    net.forward()
    assert not net.notices


def test_said_where_caffe_passes_over_it() -> None:
    net = net_of(own("ReLU", "spatial_dropout_param { dropout_ratio: 0.2 }"), X)
    assert net.notices == [
        'layer "L" (ReLU): spatial_dropout_param is not read by any layer type of this release'
    ]


def test_every_field_is_read_or_decided_about() -> None:
    """Of every type: what its class does not read is refused where it is set."""
    refused = set()
    for name, variants in _registered().items():
        for cls in variants.values():
            if not cls.param or not dataclasses.is_dataclass(cls):
                continue
            read = {f.name for f in dataclasses.fields(cls)} | {*cls.reads, *cls.ignores}
            message = caffe_pb2.LayerParameter(name="L", type=name)
            own = getattr(message, cls.param)
            for field in own.DESCRIPTOR.fields:
                if field.name in read | HARMLESS or field.message_type or field.name in MOVED:
                    continue
                if isinstance(field.default_value, list):
                    getattr(own, field.name).append(1)
                elif isinstance(field.default_value, str):
                    setattr(own, field.name, "x")
                elif field.enum_type is not None:
                    numbers = {v.number for v in field.enum_type.values} - {field.default_value}
                    setattr(own, field.name, min(numbers, default=0))
                    if not numbers:  # only one value is known
                        own.ClearField(field.name)
                        continue
                else:
                    default = field.default_value
                    other = not default if isinstance(default, bool) else default + 1
                    setattr(own, field.name, other)
                assert [d.name for d, _ in own.ListFields()] == [field.name], name
                with pytest.raises(FieldError, match=f"^{cls.param}.{field.name} is "):
                    check_fields(LayerSpec("L", name, (), (), message), cls)
                own.ClearField(field.name)
                refused.add(f"{name}.{field.name}")
    assert {"ImageData.min_height", "Im2col.pad_l", "Region.iou_threshold"} <= refused
