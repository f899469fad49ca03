"""Memory, operations and energy of one inference, counted by hand."""

from __future__ import annotations

import pytest

from adaption.precision.energy import mac_energy_pj
from adaption.precision.inference_cost import inference_cost
from adaption.precision.live_blobs import activation_peak
from tests.precision.test_cost_records import MAX, conv, fc, fixed, layer, spec_of

ACT = layer("act", "LPAct", "c1", "c1", fixed("activation", 8))
RELU = layer("relu", "ReLU", "c1", "c1")
POOL = layer("pool", "Pooling", "c1", "pool", MAX)
NET = (
    conv("c1", "data", fixed("weight", 4))
    + ACT
    + RELU
    + POOL
    + fc("ip", "pool", fixed("weight", 8))
)


def test_bits_of_a_small_net() -> None:
    """data 2 x 8 x 8 in float, c1 4 x 8 x 8 of 8 bits, pool 4 x 4 x 4, ip 3 in float."""
    found = inference_cost(spec_of(NET), zero_shares={"ip": 0.5})
    assert found.parameters == 2 * 4 + 4 + 64 * 3 + 3
    assert found.parameter_bits == 2 * 4 * 4 + 4 * 32 + 64 * 3 * 8 + 3 * 32
    assert (found.peak.bits, found.peak.layer) == (128 * 32 + 256 * 8, "c1")
    conv_macs, ip_macs = 64 * 2 * 4, 64 * 3
    assert found.macs == conv_macs + ip_macs
    assert found.mac_bits == conv_macs * (4 + 32) + ip_macs * (8 + 8)
    assert found.bit_operations == conv_macs * 4 * 32 + ip_macs * 8 * 8
    assert found.zero_skippable_macs == ip_macs // 2


def test_energy_adds_operations_weights_and_results() -> None:
    energy = inference_cost(spec_of(NET), zero_shares={"ip": 0.5}).energy
    conv_macs, ip_macs = 64 * 2 * 4, 64 * 3
    assert energy.arithmetic_pj == pytest.approx(conv_macs * 4.6 + ip_macs * 0.3)
    assert energy.arithmetic_skipping_zeros_pj == pytest.approx(conv_macs * 4.6 + ip_macs * 0.15)
    assert energy.weights_pj == pytest.approx((32 + 128 + 1536 + 96) * 1300 / 64)
    # Read: data in 32 bits, pool in 8. Given: c1 becomes 8 bits, ip stays float.
    moved = 128 * 32 + 256 * 8 + 64 * 8 + 3 * 32
    assert energy.activations_pj == pytest.approx(moved * 20 / 64)
    assert energy.total_pj == pytest.approx(
        energy.arithmetic_pj + energy.weights_pj + energy.activations_pj
    )


def test_in_float_nothing_is_rounded() -> None:
    found = inference_cost(spec_of(NET), in_float=True)
    assert found.parameter_bits == 32 * found.parameters
    assert found.mac_bits == 64 * found.macs
    assert found.peak.bits == (128 + 256) * 32
    assert found.energy.arithmetic_pj == pytest.approx(4.6 * found.macs)


@pytest.mark.parametrize(
    ("bits", "picojoules"),
    [((8, 8), 0.2 + 0.1), ((16, 16), 0.8 + 0.1), ((4, 8), 0.1 + 0.1), ((8, 32), 4.6)],
)
def test_energy_of_a_mac(bits: tuple[int, int], picojoules: float) -> None:
    assert mac_energy_pj(*bits) == pytest.approx(picojoules)


def test_a_batch_counts_once() -> None:
    assert inference_cost(spec_of(NET, batch=4)).to_dict() == inference_cost(spec_of(NET)).to_dict()


def test_shared_weights_count_once() -> None:
    shared = 'param { name: "w" } param { name: "b" }'
    text = conv("c1", "data", shared) + conv("c2", "data", shared)
    assert inference_cost(spec_of(text)).parameters == 2 * 4 + 4


@pytest.mark.parametrize(
    ("text", "values", "at"),
    [
        # A branch is alive until its last reader: c1 and c2 and their sum.
        (
            conv("c1", "data")
            + conv("c2", "c1")
            + layer("sum", "Eltwise", "c1 c2", "sum")
            + fc("ip", "sum"),
            3 * 256,
            "sum",
        ),
        # A ReLU of a top of its own takes no memory where nobody else reads its bottom.
        (conv("c1", "data") + layer("r", "ReLU", "c1", "r") + fc("ip", "r"), 128 + 256, "c1"),
        # But it does where somebody does.
        (
            conv("c1", "data")
            + layer("r", "ReLU", "c1", "r")
            + layer("sum", "Eltwise", "c1 r", "sum")
            + fc("ip", "sum"),
            3 * 256,
            "sum",
        ),
        # Flatten is another view; Permute moves values.
        (conv("c1", "data") + layer("f", "Flatten", "c1", "f") + fc("ip", "f"), 128 + 256, "c1"),
        (
            conv("c1", "data")
            + layer("p", "Permute", "c1", "p", "permute_param { order: 0 order: 2 order: 1 }")
            + fc("ip", "p"),
            256 + 256,
            "p",
        ),
    ],
    ids=["branch", "neuron", "neuron beside a reader", "view", "move"],
)  # fmt: skip
def test_what_is_alive_at_once(text: str, values: int, at: str) -> None:
    found = activation_peak(spec_of(text))
    assert (found.bits, found.layer) == (32 * values, at)
