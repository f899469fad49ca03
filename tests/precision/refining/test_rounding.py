"""Rounding that compensates, on a Hessian of correlated inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adaption.precision.refining.moments import Moments
from adaption.precision.refining.rounding import Hessian, loss, round_compensating


def problem(groups: int = 2, size: int = 150) -> tuple[torch.Tensor, Hessian]:
    """Targets (G, 5, d) in steps, and the Hessian of inputs that go together; d > BLOCK."""
    values = torch.Generator().manual_seed(0)
    mixed = torch.randn(groups, size, size, generator=values, dtype=torch.float64)
    columns = torch.randn(groups, 400, size, generator=values, dtype=torch.float64) @ mixed
    target = 3 * torch.randn(groups, 5, size, generator=values, dtype=torch.float64)
    return target, Hessian.of(columns.mT @ columns / 400)


def test_factor_of_the_inverse() -> None:
    target, hessian = problem()
    inverse = torch.from_numpy(np.linalg.inv(hessian.matrix.numpy()))
    torch.testing.assert_close(hessian.factor.mT @ hessian.factor, inverse)
    assert torch.equal(hessian.factor, hessian.factor.triu())
    torch.testing.assert_close(hessian.solve(target), target @ inverse)


@pytest.mark.parametrize("sweeps", [0, 4])
def test_errors_cancel(sweeps: int) -> None:
    target, hessian = problem()
    codes = round_compensating(target, hessian, -7, 7, sweeps=sweeps)
    assert torch.equal(codes, codes.round()) and codes.abs().max() <= 7
    nearest = target.round().clamp(-7, 7)
    ours, theirs = (loss(target, x, hessian.matrix) for x in (codes, nearest))
    assert (ours < 0.7 * theirs).all(), "each row is better than rounded to the nearest"


def test_sweeps_go_on_from_one_pass() -> None:
    target, hessian = problem()
    one, more = (round_compensating(target, hessian, -7, 7, sweeps=n) for n in (0, 4))
    assert (loss(target, more, hessian.matrix) <= loss(target, one, hessian.matrix)).all()
    assert loss(target, more, hessian.matrix).sum() < loss(target, one, hessian.matrix).sum()


def test_zeros_stay() -> None:
    target, hessian = problem()
    zeros = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    codes = round_compensating(target.masked_fill(zeros, 0), hessian, -7, 7, zeros)
    assert (codes[zeros] == 0).all() and (codes[~zeros] != 0).any()


def test_inputs_that_are_always_zero() -> None:
    dead = Hessian.of(torch.zeros(1, 3, 3, dtype=torch.float64))
    codes = round_compensating(torch.full((1, 2, 3), 1.2, dtype=torch.float64), dead, -7, 7)
    assert (codes == 1).all()


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(
    ("outputs", "inputs"),
    [
        pytest.param(4, 6, id="many outputs"),
        pytest.param(3, 6, id="few outputs"),
        pytest.param(3, 100, id="inputs in two blocks"),
        pytest.param(60, 100, id="many outputs, inputs in two blocks"),
    ],
)
def test_target_is_the_least_squares_solution(outputs: int, inputs: int, centred: bool) -> None:
    """T = W + D / H gives the float result best on the columns that the rounded net reads."""
    values = torch.Generator().manual_seed(0)
    u = torch.randn(1, 300, inputs, generator=values) + 2
    v = u + 0.3 * torch.randn(1, 300, inputs, generator=values) + 0.5
    weight = torch.randn(1, outputs, inputs, generator=values)
    moments = Moments.of(weight)
    for part in (slice(0, 130), slice(130, None)):
        moments.add(u[:, part], v[:, part])
    hessian = moments.hessian(centred=centred)
    inverse = torch.from_numpy(np.linalg.inv(hessian.numpy()))
    target = weight.double() + moments.drift(centred=centred) @ inverse
    x, y = u[0].double(), (v @ weight.mT)[0].double()
    if centred:
        x, y = x - x.mean(0), y - y.mean(0)
    wanted = torch.linalg.lstsq(x, y).solution.T
    torch.testing.assert_close(target[0], wanted, rtol=1e-4, atol=1e-5)  # sums in float32
    shift = moments.shift(target)
    gap = (v @ weight.mT)[0].double().mean(0) - (u[0].double() @ target[0].T).mean(0)
    torch.testing.assert_close(shift[0], gap, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("groups", "size"), [(1, 5), (3, 4)])
def test_a_hessian_takes_the_memory_of_its_moments(groups: int, size: int) -> None:
    columns = torch.randn(groups, 40, size, generator=torch.Generator().manual_seed(0))
    weight = torch.ones(groups, 2, size)
    moments = Moments.of(weight)
    moments.add(columns, columns)
    want = moments.hessian(centred=True)
    taken = moments.taken_hessian(centred=True)
    assert torch.equal(taken, want) and not moments.uu.numel()
    made = Hessian.of(taken, 0.01)
    assert made.matrix.data_ptr() == taken.data_ptr()
    extra = 0.01 * want.diagonal(dim1=1, dim2=2).mean(1)
    damped = want + extra[:, None, None] * torch.eye(size)
    torch.testing.assert_close(made.matrix, damped)
    torch.testing.assert_close(made.factor, made.factor.triu())
    identity = torch.eye(size, dtype=torch.float64).expand_as(damped)
    torch.testing.assert_close(made.factor.mT @ made.factor @ damped, identity)
