"""How noise on gradients grows between an activation and a weight, against the whole Jacobian."""

from __future__ import annotations

import pytest
import torch

from adaption.net import Net, Point
from adaption.precision.noise_paths import noise_paths
from adaption.recipes.per_tensor_sites import Tensors, tensors_of
from adaption.recipes.per_tensor_statistics import patch_energy
from adaption.recipes.view import view_of_net
from tests.precision.test_noise_gains import END, INPUT, POOL, clip, conv, fc, layer
from tests.recipes.nets import net_of

BATCH = INPUT.replace("dim: 1 dim: 2 dim: 4 dim: 4", "dim: 3 dim: 2 dim: 4 dim: 4").replace(
    "shape { dim: 1 }", "shape { dim: 3 }"
)
BN = layer("bn", "BatchNorm", "a", "a")
SCALE = layer("s", "Scale", "a", "a", "scale_param { bias_term: true }")
AVERAGE = POOL.replace("MAX", "AVE")

NETS = {
    "batch norm": conv("a", "x") + BN + SCALE + clip("r", "a") + fc("z", "a"),
    "pooling before the neuron": conv("a", "x") + POOL + clip("r", "p") + fc("z", "p"),
    "averages before the neuron": conv("a", "x") + AVERAGE + clip("r", "p") + fc("z", "p"),
    "a weighted sum": conv("a", "x") + conv("b", "x")
    + layer("e", "Eltwise", "a b", "e", "eltwise_param { coeff: 2 coeff: 1 }") + clip("r", "e")
    + fc("z", "e"),
}  # fmt: skip


def made(name: str) -> tuple[Net, Tensors]:
    text = BATCH + NETS[name] + END
    net = net_of(text, "TRAIN", seed=3)
    if name == "batch norm":
        net.params["s"][0].data[...] = (0.9, -0.4, 3.0, 1.0)
    generator = torch.Generator().manual_seed(5)
    net.blobs["x"].set(torch.rand(3, 2, 4, 4, generator=generator))
    net.blobs["label"].set(torch.zeros(3))
    return net, tensors_of(view_of_net(net).layers)


def squared_jacobian(net: Net, weight_layer: str, place: str) -> float:
    """Sum of squares of d(gradient of the weight) / d(gradient below the neuron), over weights."""
    with torch.enable_grad():
        net.forward()
    index = net.index(place)
    node = net.nodes[index]
    blob = net.blobs[node.spec.bottoms[0] if node.layer.kind == "activation" else node.spec.tops[0]]
    start = index - 1 if node.layer.kind == "activation" else index
    total = 0.0
    for i in range(blob.tensor.numel()):
        for other in net.blobs.values():
            other.set_grad(None)
        net.clear_param_diffs()
        one = torch.zeros(blob.tensor.numel())
        one[i] = 1
        blob.set_grad(one.view(blob.tensor.shape))
        net.backward(start=net.nodes[start].spec.name, end=weight_layer)
        total += float(net.params[weight_layer][0].grad.double().square().sum())
    return total / net.params[weight_layer][0].grad.numel()


@pytest.mark.parametrize("name", NETS)
def test_factors_are_those_of_the_jacobian(name: str) -> None:
    net, tensors = made(name)
    point = Point("r", "activation_grad")
    found = noise_paths(net, tensors, batches=100, seed=1)
    with torch.enable_grad():
        net.forward()
    energy = float(patch_energy(net.nodes[net.index("a")].layer, net.blobs["x"].tensor))
    want = squared_jacobian(net, "a", "r")
    # Random signs: the mean of so many draws is good to a few percent.
    assert found["a", point] * energy == pytest.approx(want, rel=0.15)
    assert found["z", Point("z", "activation_grad")] == 1.0
    if name in ("batch norm", "a weighted sum"):
        assert found["a", point] > 2  # a step chosen without it would be too wide
    if name == "pooling before the neuron":
        assert found["a", point] < 0.5


def test_nothing_is_measured_where_nothing_stands_between() -> None:
    net = net_of(BATCH + conv("a", "x") + clip("r", "a") + fc("z", "a") + END, "TRAIN")
    found = noise_paths(net, tensors_of(view_of_net(net).layers), batches=1, seed=0)
    assert found == {
        ("a", Point("r", "activation_grad")): 1.0,
        ("z", Point("z", "activation_grad")): 1.0,
    }
    assert all(node.tape is None for node in net.nodes)  # no pass was made


def test_factors_are_reproducible() -> None:
    (first, a), (second, b) = made("batch norm"), made("batch norm")
    assert noise_paths(first, a, batches=2, seed=4) == noise_paths(second, b, batches=2, seed=4)
