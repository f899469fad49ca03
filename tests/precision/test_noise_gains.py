"""Noise gains against the definition, entry by entry, on nets of several kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from google.protobuf import text_format
from torch import Tensor

from adaption.errors import FieldError, NonFiniteError, ShapeError
from adaption.graph import NetSpec, NetState, build_spec
from adaption.io.caffemodel import read_weights
from adaption.io.weights import Weights
from adaption.net import Net
from adaption.precision.noise_gains import Gains, noise_gains
from adaption.proto import caffe_pb2
from adaption.recipes.per_tensor_sites import Tensors, tensors_of
from adaption.recipes.view import view_of_spec

INPUT = """layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } shape { dim: 1 } } }
"""
FILL = 'weight_filler { type: "gaussian" std: 0.4 } bias_filler { type: "gaussian" std: 0.1 }'
WHOLE = f"kernel_size: 4 {FILL}"
END = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "z" bottom: "label" top: "loss" }'


def layer(name: str, kind: str, bottom: str, top: str, more: str = "") -> str:
    bottoms = " ".join(f'bottom: "{b}"' for b in bottom.split())
    tops = " ".join(f'top: "{t}"' for t in top.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} {tops} {more} }}\n'


def conv(name: str, bottom: str, more: str = "", top: str = "") -> str:
    size = f"convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {FILL} {more} }}"
    return layer(name, "Convolution", bottom, top or name, size)


def fc(name: str, bottom: str, count: int = 3, more: str = "") -> str:
    size = f"inner_product_param {{ num_output: {count} {FILL} {more} }}"
    return layer(name, "InnerProduct", bottom, name, size)


def clip(name: str, blob: str) -> str:
    return layer(name, "Clip", blob, blob, "clip_param { min: 0 max: 2 }")


POOL = layer("p", "Pooling", "a", "p", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
SHARED = 'param { name: "w" } param { name: "b" }'


def shared(name: str, bottom: str) -> str:
    return conv(name, bottom).replace("convolution_param", f"{SHARED} convolution_param")


def reshape(name: str, bottom: str, *dims: int) -> str:
    shape = " ".join(f"dim: {n}" for n in dims)
    return layer(name, "Reshape", bottom, name, f"reshape_param {{ shape {{ {shape} }} }}")


NETS = {
    "inner products": fc("a", "x", 5) + clip("r", "a") + fc("z", "a"),
    "transposed": fc("a", "x", 5, "transpose: true") + clip("r", "a") + fc("z", "a"),
    "convolutions": conv("a", "x") + clip("r", "a") + POOL + conv("b", "p") + clip("q", "b")
    + fc("z", "b"),
    "groups": conv("a", "x", "group: 2") + clip("r", "a") + conv("b", "a", "group: 2")
    + clip("q", "b") + fc("z", "b"),
    "one place": conv("a", "x") + clip("r", "a")
    + layer("b", "Convolution", "a", "b", f"convolution_param {{ num_output: 6 {WHOLE} }}")
    + clip("q", "b") + fc("z", "b"),
    "batch norm": conv("a", "x") + layer("bn", "BatchNorm", "a", "a")
    + layer("s", "Scale", "a", "a", "scale_param { bias_term: true }") + clip("r", "a")
    + fc("z", "a"),
    "residual": conv("a", "x") + clip("r", "a") + conv("b", "a") + layer("e", "Eltwise", "a b", "e")
    + clip("q", "e") + fc("z", "e"),
    "two readers of the input": conv("a", "x") + conv("b", "x") + layer("e", "Eltwise", "a b", "e")
    + clip("q", "e") + fc("z", "e"),
    "shared weights": conv("a", "x") + clip("r", "a")
    + shared("b", "a") + clip("q", "b") + shared("c", "b")
    + clip("t", "c") + fc("z", "c"),
    "samples on another axis": reshape("f", "x", -1, 8)
    + fc("a", "f", 4) + clip("r", "a")
    + reshape("g", "a", -1, 16) + fc("z", "g"),
    "an auxiliary head": conv("a", "x") + clip("r", "a") + fc("aux", "a")
    + layer("loss2", "SoftmaxWithLoss", "aux label", "loss2") + conv("b", "a") + clip("q", "b")
    + fc("z", "b"),
}  # fmt: skip


class Case:
    def __init__(self, name: str, folder: Path) -> None:
        message = text_format.Parse(INPUT + NETS[name] + END, caffe_pb2.NetParameter())
        self.spec: NetSpec = build_spec(message, NetState("TEST"))
        self.tensors: Tensors = tensors_of(view_of_spec(self.spec).layers)
        net = Net(self.spec, seed=7)
        if name == "batch norm":
            mean, variance, factor = net.params["bn"]
            mean.data[...] = (0.1, -0.2, 0.0, 0.3)
            variance.data[...] = (0.5, 1.5, 1.0, 0.7)
            factor.data[...] = 1
            net.params["s"][0].data[...] = (0.9, -0.4, 0.7, 1.0)
        net.save(folder / "net.caffemodel")
        self.weights: Weights = read_weights(folder / "net.caffemodel")
        generator = torch.Generator().manual_seed(1)
        self.x = torch.rand(5, 2, 4, 4, generator=generator)

    def gains(self, chunk: int) -> Gains:
        batches = [
            {"x": self.x[:3], "label": torch.zeros(3)},
            {"x": self.x[3:], "label": torch.zeros(2)},
        ]
        return noise_gains(self.spec, self.weights, self.tensors, "z", batches, chunk=chunk)


def by_definition(case: Case) -> tuple[dict[str, float], dict[str, float]]:
    """The formula of the module, with autograd over a plain run of the layers, one by one."""
    net = Net(case.spec, case.weights)
    owners: dict[int, Tensor] = {}
    masters: dict[str, list[Tensor]] = {}
    for node in net.nodes:
        learns = node.spec.name in case.tensors.weight_layers
        masters[node.spec.name] = [
            owners.setdefault(
                id(getattr(b, "owner", b)), b.tensor.detach().clone().requires_grad_(learns)
            )
            for b in node.masters
        ]
    weights = dict.fromkeys(case.tensors.weight_layers, 0.0)
    sites = {site.layer: 0.0 for site in case.tensors.sites}
    for sample in case.x:
        noise: dict[str, list[Tensor]] = {site.layer: [] for site in case.tensors.sites}
        blobs: dict[str, Tensor] = {"x": sample[None], "label": torch.zeros(1)}
        inputs = {n: s.layer for s in case.tensors.sites if s.is_input for n in s.readers}
        for node in net.nodes:
            if node.spec.is_input or node.layer.is_loss:
                continue
            bottoms = [blobs[b] for b in node.spec.bottoms]
            site = inputs.get(node.spec.name)
            if site is not None:  # noise on the input is the same for all its readers
                if not noise[site]:
                    noise[site].append(torch.zeros_like(bottoms[0]).requires_grad_())
                bottoms = [bottoms[0] + noise[site][0]]
            y = node.layer.run(node.runtime, *bottoms, *masters[node.spec.name])
            tops = list(y) if isinstance(y, tuple | list) else [y]
            if node.spec.name in sites and site is None:
                noise[node.spec.name].append(torch.zeros_like(tops[0]).requires_grad_())
                tops = [tops[0] + noise[node.spec.name][0]]
            blobs.update(zip(node.spec.tops, tops, strict=True))
        z = blobs["z"][0]
        f = int(z.argmax())
        for i in range(len(z)):
            if i == f:
                continue
            difference = z[i] - z[f]
            factor = 1 / (2 * float(difference.detach()) ** 2)
            for name in weights:
                weights[name] += factor * _square(difference, masters[name][0])
            for name in sites:
                sites[name] += factor * _square(difference, noise[name][0])
    count = len(case.x)
    return {n: v / count for n, v in weights.items()}, {n: v / count for n, v in sites.items()}


def _square(y: Tensor, x: Tensor) -> float:
    (grad,) = torch.autograd.grad(y, x, retain_graph=True, allow_unused=True)
    return 0.0 if grad is None else float(grad.double().square().sum())


@pytest.mark.parametrize("name", NETS)
def test_gains_are_those_of_the_definition(name: str, tmp_path: Path) -> None:
    case = Case(name, tmp_path)
    weights, sites = by_definition(case)
    for chunk in (1, 2, 4):
        found = case.gains(chunk)
        assert (found.samples, found.ties) == (5, 0)
        own, activations = found.estimate()
        assert own == pytest.approx(weights, rel=1e-3)  # float32 sums in another order
        assert activations == pytest.approx(sites, rel=1e-3)
    if name == "an auxiliary head":
        assert own["aux"] == 0 and own["a"] > 0


def test_samples_that_act_on_each_other_go_one_by_one(tmp_path: Path) -> None:
    """Batch norm of the batch gives a sample alone another result than among others."""
    case = Case("batch norm", tmp_path)
    message = text_format.Parse(INPUT + NETS["batch norm"] + END, caffe_pb2.NetParameter())
    message.layer[2].batch_norm_param.use_global_stats = False
    case.spec = build_spec(message, NetState("TEST"))
    assert case.gains(4).estimate() == case.gains(1).estimate()


def test_the_median_is_over_samples(tmp_path: Path) -> None:
    case = Case("inner products", tmp_path)
    found = case.gains(2)
    weights, activations = found.estimate("median")
    assert weights["a"] == sorted(found.weights["a"])[2]
    assert activations["r"] == sorted(found.activations["r"])[2]
    with pytest.raises(FieldError, match="gain_estimate is 'mode', allowed: mean, median"):
        found.estimate("mode")


def test_equal_scores_are_left_out_and_counted(tmp_path: Path) -> None:
    case = Case("inner products", tmp_path)
    net = Net(case.spec, case.weights)
    net.params["z"][0].data[1] = net.params["z"][0].data[0]
    net.params["z"][1].data[1] = net.params["z"][1].data[0]
    net.save(tmp_path / "net.caffemodel")
    case.weights = read_weights(tmp_path / "net.caffemodel")
    found = case.gains(2)
    first = [float(z.argmax()) < 2 for z in _scores(case)]
    assert found.ties == sum(first)
    assert all(value < float("inf") for value in found.weights["a"])


def _scores(case: Case) -> Tensor:
    net = Net(case.spec, case.weights)
    with torch.no_grad():
        net.forward({"x": case.x, "label": torch.zeros(5)})
    return net.blobs["z"].tensor


def test_scores_by_place_are_refused(tmp_path: Path) -> None:
    case = Case("convolutions", tmp_path)
    with pytest.raises(ShapeError) as caught:
        noise_gains(case.spec, case.weights, case.tensors, "b", [{"x": case.x}])
    assert str(caught.value).startswith(
        'blob "b" of shape (1, 4, 2, 2) holds no class scores, allowed: (N, K), one score per class'
    )


def test_a_net_that_has_diverged_is_named(tmp_path: Path) -> None:
    case = Case("inner products", tmp_path)
    net = Net(case.spec, case.weights)
    net.params["z"][1].data[0] = float("nan")
    net.save(tmp_path / "net.caffemodel")
    case.weights = read_weights(tmp_path / "net.caffemodel")
    with pytest.raises(NonFiniteError, match="the class scores of the float net hold inf or NaN"):
        case.gains(1)
