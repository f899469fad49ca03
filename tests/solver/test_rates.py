"""The smallest learning rate that a run uses, of every lr_policy."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from adaption.errors import FieldError
from adaption.proto.caffe_pb2 import SolverParameter
from adaption.solver.rates import smallest_rate


def solver(text: str) -> SolverParameter:
    return text_format.Parse(text, SolverParameter())


@pytest.mark.parametrize(
    ("text", "least", "zeros"),
    [
        ('lr_policy: "fixed" base_lr: 0.1 max_iter: 7', 0.1, 0),
        # The step at max_iter itself is never used.
        ('lr_policy: "step" base_lr: 1 gamma: 0.1 stepsize: 5 max_iter: 10', 0.1, 0),
        ('lr_policy: "step" base_lr: 1 gamma: 0.1 stepsize: 5 max_iter: 11', 0.01, 0),
        (
            'lr_policy: "multistep" base_lr: 1 gamma: 0.1 stepvalue: 3 stepvalue: 90 max_iter: 9',
            0.1,
            0,
        ),
        # A rate that grows: the start is the least.
        ('lr_policy: "step" base_lr: 0.01 gamma: 10 stepsize: 5 max_iter: 10', 0.01, 0),
        ('lr_policy: "inv" base_lr: 1 gamma: 1 power: 1 max_iter: 4', 0.25, 0),
        ('lr_policy: "exp" base_lr: 1 gamma: 0.5 max_iter: 4', 0.125, 0),
        # poly comes to 0 at max_iter, which no iteration has.
        ('lr_policy: "poly" base_lr: 1 power: 1 max_iter: 4', 0.25, 0),
        # Rates that float32 does not hold are 0.
        ('lr_policy: "exp" base_lr: 1 gamma: 1e-20 max_iter: 4', 1e-40, 1),
    ],
)
def test_smallest_rate(text: str, least: float, zeros: int) -> None:
    found = smallest_rate(solver(text))
    assert found[0] == pytest.approx(least, rel=1e-4) and found[1] == zeros


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('lr_policy: "fixed" base_lr: 0.1', "max_iter is 'not set'"),
        ('lr_policy: "fixed" base_lr: 0 max_iter: 3', "base_lr is 0.0, allowed: a learning rate"),
    ],
)
def test_runs_without_a_rate_are_refused(text: str, said: str) -> None:
    with pytest.raises(FieldError) as caught:
        smallest_rate(solver(text))
    assert said in str(caught.value)
