"""Rounded copies of weights: made when needed, never stale, never kept for backward."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from adaption.net import Net, Point
from adaption.numerics import FixedPoint
from tests.net.nets import GAUSSIAN, data, inner_product, layer, lp_inner_product, net_of, normal

FIXED = "kind: FIXED word_length: 4 frac_length: 2"
LP = data(4, 3) + lp_inner_product("q", "data")
BY_PRECISION = data(4, 3) + inner_product(
    "q", "data", more=f"precision_param {{ weight {{ {FIXED} }} }}"
)
X = normal(4, 3)
Q22 = FixedPoint.q("2.2")


@dataclass(frozen=True)
class Counted(FixedPoint):
    """A format that counts its uses."""

    uses: list[int] = field(default_factory=list, compare=False)

    def quantize_(self, x: torch.Tensor, generator: Any = None, **options: Any) -> torch.Tensor:
        self.uses.append(1)
        return super().quantize_(x, generator, **options)


def counted(text: str) -> tuple[Net, Counted]:
    net, fmt = net_of(text), Counted(4, 2)
    net.set_plan({Point("q", "weight"): fmt})
    return net, fmt


both = pytest.mark.parametrize("text", [LP, BY_PRECISION], ids=["LP", "precision_param"])


@both
def test_weights_are_rounded_once(text: str) -> None:
    net, fmt = counted(text)
    for _ in range(3):
        net.forward(data=X)
    assert len(fmt.uses) == 1
    net.params["q"][0].data.sum()  # who reads may have written: once more, then no more
    for _ in range(3):
        net.forward(data=X)
    assert len(fmt.uses) == 2


def load_file(net: Net, tmp_path: Path) -> None:
    twin = net_of(LP, seed=9)
    twin.save(tmp_path / "w.caffemodel")
    net.load(tmp_path / "w.caffemodel")


def step(net: Net, tmp_path: Path) -> None:
    net.params["q"][0].add_grad(torch.ones(3, 3))
    torch.optim.SGD(net.parameters(), lr=1.0).step()


def assign(net: Net, tmp_path: Path) -> None:
    next(net.parameters()).data = torch.ones(3, 3)


def in_place(net: Net, tmp_path: Path) -> None:
    with torch.no_grad():
        next(net.parameters()).mul_(0.5)


def through_a_view(net: Net, tmp_path: Path) -> None:
    net.params["q"][0].data[...] *= 0.5


def init(net: Net, tmp_path: Path) -> None:
    nn.init.constant_(next(net.parameters()), 0.6)


def around_the_version(net: Net, tmp_path: Path) -> None:
    next(net.parameters()).data.mul_(0.5)


def state(net: Net, tmp_path: Path) -> None:
    net.load_state_dict({k: v * 0.5 for k, v in net.state_dict().items()})


def vector(net: Net, tmp_path: Path) -> None:
    flat = nn.utils.parameters_to_vector(net.parameters())
    nn.utils.vector_to_parameters(flat * 0.5, net.parameters())


def rounded_torch(net: Net, tmp_path: Path) -> None:
    if len(net.params["q"]) == 4:
        net.params["q"][1].tensor.zero_()


def rounded_numpy(net: Net, tmp_path: Path) -> None:
    if len(net.params["q"]) == 4:
        net.params["q"][1].data[...] = 0


def new_format(net: Net, tmp_path: Path) -> None:
    net.set_plan({Point("q", "weight"): FixedPoint(4, 1)})


WAYS = [
    *(load_file, step, assign, in_place, through_a_view, init, around_the_version, state, vector),
    *(rounded_torch, rounded_numpy, new_format),
]


@pytest.mark.parametrize("change", WAYS, ids=lambda f: f.__name__)
@both
def test_no_way_of_changing_weights_goes_unseen(
    text: str, change: Callable[[Net, Path], None], tmp_path: Path
) -> None:
    net = net_of(text)
    net.forward(data=X)
    change(net, tmp_path)
    w, b = (blob.tensor.detach() for blob in net.nodes[1].masters)
    fmt = net.nodes[1].formats.weight
    assert fmt is not None
    want = torch.nn.functional.linear(X, fmt.quantize(w), b)
    assert torch.equal(net.forward(data=X)["q"], want)


@both
def test_a_held_view_may_be_written_at_any_time(text: str) -> None:
    net = net_of(text)
    view = net.params["q"][0].data
    for value in (0.3, 0.6, 0.9):
        view[...] = value
        bias = net.nodes[1].masters[1].tensor.detach()
        want = X.sum(1, keepdim=True) * round(value * 4) / 4 + bias
        torch.testing.assert_close(net.forward(data=X)["q"], want.expand(4, 3))


@both
def test_stochastic_rounding_draws_anew_each_pass(text: str) -> None:
    text = text.replace("frac_length: 2", "frac_length: 2 rounding: STOCHASTIC").replace(
        "bd: 2 ad: 2", "bd: 2 ad: 2 rounding_scheme: STOCHASTIC"
    )
    net = net_of(text)
    outs = [net.forward(data=X)["q"].clone() for _ in range(5)]
    assert len({tuple(o.flatten().tolist()) for o in outs}) > 1


# -- precision_param on a plain layer equals the low-precision layer -------------------------------

CONV = "convolution_param { num_output: 4 kernel_size: 3 pad: 1 " + GAUSSIAN + " }"


@pytest.mark.parametrize("round_bias", [False, True])
def test_precision_param_gives_the_numbers_of_the_low_precision_layers(round_bias: bool) -> None:
    points = f"weight {{ {FIXED} }} activation {{ {FIXED} }}"
    points += f" bias {{ {FIXED} }}" if round_bias else ""
    plain = data(2, 3, 5, 5) + layer(
        "Convolution", "c", "data", more=f"{CONV} precision_param {{ {points} }}"
    )
    lpfp = f"lpfp_param {{ bd: 2 ad: 2 round_bias: {str(round_bias).lower()} }}"
    low = data(2, 3, 5, 5) + layer("LPConvolution", "c", "data", more=f"{CONV} {lpfp}")
    low += layer("LPAct", "act", "c", "c", "lpfp_param { bd: 2 ad: 2 }")
    one, two = (net_of(text + "force_backward: true") for text in (plain, low))
    for i in range(2):
        two.params["c"][2 * i].data[...] = one.params["c"][i].data
    x, g = normal(2, 3, 5, 5, seed=2), normal(2, 4, 5, 5, seed=3)
    for net in (one, two):
        net.forward(data=x)
        net.blobs["c"].diff[...] = g
        net.backward()
    assert torch.equal(one.blobs["c"].tensor, two.blobs["c"].tensor)
    assert torch.equal(one.blobs["data"].grad, two.blobs["data"].grad)
    for i in range(2):
        assert torch.equal(one.params["c"][i].grad, two.params["c"][2 * i].grad)
    assert torch.equal(one.blobs["c"].tensor, Q22.quantize(one.blobs["c"].tensor))


def test_gradients_use_the_full_precision_weights() -> None:
    net = net_of(BY_PRECISION + "force_backward: true")
    net.forward(data=X)
    net.blobs["q"].diff[...] = 1
    net.backward()
    want = torch.ones(4, 3) @ net.params["q"][0].tensor.detach()
    torch.testing.assert_close(net.blobs["data"].grad, want)


# -- memory --------------------------------------------------------------------------------------


def kept_bytes(net: Net) -> int:
    """Bytes that autograd keeps beside the net's own blobs, each piece of memory once."""
    own = {b.tensor.untyped_storage().data_ptr() for b in net.blobs.values()}
    own |= {b.tensor.untyped_storage().data_ptr() for bs in net.params.values() for b in bs}
    kept: dict[int, int] = {}

    def pack(saved: torch.Tensor) -> torch.Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        net.forward()
    return sum(kept.values())


