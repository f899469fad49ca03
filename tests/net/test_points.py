"""What is rounded at which point, against the three products written out, and who sees it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from adaption.errors import FieldError, NonFiniteError
from adaption.net import Net, Point
from adaption.net.plan import KINDS
from adaption.numerics import DynamicFixed, FixedPoint, Format, Wrpn, number_format
from tests.net.nets import (
    GAUSSIAN,
    data,
    euclidean,
    inner_product,
    layer,
    lp_inner_product,
    net_of,
    normal,
)

Q = FixedPoint.q
X, T = normal(5, 4), normal(5, 3, seed=1)
TWO = data(5, 4) + data(5, 3, name="target")
ONE = TWO + inner_product("ip", "data") + euclidean("loss", "ip target")
BOTTOM, WEIGHT, BIAS, TOP, DELTA = (Q(t) for t in ("2.3", "2.4", "1.5", "3.2", "2.6"))
OPERANDS = {
    Point("ip", "bottom"): BOTTOM,
    Point("ip", "weight"): WEIGHT,
    Point("ip", "bias"): BIAS,
    Point("ip", "activation"): TOP,
    Point("ip", "activation_grad"): DELTA,
}


def passed(net: Net, **inputs: Tensor) -> Net:
    with torch.enable_grad():
        net.forward({"data": X, "target": T, **inputs})
    net.backward()
    return net


def forced(text: str = ONE, **options: Any) -> Net:
    return net_of("force_backward: true\n" + text, phase="TRAIN", **options)


def grads(net: Net, layer_name: str = "ip") -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of weight, bias and bottom."""
    weight, bias = net.params[layer_name][:2]
    return weight.grad, bias.grad, net.blobs["data"].grad


# -- the three products --------------------------------------------------------------------------


@pytest.mark.parametrize("backward", ["MASTER", "QUANTIZED"])
def test_every_product_reads_the_rounded_operands(backward: str) -> None:
    net = forced()
    net.set_plan(OPERANDS, backward_weights=backward)
    w, b = (blob.tensor.detach().clone() for blob in net.params["ip"])
    passed(net)
    x, wq = BOTTOM.quantize(X), WEIGHT.quantize(w)
    assert torch.equal(net.blobs["ip"].tensor, TOP.quantize(x @ wq.T + BIAS.quantize(b)))
    delta = DELTA.quantize((net.blobs["ip"].tensor - T) / 5)
    dw, db, dx = grads(net)
    assert torch.equal(dw, delta.T @ x)
    assert torch.equal(db, delta.sum(0))
    assert torch.equal(dx, delta @ (w if backward == "MASTER" else wq))
    assert torch.equal(net.blobs["data"].tensor, X)  # its own view alone is rounded


def test_other_readers_see_the_bottom_as_it_is() -> None:
    both = TWO + inner_product("ip", "data") + inner_product("other", "data")
    net = forced(both + euclidean("loss", "ip target") + euclidean("loss2", "other target"))
    net.set_plan({Point("ip", "bottom"): BOTTOM})
    passed(net)
    other = net.params["other"]
    assert torch.equal(net.blobs["other"].tensor, X @ other[0].tensor.T + other[1].tensor.detach())


CONVOLUTION = f"convolution_param {{ num_output: 2 kernel_size: 3 pad: 1 {GAUSSIAN} }}"


@pytest.mark.parametrize("name", ["in_place", "top"])
def test_convolutions_read_the_rounded_operands(name: str) -> None:
    text = data(2, 3, 5, 5) + layer("Convolution", "c", "data", more=CONVOLUTION)
    text += layer(
        "LPAct", "a", "c", "c" if name == "in_place" else "a", "lpfp_param { bd: 3 ad: 2 }"
    )
    text += layer("Reduction", "sum", "c" if name == "in_place" else "a", more="loss_weight: 1")
    net = forced(text)
    net.set_plan(
        {
            Point("c", "bottom"): BOTTOM,
            Point("c", "weight"): WEIGHT,
            Point("c", "activation_grad"): Q("1.1"),
        },
        backward_weights="QUANTIZED",
    )
    x = normal(2, 3, 5, 5)
    with torch.enable_grad():
        net.forward(data=x)
    net.backward()
    w, b = (blob.tensor.detach() for blob in net.params["c"])
    xq = BOTTOM.quantize(x).requires_grad_()
    wq = WEIGHT.quantize(w).requires_grad_()
    y = torch.nn.functional.conv2d(xq, wq, b, padding=1)
    y.backward(torch.full_like(y, 0.5))  # Q1.1 saturates the ones of the sum at 0.5
    assert wq.grad is not None and xq.grad is not None
    torch.testing.assert_close(net.params["c"][0].grad, wq.grad, rtol=0, atol=1e-6)
    torch.testing.assert_close(net.blobs["data"].grad, xq.grad, rtol=0, atol=1e-6)


