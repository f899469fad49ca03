"""Tuning step by step: the gradient against autograd's, what stays as it is, and going back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from adaption.errors import UsageError
from adaption.net import Net
from adaption.numerics.measures import divergence
from adaption.solver.tuning import TEMPERATURE, Tuner

POINTS = "lpfp_param { bd: 2 ad: 2 }"
TEXT = """
name: "pupil"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 2 dim: 6 dim: 6 } } }
layer { name: "conv" type: "%s" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 0.4 }
    bias_filler { type: "constant" value: 0.1 } } %s }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "ip" type: "%s" bottom: "bn" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.4 }
    bias_filler { type: "constant" value: 0.1 } } %s }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
LOW = TEXT % ("LPConvolution", POINTS, "LPInnerProduct", POINTS)
FULL = TEXT % ("Convolution", "", "InnerProduct", "")


def net_of(text: str, folder: Path, seed: int = 0) -> Net:
    path = folder / f"{hash(text)}.prototxt"
    path.write_text(text, "utf-8")
    net = Net(path, seed=seed)
    for node in net.nodes:
        if node.spec.type == "BatchNorm":
            for blob, value in zip(node.masters, (0.1, 2.0, 1.0), strict=True):
                blob.data[...] = value
    return net


def pair(folder: Path) -> tuple[Net, Net]:
    """A fixed-point net, and another float net of the same shape."""
    return net_of(LOW, folder), net_of(FULL, folder, seed=5)


def samples(count: int = 8) -> dict[str, Tensor]:
    values = np.random.default_rng(1).normal(size=(count, 2, 6, 6)).astype(np.float32)
    return {"data": torch.from_numpy(values)}


def masters(net: Net) -> list[Tensor]:
    return [blob.tensor.detach().clone() for node in net.nodes for blob in node.masters]


def test_divergence_is_that_of_the_formula_and_so_is_its_gradient() -> None:
    scores = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)
    wanted = torch.randn(4, 5, 3, dtype=torch.float64)
    heat = 3.0
    apart, gradient = divergence(scores.detach(), wanted, heat, 1)
    want = torch.nn.functional.kl_div(
        torch.log_softmax(scores / heat, 1), torch.softmax(wanted / heat, 1), reduction="none"
    )
    want = heat * heat * want.sum(1)
    torch.testing.assert_close(apart, want.detach())
    want.sum().backward()
    torch.testing.assert_close(gradient, scores.grad)


def test_a_batch_in_pieces_is_the_same_batch(tmp_path: Path) -> None:
    x = samples()["data"]
    made = []
    for pieces in ([{"data": x}], [{"data": x[:3]}, {"data": x[3:]}]):
        low, full = pair(tmp_path)
        tuner = Tuner(low, full, "prob", 4)
        loss = tuner.step(pieces)
        made.append((loss, masters(low), [p.blob.grad.clone() for p in tuner.params]))
    assert made[0][0] == pytest.approx(made[1][0], rel=1e-5)
    for a, b in zip(made[0][2], made[1][2], strict=True):
        torch.testing.assert_close(a, b)


def test_the_loss_is_a_mean_of_divergences_and_falls(tmp_path: Path) -> None:
    low, full = pair(tmp_path)
    inputs = samples()
    tuner = Tuner(low, full, "prob", 200)
    with torch.no_grad():
        scores = [net.forward(inputs, end="ip") and net.blobs["ip"].tensor for net in (low, full)]
    want = float(divergence(scores[0], scores[1], TEMPERATURE, 1)[0].mean())
    first = tuner.step([inputs])
    assert first == pytest.approx(want, rel=1e-5)
    before = tuner.distance([inputs])
    last = [tuner.step([inputs]) for _ in range(199)][-1]
    assert last < 0.5 * first
    after = tuner.distance([inputs])
    assert after.divergence < 0.5 * before.divergence and after.rows == before.rows == 8


def test_statistics_zeros_and_ranges_stay(tmp_path: Path) -> None:
    low, full = pair(tmp_path)
    conv, bn, ip = (low.nodes[low.index(name)] for name in ("conv", "bn", "ip"))
    statistics = [blob.tensor.clone() for blob in bn.masters]
    zeros = torch.rand(tuple(ip.masters[0].shape)) < 0.5
    with torch.no_grad():
        ip.masters[0].tensor[zeros] = 0
        conv.masters[0].tensor[0, 0, 0, 0] = 1.75  # the greatest value of Q2.2
    tuner = Tuner(low, full, "prob", 50, zeros={"ip": zeros.flatten()})
    for _ in range(50):
        tuner.step([samples()])
    assert all(torch.equal(a, b.tensor) for a, b in zip(statistics, bn.masters, strict=True))
    assert bool((ip.masters[0].tensor[zeros] == 0).all())
    assert bool((ip.masters[0].tensor[~zeros] != 0).all())
    form = conv.formats.weight
    assert form is not None
    assert float(conv.masters[0].tensor.max()) <= 1.75
    tuner.settle(is_taken=True)
    for node in (conv, ip):
        weight = node.masters[0].tensor.detach()
        assert torch.equal(form.quantize(weight), weight)  # type: ignore[union-attr]


def test_what_is_not_taken_leaves_the_net_as_it_was(tmp_path: Path) -> None:
    low, full = pair(tmp_path)
    before = masters(low)
    flags = [(n.needs_backward, n.propagate_down, n.learns) for n in low.nodes]
    tuner = Tuner(low, full, "prob", 3)
    for _ in range(3):
        tuner.step([samples()])
    assert not all(map(torch.equal, before, masters(low)))
    tuner.settle(is_taken=False)
    assert all(map(torch.equal, before, masters(low)))
    assert flags == [(n.needs_backward, n.propagate_down, n.learns) for n in low.nodes]


def test_scores_that_no_layer_makes_are_refused(tmp_path: Path) -> None:
    low, full = pair(tmp_path)
    with pytest.raises(UsageError, match="the result of no layer"):
        Tuner(low, full, "nothing", 1)