@pytest.mark.parametrize("text", [LP, data(4, 3) + inner_product("q", "data")])
def test_no_rounded_copy_is_kept_for_backward(text: str) -> None:
    assert kept_bytes(net_of(text + "force_backward: true")) == 0


# -- torch's tools -------------------------------------------------------------------------------

LOSS = data(4, 3, name="t") + layer("EuclideanLoss", "loss", "q t")


@pytest.mark.parametrize("text", [LP, BY_PRECISION], ids=["LP", "precision_param"])
def test_torch_optim_trains_the_master_weights(text: str) -> None:
    net = net_of(text + LOSS, phase="TRAIN")
    assert [n for n, _ in net.named_parameters()] == ["q:0", "q:2" if text is LP else "q:1"]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.5)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        net.forward(data=X, t=X)
        losses.append(net.loss())
        net.backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]
    rounded = net.nodes[1].quantized_blobs()[0]
    assert torch.equal(rounded, Q22.quantize(net.params["q"][0].tensor.detach()))


def test_a_step_of_sgd_is_weights_minus_diff() -> None:
    net = net_of(LP + LOSS, phase="TRAIN")
    net.forward(data=X, t=X)
    net.backward()
    before, diff = (net.params["q"][0].data.copy(), net.params["q"][0].diff.copy())
    torch.optim.SGD(net.parameters(), lr=1.0).step()
    np.testing.assert_allclose(net.params["q"][0].data, before - diff)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad_clears_the_diffs(set_to_none: bool) -> None:
    net = net_of(LP + LOSS, phase="TRAIN")
    net.forward(data=X, t=X)
    net.backward()
    assert net.params["q"][0].diff.any()
    net.zero_grad(set_to_none=set_to_none)
    assert not net.params["q"][0].diff.any()