def test_a_pass_without_gradients_gives_the_same_top() -> None:
    for fmt in (BOTTOM, DynamicFixed(4, -1), Wrpn(3)):
        net = forced()
        net.set_plan({**OPERANDS, Point("ip", "bottom"): fmt})
        tops = []
        for mode in (torch.enable_grad, torch.no_grad):
            with mode():
                net.forward(data=X, target=T)
            tops.append(net.blobs["ip"].tensor.clone())
        assert torch.equal(*tops)


def test_labels_are_no_numbers_to_be_rounded() -> None:
    text = data(5, 4) + data(5, name="label") + layer("SoftmaxWithLoss", "loss", "data label")
    net = forced(text)
    net.set_plan({Point("loss", "bottom"): Q("2.0")})
    labels = torch.tensor([3.0, 2, 3, 3, 0])  # beyond Q2.0
    want = torch.nn.functional.cross_entropy(Q("2.0").quantize(X), labels.long())
    with torch.no_grad():
        net.forward(data=X, label=labels)
    torch.testing.assert_close(net.blobs["loss"].tensor, want)


# -- saturation masks ----------------------------------------------------------------------------


def masked(text: str) -> Format:
    fmt = number_format(kind="FIXED", word_length=3, frac_length=2, mask_saturated=True)
    assert fmt is not None and str(fmt) == text
    return fmt


def test_no_gradient_where_a_value_was_beyond_the_range() -> None:
    fmt = masked("Q1.2")  # -0.75 .. 0.75
    for kind in ("bottom", "activation", "weight", "bias"):
        net, plain = forced(), forced()
        net.set_plan({Point("ip", kind): fmt})
        plain.set_plan({Point("ip", kind): Q("1.2")})
        w, b = (blob.tensor.detach() for blob in net.params["ip"])
        before = {"bottom": X, "weight": w, "bias": b}.get(kind)
        if before is None:
            before = X @ w.T + b
        inside = (before.abs() <= 0.75).float()
        got, want = grads(passed(net)), grads(passed(plain))
        if kind == "bottom":
            assert torch.equal(got[2], want[2] * inside)
        elif kind == "activation":
            delta = (plain.blobs["ip"].tensor - T) / 5 * inside
            torch.testing.assert_close(got[0], delta.T @ X)
        else:
            index = ("weight", "bias").index(kind)
            assert torch.equal(got[index], want[index] * inside)
        assert not torch.equal(got[0], want[0]) or kind in ("bottom", "bias")


def test_masks_are_closed_and_clip_like_a_relu() -> None:
    text = data(1, 5) + layer("LPAct", "a", "data", more="precision_param { activation {"
                              " kind: WRPN word_length: 2 is_signed: false } }")  # fmt: skip
    net = forced(text + layer("Reduction", "sum", "a", more="loss_weight: 1"))
    with torch.enable_grad():
        net.forward(data=torch.tensor([[-0.1, 0.0, 0.4, 1.0, 1.1]]))
    net.backward()
    assert net.blobs["data"].grad.tolist() == [[0, 1, 1, 1, 0]]
    torch.testing.assert_close(net.blobs["a"].tensor, torch.tensor([[0, 0, 1 / 3, 1, 1]]))


def kept_bytes(net: Net) -> int:
    """Of storages that tapes and graphs hold on to, each counted once."""
    seen: dict[int, int] = {}

    def add(x: Tensor) -> None:
        storage = x.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()

    def walk(fn: Any, done: set[Any]) -> None:
        if fn is None or fn in done:
            return
        done.add(fn)
        for name in dir(fn):
            if name.startswith("_saved_"):
                value = getattr(fn, name)
                if isinstance(value, Tensor):
                    add(value)
        if (mask := getattr(fn, "mask", None)) is not None:
            add(mask.bits)
        for following, _ in getattr(fn, "next_functions", ()):
            walk(following, done)

    for node in net.nodes:
        if node.tape is not None:
            for x in (*node.tape.bottoms, *node.tape.tops):
                add(x)
                walk(x.grad_fn, set())
    return sum(seen.values())


