"""The error behind a ReLU: formats and weights of a last layer that is cut off there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from adaption.net import Net, Point
from adaption.numerics import FixedPoint
from adaption.precision.refining.gated import Gate, Gated
from adaption.precision.refining.layer_fit import FitSettings, Fitted, LayerFit
from adaption.precision.refining.sums import sums_of
from tests.precision.refining.nets import file_of, relu, samples, trained, weights
from tests.precision.refining.test_refine import FORMATS, low_net, refine

SETTINGS = FitSettings(True, True, keeps_zeros=False, format=None, like=FixedPoint(3, 0))
OUTPUTS, INPUTS = 12, 24


class Layer:
    """A layer whose outputs are mostly below zero, so that ReLU cuts them off."""

    def __init__(self, slope: float = 1.0, count: int = 4000) -> None:
        values = torch.Generator().manual_seed(0)
        mix = torch.randn(INPUTS, INPUTS, generator=values)
        self.read = torch.randn(1, 2 * count, INPUTS, generator=values).relu() @ mix
        self.weight = torch.randn(1, OUTPUTS, INPUTS, generator=values) * 0.1
        self.slope = torch.full((1, OUTPUTS), slope, dtype=torch.float64)
        sums = self.read @ self.weight.mT
        self.offset = -(sums * slope).double().quantile(0.8, dim=1)
        self.count = count

    def columns(self, inputs: slice, few: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        part = self.read[:, : min(self.count, few or self.count), inputs]
        yield part, part

    def gated(self, *, moves_bias: bool = True) -> Gated | None:
        return Gated.of(
            self.weight,
            lambda few: self.columns(slice(None), few),
            Gate(self.slope, self.offset),
            moves_bias=moves_bias,
        )

    def fit(self, settings: FitSettings = SETTINGS, *, is_gated: bool) -> Fitted:
        gated = self.gated if is_gated else lambda: None
        return LayerFit(self.weight, self.columns, settings, None, gated).rounded()

    def error(self, made: Fitted) -> float:
        """Mean squared error behind the ReLU, of columns that took no part."""
        read = self.read[:, self.count :]
        shift = made.shift.unsqueeze(1).float()

        def result(sums: Tensor) -> Tensor:
            return (sums * self.slope.unsqueeze(1) + self.offset.unsqueeze(1)).relu()

        full, low = result(read @ self.weight.mT), result(read @ made.rounded.mT + shift)
        return float((full - low).square().mean())


@pytest.mark.parametrize("slope", [1.0, -0.5])
def test_what_passes_comes_closer(slope: float) -> None:
    layer = Layer(slope)
    plain, gated = layer.fit(is_gated=False), layer.fit(is_gated=True)
    assert layer.error(gated) < 0.95 * layer.error(plain)
    rounded = gated.rounded.float()
    assert gated.format.word_length == 3 and torch.equal(gated.format.quantize(rounded), rounded)
    assert gated.losses[gated.format.frac_length] == min(gated.losses.values())


@pytest.mark.parametrize("slope", [1.0, -0.5])
def test_a_format_that_cuts_weights_off(slope: float) -> None:
    layer, short = Layer(slope), FixedPoint(3, 5)
    assert layer.weight.abs().max() > 2 * short.max_value
    settings = FitSettings(True, True, keeps_zeros=False, format=short, like=short)
    plain, gated = layer.fit(settings, is_gated=False), layer.fit(settings, is_gated=True)
    assert layer.error(gated) < 0.6 * layer.error(plain)


def test_a_given_format_and_a_bias_that_stays() -> None:
    layer = Layer()
    given = FixedPoint(3, 4)
    settings = FitSettings(True, False, keeps_zeros=False, format=given, like=given)
    plain = layer.fit(settings, is_gated=False)
    found = LayerFit(
        layer.weight, layer.columns, settings, None, lambda: layer.gated(moves_bias=False)
    ).rounded()
    assert found.format == given
    assert torch.equal(found.shift, plain.shift)
    assert not torch.equal(found.rounded, plain.rounded)


def test_zeros_stay() -> None:
    layer = Layer()
    layer.weight[layer.weight.abs() < 0.05] = 0
    settings = FitSettings(True, True, keeps_zeros=True, format=None, like=FixedPoint(3, 0))
    made = layer.fit(settings, is_gated=True).rounded
    assert (layer.weight == 0).any() and not made[layer.weight == 0].any()


def test_no_code_can_be_better_alone() -> None:
    """Coordinate descent has ended: another step of one code does not lessen what it lessens."""
    layer, gated = Layer(), Layer().gated()
    assert gated is not None
    form, rows = FixedPoint(4, 4), slice(0, OUTPUTS)
    made, target = form.quantize(layer.weight), layer.weight.double()
    shift = torch.zeros(1, OUTPUTS, dtype=torch.float64)
    for _ in range(20):
        before = made.clone()
        made, shift = gated.improved(made, target, form, rows, shift, None)
    assert torch.equal(made, before)
    again, _ = gated.improved(made, target, form, rows, shift, None)
    assert torch.equal(made, again)
    nearest = layer.error(Fitted(form.quantize(layer.weight), form, shift, {}, 1))
    assert layer.error(Fitted(made, form, shift, {}, 1)) < nearest


def test_too_few_columns_are_left_alone() -> None:
    assert Layer(count=8 * INPUTS).gated() is not None
    assert Layer(count=8 * INPUTS - 1).gated() is None


HEAD = (
    'layer { name: "in" type: "Input" top: "x"'
    " input_param { shape { dim: 2 dim: 4 dim: 8 dim: 8 } } }\n"
    + weights("c1", "Convolution", "x", "num_output: 8 kernel_size: 3")
    + relu("c1")
    + weights("c2", "Convolution", "c1", "num_output: 5 kernel_size: 1")
    + 'layer { name: "sc" type: "Scale" bottom: "c2" top: "c2" scale_param { bias_term: true'
    ' filler { type: "uniform" min: 0.5 max: 1.5 } bias_filler { type: "uniform" min: -0.2 } } }\n'
    + 'layer { name: "drop" type: "Dropout" bottom: "c2" top: "c2" }\n'
)
POOL = (
    'layer { name: "pool" type: "Pooling" bottom: "c2" top: "pool"'
    " pooling_param { pool: AVE global_pooling: true } }\n"
)


def test_what_is_a_result_of_the_net_is_not_cut_off() -> None:
    """Beside the blob that ReLU reads, a Split gives the same as a result."""
    split = 'layer { name: "two" type: "Split" bottom: "c2" top: "one" top: "logits" }\n'
    net = Net(file_of(HEAD + split + relu("one")), seed=3)
    nodes = {node.spec.name: node for node in net.nodes}
    assert not sums_of(net.spec, nodes)["c2"].ends_rectified


@pytest.mark.parametrize("is_rectified", [True, False])
def test_which_layers_end_in_a_relu(is_rectified: bool) -> None:
    net = Net(file_of(HEAD + relu("c2") * is_rectified + POOL), seed=3)
    nodes = {node.spec.name: node for node in net.nodes}
    sums = sums_of(net.spec, nodes)
    assert {name: x.ends_rectified for name, x in sums.items()} == {"c1": False, "c2": is_rectified}


def test_offset_is_the_result_of_zeros() -> None:
    net = Net(file_of(HEAD), seed=3)
    nodes = {node.spec.name: node for node in net.nodes}
    with torch.no_grad():
        for node in net.nodes:
            if node.spec.name == "c1":
                for blob in node.masters:
                    blob.tensor.zero_()
        net.forward({"x": torch.zeros(2, 4, 8, 8)})
    want = net.blobs["c2"].tensor[0, :, 0, 0]
    found = torch.from_numpy(sums_of(net.spec, nodes)["c2"].offset(5)).float()
    torch.testing.assert_close(found, want)


BN = (
    'layer { name: "bn" type: "BatchNorm" bottom: "end" top: "end" }\n'
    'layer { name: "sc" type: "Scale" bottom: "end" top: "end" scale_param { bias_term: true'
    ' filler { type: "uniform" min: -1.5 max: 1.5 } bias_filler { type: "uniform" min: -0.4 } } }\n'
)
ENDS = {
    "convolution": weights("end", "Convolution", "c1", "num_output: 5 kernel_size: 3"),
    "groups": weights("end", "Convolution", "c1", "num_output: 6 kernel_size: 1 group: 2") + BN,
    "depthwise": weights("end", "ConvolutionDepthwise", "c1", "num_output: 8 kernel_size: 3"),
    "deconvolution": weights(
        "end", "Deconvolution", "c1", "num_output: 4 kernel_size: 2 stride: 2"
    ),
    "no bias": weights(
        "end", "Convolution", "c1", "bias_term: false num_output: 16 kernel_size: 3"
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_last_layers_of_every_kind(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result of a whole net comes closer to the float net's on images that took no part."""
    text = (
        'layer { name: "in" type: "Input" top: "x"'
        " input_param { shape { dim: 2 dim: 4 dim: 8 dim: 8 } } }\n"
        + weights("c1", "Convolution", "x", "num_output: 8 kernel_size: 3 pad: 1")
        + relu("c1")
        + ENDS[end]
        + relu("end")
    )
    formats = replace(FORMATS, bits=[8, "end:weight=3"])
    made = refine(formats, text=text)
    monkeypatch.setattr(Gated, "of", lambda *_, **__: None)
    plain = refine(formats, text=text)
    x = samples(256, 9)
    with torch.no_grad():
        want = trained(text).forward({"x": x})["end"].clone()
        errors = [
            float((low_net(one, text).forward({"x": x})["end"] - want).square().mean())
            for one in (made, plain)
        ]
    found = made.weights.get("end")
    assert found is not None
    values = torch.from_numpy(found.blobs[0].copy())
    assert torch.equal(made.proposal.plan[Point("end", "weight")].quantize(values), values)
    most = (
        0.9 if end in ("groups", "deconvolution", "no bias") else 1.05
    )  # in others little is cut off
    assert errors[0] < most * errors[1]
