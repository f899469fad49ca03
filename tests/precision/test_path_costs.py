"""What a position of the path costs: against the net itself; and the reasons, word by word."""

from __future__ import annotations

from pathlib import Path

import pytest

from adaption.graph import NetSpec
from adaption.io.netfile import read_net
from adaption.net import Point
from adaption.numerics import FixedPoint
from adaption.options import Budget
from adaption.precision.allocation import path_of
from adaption.precision.inference_cost import inference_cost
from adaption.precision.path_costs import PathCosts
from adaption.precision.proposal import Choice, Proposal
from adaption.precision.propose import as_spec
from adaption.precision.rewrite import rewrite

NET = Path(__file__).resolve().parents[2] / "models/lenet_digits/deploy.prototxt"
ERRORS = {
    "conv1": {2: 0.5, 3: 0.25, 4: 0.125},
    "conv2": {2: 0.02, 3: 0.01, 4: 0.0},
    "ip1": {2: 0.4, 3: 0.004, 4: 0.001},
    "ip2": {4: 0.0},
}
WIDEST = dict.fromkeys(ERRORS, 4)


def low(lengths: dict[str, int]) -> NetSpec:
    choices = {
        Point(name, "weight"): Choice(FixedPoint(bits, 1), "as the test says")
        for name, bits in lengths.items()
    }
    return as_spec(rewrite(read_net(NET), Proposal("digits", choices=choices)))


@pytest.mark.parametrize("budget", [Budget(max_size=1), Budget(max_macbits=1)])
def test_costs_are_those_of_a_net_with_these_lengths(budget: Budget) -> None:
    costs = PathCosts.of(low(WIDEST), WIDEST, budget)
    path = path_of(ERRORS, {name: costs.per_bit(name) for name in ERRORS})
    for k in range(len(path) + 1):
        at, net = costs.at(path, k), inference_cost(low(path.lengths(k)))
        assert (at["parameter_bits"], at["mac_bits"]) == (net.parameter_bits, net.mac_bits)
    assert not costs.fits(path.lengths(len(path)))


def test_reasons() -> None:
    costs = PathCosts.of(low(WIDEST), WIDEST, Budget(max_size=1))
    path = path_of(ERRORS, {name: costs.per_bit(name) for name in ERRORS})
    k = next(i for i, cut in enumerate(path.cuts) if cut.layer == "ip1") + 1
    bits = costs.per_bit("ip1")
    assert costs.reason(path, k, "ip1") == (
        f"from 4 to 3 bits saves {bits:,} weight bits for 0.3 % error;"
        f" 2 bits would save {bits:,} for 40 %"
    )
    assert costs.reason(path, k, "ip2") == "the only length"
    first = costs.per_bit("conv1")
    assert costs.reason(path, 0, "conv1") == f"3 bits would save {first:,} for 12 %"
    assert costs.reason(path, len(path), "conv1").endswith("; the fewest bits allowed")
