"""The cost functions against the figures of the specs, on the nets in models/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import adaption
from adaption.errors import FieldError
from adaption.graph import NetState, build_spec
from adaption.io.netfile import NetFile, read_net
from adaption.precision.cost_model import (
    Activation,
    LayerCost,
    NetCost,
    as_float,
    memory,
    per_tensor,
    wrpn_cost,
)
from adaption.precision.cost_records import net_cost
from adaption.precision.widen import widen

MODELS = Path(__file__).resolve().parents[2] / "models"


def costs_of(net: NetFile) -> NetCost:
    return net_cost(build_spec(net.message, NetState(), file=net.file, lines=net.lines))


@cache
def model(name: str) -> NetCost:
    return costs_of(read_net(MODELS / name / "deploy.prototxt"))


# -- WRPN ----------------------------------------------------------------------------------------

CONFIGURATIONS = [(2, 8, 4), (2, 4, 4), (2, 2, 4), (2, 4, 2), (2, 2, 2), (2, 1, 1), (3, 1, 1)]
CONFIGURATIONS.append((1, 1, 1))


def rounded(net: NetCost, weight: int, activation: int) -> list[LayerCost]:
    """All layers but the first and the last with these bits."""
    first, *interior, last = net.layers
    bits = {"weight_bits": weight, "activation_bits": activation}
    return [first, *(replace(x, **bits) for x in interior), last]


@cache
def wide_resnet34(factor: int, stem: bool) -> NetCost:
    net = MODELS / "resnet34/deploy.prototxt"
    made = widen(net, factor=factor, widen_first=stem, project=not stem)
    return costs_of(made.nets[0])


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_interior_layers_cost_what_the_rule_says(configuration: tuple[int, int, int]) -> None:
    """Spec 6.3, third column: f^2 (b_w + b_a) / 64, exactly."""
    factor, weight, activation = configuration
    # Layers of stage 2 on read and make widened channels.
    layers = rounded(wide_resnet34(factor, stem=True), weight, activation)[1:-1]
    reference = model("resnet34").layers[1:-1]
    exact = factor**2 * (weight + activation) / 64
    assert wrpn_cost(layers) / wrpn_cost(reference) == exact


@pytest.mark.parametrize(
    ("stem", "want"),
    [
        pytest.param(
            True, [0.790, 0.549, 0.428, 0.428, 0.307, 0.186, 0.369, 0.063], id="widened stem"
        ),
        pytest.param(
            False,
            [0.7477, 0.5093, 0.3901, 0.3901, 0.2709, 0.1517, 0.2992, 0.0626],
            id="narrow stem with a projection",
        ),
    ],
)
def test_columns_of_resnet34(stem: bool, want: list[float]) -> None:
    """Spec 6.3, fifth column, and WR-1."""
    reference = wrpn_cost(model("resnet34").layers)
    digits = 3 if stem else 4
    found = [
        round(wrpn_cost(rounded(wide_resnet34(f, stem), w, a)) / reference, digits)
        for f, w, a in CONFIGURATIONS
    ]
    assert found == want


@pytest.mark.parametrize(
    ("factor", "costs"),
    [
        (2, {(4, 4): 0.5093, (2, 4): 0.3901, (1, 1): 0.1517}),
        (3, {(1, 1): 0.2992}),
    ],
)  # fmt: skip
def test_resnet34_from_prototxt_to_cost(factor: int, costs: dict[tuple[int, int], float]) -> None:
    """WR-1: widened with a projection, rewritten, counted with the bits that stand there."""
    net = MODELS / "resnet34/deploy.prototxt"
    wide = adaption.widen(net, factor=factor, widen_first=False, project=True).nets[0]
    found = {}
    for weight, activation in costs:
        low = adaption.rewrite(wide, recipe="wrpn", weight_bits=weight, activation_bits=activation)
        made = adaption.cost(low, against=net, batch=[1]).to_dict()
        found[weight, activation] = round(made["wrpn"]["relative"], 4)
    assert found == costs


def test_count_of_a_narrow_stem_that_no_net_has() -> None:
    """WR-1: the stem is not widened in the count only."""
    net = model("resnet34")
    stem, last = net.layers[0], net.layers[-1]
    found = []
    for factor, weight, activation in CONFIGURATIONS[:-1]:
        layers = []
        for x in rounded(net, weight, activation):
            grows = 1 if x.name == stem.name else factor
            if x.name not in (stem.name, last.name) and x.reads != (stem.feeds,):
                grows *= factor
            layers.append(replace(x, macs=x.macs * grows))
        found.append(round(wrpn_cost(layers) / wrpn_cost(net.layers), 4))
    assert found == [0.7464, 0.5084, 0.3894, 0.3894, 0.2705, 0.1515, 0.2989]


@pytest.mark.parametrize(
    ("batch", "weights", "activations", "dz", "dx", "share", "features"),
    [
        (1, 232.5, 2.5, 1.1, 0.3, 1, 1.7),
        (8, 232.5, 20.1, 8.9, 2.1, 8, 13.6),
        (32, 232.5, 80.5, 35.4, 8.5, 23, 54.3),
        (93, 232.5, 233.9, 103.0, 24.8, 39, 157.9),
        (128, 232.5, 321.9, 141.8, 34.2, 44, 217.3),
        (256, 232.5, 643.8, 283.6, 68.3, 52, 434.6),
    ],
)
def test_memory_of_alexnet(
    batch: int, weights: float, activations: float, dz: float, dx: float, share: int,
    features: float,
) -> None:  # fmt: skip
    """Spec 6.2, in MiB."""
    net = model("alexnet")
    assert (net.weights, net.outputs) == (60_954_656, 659_272)
    x = memory(net, batch)
    parts = (x.weights_bytes, x.activations_bytes, x.largest_dz_bytes, x.largest_dx_bytes)
    assert [round(p / 2**20, 1) for p in (*parts, x.feature_bytes)] == [
        weights, activations, dz, dx, features,
    ]  # fmt: skip
    assert round(100 * x.activations_bytes / x.training_bytes) == share
    assert x.training_bytes == sum(parts)
    assert x.inference_bytes == x.weights_bytes + x.feature_bytes


def test_activations_of_resnet34_pass_its_weights_at_batch_6() -> None:
    net = model("resnet34")
    assert round(net.weights / 1e6, 2) == 21.78 and round(net.outputs / 1e6, 2) == 3.74
    passes = [n for n in range(1, 10) if memory(net, n).activations_bytes > 4 * net.weights]
    assert passes[0] == 6


def chain(*bits: int) -> NetCost:
    """Two layers of 10 weights; bits of image, of the activation between, of its gradient."""
    image, between, gradient = bits
    activations = (
        Activation("image", 4, image, is_input=True),
        Activation("act", 6, between, gradient),
        Activation("result", 2),
    )
    layers = (
        LayerCost("a", "Convolution", 100, 10, 4, 8, ("image",), "act", 4, image),
        LayerCost("b", "InnerProduct", 10, 10, 6, 2, ("act",), "result", 32, between),
    )
    return NetCost(layers, activations)


def test_memory_counts_bits() -> None:
    found = memory(chain(8, 4, 16), batch=3)
    assert found.weights_bytes == (10 * 4 + 10 * 32) // 8
    assert found.activations_bytes == 3 * (8 * 4 + 2 * 32) // 8
    assert found.largest_dz_bytes == 3 * 8 * 16 // 8
    assert found.largest_dx_bytes == 3 * 6 * 16 // 8
    assert found.feature_bytes == 3 * (6 * 4 + 2 * 32) // 8  # layer a: 4 * 8 + 8 * 4
    with pytest.raises(FieldError, match="batch is 0, allowed: 1 or more"):
        memory(chain(8, 4, 16), 0)


# -- Sakr and Shanbhag ---------------------------------------------------------------------------

# Spec 6.2: the configuration with which the released ResNet-20 is trained.
B_W = [14, 13, 13, 13, 13, 14, 13, 14, 14, 14, 14, 14, 15, 14, 14, 14, 14, 14, 13, 13, 12, 10]
B_A = [8, 8, 7, 7, 6, 6, 6, 6, 6, 7, 7, 7, 7, 6, 6, 7, 6, 5, 4, 3]
B_GW = [11, 12, 12, *[11] * 15, 12, 12, 14, 14]
B_GA = [7, 10, 10, 11, 11, 11, 11, 10, 11, 11, 10, 9, 9, 10, 10, 11, 11, 11, 13, 15]
B_ACC = [9, 13, 13, 13, 13, 12, 13, 12, 12, 12, 12, 12, 11, 12, 13, 13, 13, 13, 15, 15, 18, 16]


def assigned(net: NetCost, accumulators: Sequence[int] = B_ACC) -> NetCost:
    """The net with the released configuration."""
    names = [x.name for x in net.activations]
    bits = dict(zip(names, [*B_A, 32], strict=True))
    gradients = dict(zip(names, [32, *B_GA], strict=True))
    activations = tuple(
        replace(x, bits=bits[x.name], grad_bits=gradients[x.name]) for x in net.activations
    )
    layers = tuple(
        replace(
            x,
            weight_bits=weight,
            activation_bits=bits[x.reads[0]],
            weight_grad_bits=gradient,
            accumulator_bits=accumulator,
        )
        for x, weight, gradient, accumulator in zip(
            net.layers, B_W, B_GW, accumulators, strict=True
        )
    )
    return NetCost(layers, activations)


def test_sizes_of_the_nets_of_the_paper() -> None:
    """Spec 7.3."""
    for name, weights, macs, activations in (
        ("cifar10_convnet_sakr", 1_542_848, 59_461_376, 145_664),
        ("cifar10_resnet20_wide", 18_588_032, 2_721_453_056, 1_510_400),
    ):
        net = model(name)
        assert (net.weights, net.macs) == (weights, macs)
        read = {a for x in net.layers for a in x.reads}
        assert sum(net.activation(a).size for a in read) == activations


def test_released_configuration() -> None:
    """Spec 6.2 and PT-2: 725.8, 25.09, 804.5 and 216.6; 785.0 as the paper indexes gradients."""
    net = assigned(model("cifar10_resnet20_wide"))
    found = per_tensor(net).to_dict()
    assert found == {
        "C_W": 725_805_824, "C_A": 25_092_246, "C_M": 804_537_603_072, "C_C": 216_575_104,
    }  # fmt: skip
    assert per_tensor(net, "paper").c_m == 785_023_732_736
    float_accumulators = assigned(model("cifar10_resnet20_wide"), [32] * 22)
    assert per_tensor(float_accumulators).c_w == 1_062_019_456  # SQ
    with pytest.raises(FieldError, match="cost_index is 'both', allowed: physical, paper"):
        per_tensor(net, "both")  # type: ignore[arg-type]


def binarized(net: NetCost) -> NetCost:
    layers = tuple(replace(x, weight_bits=1, activation_bits=1) for x in net.layers)
    return NetCost(layers, tuple(replace(x, bits=1) for x in net.activations))


def ternary_gradients(net: NetCost) -> NetCost:
    return replace(net, layers=tuple(replace(x, weight_grad_bits=2) for x in net.layers))


@pytest.mark.parametrize(
    ("name", "scheme", "c_w", "c_a", "c_m", "c_c"),
    [
        ("cifar10_convnet_sakr", as_float, 148.1, 9.32, 94.37, 49.4),
        ("cifar10_convnet_sakr", binarized, 100.3, 4.81, 2.79, 49.4),
        ("cifar10_convnet_sakr", ternary_gradients, 101.8, 9.32, 94.37, 3.09),
        ("cifar10_resnet20_wide", as_float, 1784.5, 96.7, 4318.9, 594.8),
        ("cifar10_resnet20_wide", binarized, 1208.2, 49.8, 127.9, 594.8),
        ("cifar10_resnet20_wide", ternary_gradients, 1226.8, 96.7, 4318.9, 37.2),
    ],
)
def test_schemes_of_the_paper(
    name: str, scheme: object, c_w: float, c_a: float, c_m: float, c_c: float
) -> None:
    """Spec 8.2, the check column; C_A as the paper indexes gradients, C_M by 23 x 23 mantissas."""
    net = scheme(model(name))  # type: ignore[operator]
    paper, physical = per_tensor(net, "paper"), per_tensor(net)
    assert physical.c_w / 1e6 == pytest.approx(c_w, abs=0.05)
    assert paper.c_a / 1e6 == pytest.approx(c_a, abs=0.05)
    assert physical.c_m / 1e9 == pytest.approx(c_m, abs=0.06)
    assert physical.c_c / 1e6 == pytest.approx(c_c, abs=0.05)


def test_small_net_of_the_spec() -> None:
    """Spec 11.7: 784-256-128-10; C_o and float, and PT-1's 8-bit input."""
    sizes = [784, 256, 128, 10]
    weight, activation, gradient = [7, 6, 5], [5, 4, 3, 32], [32, 8, 8, 9]

    def net(bits: Sequence[int]) -> NetCost:
        activations = tuple(
            Activation(str(i), size, bits[i], gradient[i], is_input=not i)
            for i, size in enumerate(sizes)
        )
        layers = tuple(
            LayerCost(
                *(f"fc{i}", "InnerProduct", n * k, n * k, k, n, (str(i),), str(i + 1)),
                *(weight[i], bits[i], (6, 6, 7)[i], 14),
            )
            for i, (k, n) in enumerate(pairwise(sizes))
        )
        return NetCost(layers, activations)

    found = per_tensor(net(activation)).to_dict()
    assert found["C_A"] == 8_490
    assert [f"{found[k]:.2e}" for k in ("C_W", "C_M", "C_C")] == [
        "6.30e+06",
        "2.98e+07",
        "1.41e+06",
    ]
    full = per_tensor(as_float(net(activation))).to_dict()
    assert full["C_A"] == 49_984
    assert [f"{full[k]:.3e}" for k in ("C_W", "C_M", "C_C")] == [
        "2.254e+07", "3.726e+08", "7.512e+06",
    ]  # fmt: skip
    eight = per_tensor(net([8, 4, 3, 32]))
    assert eight.c_a == 10_842 and f"{eight.c_m:.2e}" == "3.88e+07"