def chain(rounding: str) -> str:
    text = data(16, 3, 32, 32)
    bottom = "data"
    for i in range(4):
        text += layer("Convolution", f"c{i}", bottom, more=CONVOLUTION.replace("2 k", "16 k"))
        text += layer("ReLU", f"r{i}", f"c{i}", f"c{i}") if not rounding else ""
        text += layer("LPAct", f"r{i}", f"c{i}", f"c{i}", rounding) if rounding else ""
        bottom = f"c{i}"
    return text + layer("Reduction", "sum", bottom, more="loss_weight: 1")


def test_masks_keep_one_bit_per_value() -> None:
    wrpn = "precision_param { activation { kind: WRPN word_length: 4 is_signed: false } }"
    sizes = []
    for rounding in ("", wrpn):
        net = forced(chain(rounding))
        with torch.enable_grad():
            net.forward(data=normal(16, 3, 32, 32))
        sizes.append(kept_bytes(net))
    assert sizes[1] <= 1.1 * sizes[0]


# -- formats that follow the tensor --------------------------------------------------------------


def test_each_bottom_has_its_own_exponent() -> None:
    text = data(2, 2, name="a") + data(2, 2, name="b") + layer("Eltwise", "sum", "a b")
    net = net_of(text)
    fmt = DynamicFixed(4)
    net.set_plan({Point("sum", "bottom"): fmt})
    small, large = normal(2, 2) / 100, normal(2, 2, seed=1) * 100
    top = net.forward(a=small, b=large)["sum"]
    assert torch.equal(top, fmt.quantize(small) + fmt.quantize(large))


def test_a_delayed_exponent_is_that_of_the_tensor_before() -> None:
    fmt = DynamicFixed(4, delayed=True)
    now = DynamicFixed(4)
    net = net_of(TWO + inner_product("ip", "data"), phase="TRAIN")
    net.set_plan({Point("ip", "bottom"): fmt})
    w, b = (blob.tensor.detach() for blob in net.params["ip"])

    def top(x: Tensor) -> Tensor:
        return net.forward(data=x)["ip"]

    torch.testing.assert_close(top(X), now.quantize(X) @ w.T + b)
    # Eight times as large: with the exponent of the pass before, the greatest values saturate.
    torch.testing.assert_close(top(8 * X), now.at(X).quantize(8 * X) @ w.T + b)
    torch.testing.assert_close(top(X), now.at(8 * X).quantize(X) @ w.T + b)


@pytest.mark.parametrize("kind", ["bottom", "weight", "activation", "activation_grad"])
def test_inf_and_nan_are_told_with_layer_and_point(kind: str) -> None:
    net = forced()
    net.set_plan({Point("ip", kind): DynamicFixed(8)})
    x = X.clone()
    if kind == "weight":
        net.params["ip"][0].data[0, 0] = float("nan")
    x[0, 0] = float("inf")
    with pytest.raises(NonFiniteError) as caught:
        passed(net, data=x)
    assert str(caught.value) == (
        f'net.prototxt:2: layer "ip" (InnerProduct): the {kind} to be rounded holds inf or NaN\n'
        "  fix: lower base_lr, set clip_gradients, or give this point a wider format"
    ).replace(":2:", f":{net.nodes[net.index('ip')].spec.line}:")


# -- who looks on --------------------------------------------------------------------------------


def test_watchers_see_tensors_before_they_are_rounded() -> None:
    net = forced()
    net.set_plan(OPERANDS)
    seen: dict[Point, Tensor] = {}
    net.watch(
        ("weight", "bottom", "activation", "activation_grad"), lambda p, x: seen.update({p: x})
    )
    passed(net)
    assert torch.equal(seen[Point("ip", "weight")], net.params["ip"][0].tensor)
    assert torch.equal(seen[Point("ip", "bottom")], X)
    torch.testing.assert_close(seen[Point("ip", "activation_grad")],
                               (net.blobs["ip"].tensor - T) / 5)  # fmt: skip
    assert not torch.equal(seen[Point("ip", "activation_grad")],
                           DELTA.quantize(seen[Point("ip", "activation_grad")]))  # fmt: skip
    seen.clear()
    with torch.no_grad():
        net.forward(data=X, target=T)
    assert not seen
    net.watch((), None)
    passed(net)
    assert not seen


# -- a plan that changes -------------------------------------------------------------------------

