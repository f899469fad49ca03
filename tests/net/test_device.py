"""Nets on a device: which there are, and that they compute, load, save and share as on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.errors import UsageError, WeightsError
from adaption.net import Net
from adaption.net.device import as_device, true_float32
from tests.net.nets import data, euclidean, layer, lp_inner_product, net_of, normal
from tests.pretended_cuda import CUDA, pretended_cuda

TRAINED = (
    data(4, 5)
    + data(4, 3, name="target")
    + layer("Dropout", "drop", "data")
    + lp_inner_product("ip1", "drop", 6, "bd: 2 ad: 4")
    + layer("ReLU", "relu", "ip1", "ip1")
    + lp_inner_product("ip2", "ip1", 3, "bd: 2 ad: 5 rounding_scheme: STOCHASTIC")
    + layer("LPAct", "act", "ip2", more="lpfp_param { bd: 3 ad: 6 }")
    + euclidean("loss", "act target")
)
GIVEN = {"data": normal(4, 5), "target": normal(4, 3, seed=1)}


@pytest.fixture
def cuda() -> Iterator[None]:
    with pretended_cuda():
        yield


def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("device", ["cpu", "cpu:0", torch.device("cpu")])
def test_the_cpu(device: str | torch.device) -> None:
    assert as_device(device) == torch.device("cpu")


@pytest.mark.parametrize("device", ["cuda", "cuda:0", CUDA])
def test_a_gpu(device: str | torch.device, cuda: None) -> None:
    assert as_device(device) == CUDA


@pytest.mark.parametrize("device", ["tpu", "gpu:0", "meta", "", "cuda:x"])
def test_what_is_no_device(device: str) -> None:
    with pytest.raises(UsageError) as caught:
        as_device(device)
    fact, *fix = str(caught.value).split("\n")
    assert fact == f"device is {device!r}, allowed: cpu, cuda, cuda:0, cuda:1, ..."
    near = {"tpu": "cpu", "cuda:x": "cuda:1"}
    assert fix == ([f"  fix: did you mean {near[device]}?"] if device in near else [])


def test_a_gpu_too_many(cuda: None) -> None:
    with pytest.raises(UsageError) as caught:
        as_device("cuda:1")
    assert str(caught.value) == (
        "no CUDA device 1: torch.cuda.device_count() is 1\n  fix: give a number in 0..0"
    )


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    no_cuda(monkeypatch)
    with pytest.raises(UsageError) as caught:
        net_of(TRAINED, device="cuda")
    assert str(caught.value) == (
        "no CUDA device: torch.cuda.is_available() is False\n"
        "  fix: compute on the CPU, or install torch with CUDA and the driver of the GPU"
    )


def steps(net: Net, count: int = 3) -> list[torch.Tensor]:
    """Losses and parameters of a few steps with an optimizer of torch."""
    net.manual_seed(5)  # on the CPU, fillers have drawn from the generator of the passes
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    made = []
    for _ in range(count):
        net.forward(GIVEN)
        net.clear_param_diffs()
        net.backward()
        optimizer.step()
        made += [net.blobs["loss"].tensor, *(p.detach().clone() for p in net.parameters())]
    return [t.cpu() for t in made]


def test_training_is_that_of_the_cpu() -> None:
    want = steps(net_of(TRAINED, phase="TRAIN"))
    with pretended_cuda():
        net = net_of(TRAINED, phase="TRAIN", device="cuda:0")
        assert {b.device for b in net.blobs.values()} == {CUDA}
        assert {b.device for blobs in net.params.values() for b in blobs} == {CUDA}
        found = steps(net)
    for one, other in zip(found, want, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_weights_are_saved_and_loaded_through_the_host(tmp_path: Path, cuda: None) -> None:
    net = net_of(TRAINED, device="cuda:0")
    view = net.params["ip1"][0].data
    net.params["ip1"][2].data[...] = 0.25  # nobody holds this view when the net is saved
    for name in ("w.caffemodel", "w.caffemodel.h5"):
        net.save(tmp_path / name)
        for device in ("cpu", "cuda:0"):
            other = net_of(TRAINED, tmp_path / name, device=device, seed=7)
            for mine, its in zip(net.params["ip1"], other.params["ip1"], strict=True):
                np.testing.assert_array_equal(mine.data, its.data)
    other = net_of(TRAINED, device="cuda:0", seed=7)
    other.save(tmp_path / "other.caffemodel")
    net.load(tmp_path / "other.caffemodel")
    np.testing.assert_array_equal(view, other.params["ip1"][0].data)


def test_a_net_that_shares_the_weights_of_another(cuda: None) -> None:
    net, other = (net_of(TRAINED, phase=phase, device="cuda:0") for phase in ("TRAIN", "TEST"))
    other.share_with(net)
    for _ in steps(net):
        pass
    np.testing.assert_array_equal(net.params["ip1"][0].data, other.params["ip1"][0].data)
    np.testing.assert_array_equal(
        net.params["ip1"][0].tensor.cpu(), other.params["ip1"][0].tensor.cpu()
    )


def test_weights_are_not_shared_between_devices(cuda: None) -> None:
    with pytest.raises(WeightsError, match=r'"ip1" \(cpu here, cuda:0 there\)'):
        net_of(TRAINED).share_with(net_of(TRAINED, device="cuda:0"))


def test_seeds(cuda: None) -> None:
    """Weights are drawn on the host, so they are the same; passes draw on the device."""
    net = net_of(TRAINED, device="cuda:0", seed=3)
    assert (net.generator.device, net.host_generator.device) == (CUDA, torch.device("cpu"))
    np.testing.assert_array_equal(
        net.params["ip1"][0].data, net_of(TRAINED, seed=3).params["ip1"][0].data
    )
    drawn = []
    for _ in range(2):
        net.manual_seed(5)
        drawn.append((net.generator.get_state(), net.host_generator.get_state()))
    assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))
    assert not torch.equal(net_of(TRAINED, device="cuda:0").generator.get_state(), drawn[0][0])
    cpu = net_of(TRAINED)
    assert cpu.generator is cpu.host_generator


def test_reshape(cuda: None) -> None:
    net = net_of(data(2, 3) + lp_inner_product("ip", "data"), device="cuda:0")
    want = net_of(data(2, 3) + lp_inner_product("ip", "data"))
    for rows in (2, 5, 1):
        x = normal(rows, 3, seed=rows)
        found = net.forward({"data": x.numpy()})["ip"]
        assert torch.equal(found.cpu(), want.forward(data=x)["ip"])


def test_float32_keeps_its_bits(cuda: None) -> None:
    before = torch.backends.cudnn.allow_tf32
    with true_float32(CUDA):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before
    with true_float32(torch.device("cpu")):
        assert torch.backends.cudnn.allow_tf32 == before