def test_state_dict_holds_the_masters() -> None:
    net = net_of(LP)
    state = net.state_dict()
    assert list(state) == ["q:0", "q:2"]
    twin = net_of(LP, seed=5)
    twin.load_state_dict(state)
    assert torch.equal(twin.forward(data=X)["q"], net.forward(data=X)["q"])


# -- read by others: as fresh as the masters, at every moment -------------------------------------


def write(net: Net, tmp_path: Path) -> None:
    net.params["q"][0].data[...] = np.linspace(-2, 2, 9).reshape(3, 3)


def other_formats(net: Net, tmp_path: Path) -> None:
    net.set_plan({Point("q", "weight"): FixedPoint.q("2.5"), Point("q", "bias"): None})


@pytest.mark.parametrize("change", [write, load_file, step, other_formats])
@pytest.mark.parametrize("ran", [False, True], ids=["before any pass", "after one"])
def test_rounded_blobs_follow_at_every_moment(
    change: Callable[[Net, Path], None], ran: bool, tmp_path: Path
) -> None:
    net = net_of(LP, seed=1)
    if ran:
        net.forward(data=X)
    change(net, tmp_path)
    master, rounded, bias, rounded_bias = net.params["q"]
    node = net.nodes[net.index("q")]
    for made, kind, whole in ((rounded, "weight", master), (rounded_bias, "bias", bias)):
        fmt = node.formats.of(kind)
        want = whole.tensor.detach().clone()
        want = want if fmt is None else fmt.quantize(want)
        assert np.array_equal(made.data, want.numpy())
        assert torch.equal(made.tensor.detach(), want)
    held = master.data
    held[0, 0] = 0.3  # by a view that somebody holds
    assert rounded.data[0, 0] == node.formats.weight.quantize(torch.tensor(0.3))  # type: ignore[union-attr]


def test_what_is_written_into_a_rounded_blob_is_void() -> None:
    net = net_of(LP, seed=1)
    want = net.params["q"][1].data.copy()
    net.params["q"][1].data[...] = 7
    assert np.array_equal(net.params["q"][1].data, want)
    assert torch.equal(net.forward(data=X)["q"], net_of(LP, seed=1).forward(data=X)["q"])


def test_looking_draws_no_random_numbers() -> None:
    text = data(4, 3) + layer(
        "LPInnerProduct", "q", "data",
        more=f"inner_product_param {{ num_output: 3 {GAUSSIAN} }} lpfp_param {{ bd: 2 ad: 2"
        " rounding_scheme: STOCHASTIC }",
    )  # fmt: skip
    looked, plain = net_of(text, seed=4), net_of(text, seed=4)
    for _ in range(3):
        first = looked.params["q"][1].data.copy()
        assert np.array_equal(looked.params["q"][1].data, first)
        assert torch.equal(looked.forward(data=X)["q"], plain.forward(data=X)["q"])


def test_as_many_writes_to_a_copy_are_not_taken_for_those_before_it() -> None:
    net = net_of(BY_PRECISION, seed=1)
    with torch.no_grad():
        net.params["q"][0].tensor.mul_(2)
    want = net.forward(data=X)["q"].clone()
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin.params["q"][0].tensor.mul_(0)
    assert torch.equal(twin.forward(data=X)["q"], twin.params["q"][1].tensor.expand(4, 3))
    assert torch.equal(net.forward(data=X)["q"], want)


def test_a_copied_net_follows_its_own_masters() -> None:
    net = net_of(LP, seed=1)
    twin = copy.deepcopy(net)
    twin.params["q"][0].data[...] = 1
    assert (twin.params["q"][1].data == 1).all()
    assert not (net.params["q"][1].data == 1).all()