IN_PLACE = (
    data(2, 3, 6, 6)
    + layer("Convolution", "c1", "data", more=CONVOLUTION)
    + layer("BatchNorm", "bn", "c1", "c1", "batch_norm_param { use_global_stats: true }")
    + layer("Scale", "sc", "c1", "c1", "scale_param { bias_term: true }")
    + layer("ReLU", "r1", "c1", "c1")
    + layer("Convolution", "c2", "c1", more=f'{CONVOLUTION} param {{ name: "w" }} ')
    + layer("Convolution", "c3", "c2", more=f'{CONVOLUTION} param {{ name: "w" }} ')
    + layer("Eltwise", "sum", "c2 c3")
    + layer("LPAct", "a", "sum", "sum", "lpfp_param { bd: 4 ad: 4 }")
)
LOW = data(4, 3) + lp_inner_product("q", "data")
FLOAT = IN_PLACE.replace('type: "LPAct"', 'type: "Dropout"').replace(
    "lpfp_param { bd: 4 ad: 4 }", ""
)


def outputs(net: Net) -> list[Tensor]:
    shape = net.blobs["data"].shape
    with torch.no_grad():
        return [t.clone() for t in net.forward(data=normal(*shape)).values()]


@pytest.mark.parametrize("text", [IN_PLACE, FLOAT, LOW], ids=["in place", "float", "LP"])
def test_setting_a_plan_and_setting_it_back_gives_the_same_bits(text: str) -> None:
    net = net_of(text)
    before, plan = outputs(net), net.plan
    names = [n.spec.name for n in net.nodes if n.masters and not n.layer.writes_blobs]
    change: dict[Point, Format | None] = {Point(n, "weight"): Q("1.2") for n in names}
    change[Point(net.nodes[-1].spec.name, "activation")] = Q("2.1")
    net.set_plan(change)
    assert not torch.equal(outputs(net)[0], before[0])
    net.set_plan({point: plan.get(point) for point in change})
    assert net.plan == plan
    for got, want in zip(outputs(net), before, strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize("text", [IN_PLACE, FLOAT, LOW], ids=["in place", "float", "LP"])
def test_a_plan_is_obeyed_with_and_without_an_observer(text: str) -> None:
    net = net_of(text)
    for kind, fmt in (("activation", Q("2.1")), ("bottom", Q("1.1")), ("weight", DynamicFixed(3))):
        names = [n.spec.name for n in net.nodes if not n.spec.is_input and n.spec.type != "Split"]
        if kind == "weight":
            names = [n.spec.name for n in net.nodes if n.masters and not n.layer.writes_blobs]
        net.set_plan({Point(n, kind): fmt for n in names})
        alone = outputs(net)
        shape = net.blobs["data"].shape
        with torch.no_grad():
            seen = net.forward(data=normal(*shape), observer=lambda *_: None).values()
        for got, want in zip(seen, alone, strict=True):
            assert torch.equal(got, want)


def test_followers_take_the_plan_where_they_have_the_layer() -> None:
    train = net_of(TWO + inner_product("ip", "data") + inner_product("train_only", "data"))
    test = net_of(data(5, 4) + inner_product("ip", "data"))
    train.followers = [test]
    train.set_plan({Point("ip", "weight"): Q("1.3"), Point("train_only", "weight"): Q("1.2")})
    assert test.plan == {Point("ip", "weight"): Q("1.3")}


@pytest.mark.parametrize(
    ("point", "fmt", "want"),
    [
        (Point("ip", "wieght"), Q("1.2"), "point is 'ip:wieght', allowed: kinds"
         f" {', '.join(KINDS)}\n  fix: did you mean weight?"),
        (Point("ipp", "weight"), Q("1.2"), "point is 'ipp:weight', allowed: layers of the net\n"
         "  fix: did you mean ip?"),
        (Point("loss", "weight"), Q("1.2"), "precision_param.weight is 'set', allowed: layers with"
         " a weight\n  fix: remove it from this layer"),
        (Point("data", "activation"), Q("1.2"), "precision_param.activation is 'set', allowed:"
         " layers that compute\n  fix: put an LPAct layer behind the data"),
        (Point("ip", "bias"), Wrpn(2, is_signed=False), "precision_param.bias is 'A2', allowed: the"
         " weight rule of WRPN (is_signed: true)"),
    ],
    ids=["kind", "layer", "no weight", "input", "format"],
)  # fmt: skip
def test_bad_plans_change_nothing(point: Point, fmt: Format, want: str) -> None:
    net = forced()
    with pytest.raises(FieldError) as caught:
        net.set_plan({Point("ip", "activation"): TOP, point: fmt})
    assert str(caught.value).endswith(want)
    assert not net.plan


def test_formats_of_a_living_net_change_by_set_plan_alone() -> None:
    net = forced()
    with pytest.raises(AttributeError):
        net.nodes[-1].formats = net.nodes[0].formats  # type: ignore[misc]
