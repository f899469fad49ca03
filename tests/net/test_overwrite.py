"""In-place layers that take their bottom's memory: same numbers, less memory, nobody's loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from adaption.net import Net
from tests.net.nets import data, inner_product, layer, net_of, normal

ACT = "lpfp_param { bd: 3 ad: 4 }"
FIXED = "precision_param { activation { kind: FIXED word_length: 6 frac_length: 3 } }"
MSRA = 'weight_filler { type: "msra" }'


def conv(name: str, bottom: str, kind: str = "LPConvolution", more: str = "") -> str:
    low = "lpfp_param { bd: 2 ad: 5 }" if kind.startswith("LP") else ""
    param = f"convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 {MSRA} }}"
    return layer(kind, name, bottom, more=f"{param} {low} {more}")


def act(blob: str, more: str = ACT) -> str:
    return layer("LPAct", f"{blob}_act", blob, blob, more)


def relu(blob: str, more: str = "") -> str:
    return layer("ReLU", f"{blob}_relu", blob, blob, more)


LOSS = inner_product("ip", "end", 4) + layer("SoftmaxWithLoss", "loss", "ip label")
POOL = layer("Pooling", "end", "c", more="pooling_param { kernel_size: 2 stride: 2 }")
HEAD = data(2, 3, 8, 8) + data(2, name="label")
NETS = {
    "float": conv("c", "data", "Convolution") + relu("c") + POOL,
    "low precision": conv("c", "data") + act("c") + relu("c") + POOL,
    "rounding last": conv("c", "data") + relu("c") + act("c") + POOL,
    "twice": conv("c", "data") + act("c") + act("c", "lpfp_param { bd: 2 ad: 2 }") + POOL,
    "leaky": conv("c", "data")
    + act("c")
    + relu("c", "relu_param { negative_slope: 0.1 }")
    + act("c")
    + POOL,
    "top of its own": conv("c", "data", more=FIXED) + relu("c") + POOL,
    "rounded ReLU": conv("c", "data") + relu("c", FIXED) + POOL,
    "behind what keeps its top": layer("Sigmoid", "c", "data") + act("c") + POOL,
    "behind the data": act("data") + conv("c", "data") + relu("c") + POOL,
    "not in place": conv("c", "data")
    + layer("LPAct", "d", "c", more=ACT)
    + layer("ReLU", "end", "d"),
    "two readers": conv("c", "data")
    + act("c")
    + relu("c")
    + layer("LPAct", "q", "c", more="lpfp_param { bd: 2 ad: 2 }")
    + layer("Eltwise", "end", "c q"),
    "residual": conv("c", "data")
    + act("c")
    + relu("c")
    + conv("d", "c")
    + layer("BatchNorm", "bn", "d", "d")
    + layer("Scale", "sc", "d", "d", "scale_param { bias_term: true }")
    + act("d")
    + layer("Eltwise", "end", "c d")
    + act("end")
    + relu("end"),
    "concat": conv("c", "data")
    + act("c")
    + relu("c")
    + conv("d", "data", "Convolution", FIXED)
    + relu("d")
    + layer("Concat", "end", "c d")
    + act("end"),
    "dropout": conv("c", "data") + act("c") + relu("c") + layer("Dropout", "d", "c", "c") + POOL,
    "stochastic": conv("c", "data")
    + act("c", "lpfp_param { bd: 3 ad: 1 rounding_scheme: STOCHASTIC }")
    + relu("c")
    + POOL,
    "inner products": inner_product("c", "data", 8)
    + act("c")
    + relu("c")
    + layer("Power", "end", "c"),
}  # fmt: skip
every_net = pytest.mark.parametrize("text", NETS.values(), ids=NETS)
X, LABEL = normal(2, 3, 8, 8), torch.tensor([1.0, 3.0])


def run(text: str, observed: bool, phase: str = "TRAIN") -> Net:
    net = net_of(HEAD + text + LOSS + "force_backward: true", phase=phase)
    look = (lambda node, bottoms, tops: None) if observed else None
    net.forward(data=X, label=LABEL, observer=look)
    return net


@every_net
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_numbers_and_gradients_are_those_of_an_observed_pass(text: str, phase: str) -> None:
    net, observed = run(text, False, phase), run(text, True, phase)
    for one in (net, observed):
        one.backward()
    for name, blob in net.blobs.items():
        assert torch.equal(blob.tensor, observed.blobs[name].tensor), name
        assert torch.equal(blob.grad, observed.blobs[name].grad), name
    for name, blobs in net.params.items():
        for mine, other in zip(blobs, observed.params[name], strict=True):
            assert torch.equal(mine.grad, other.grad), name


@every_net
def test_passes_without_gradients_too(text: str) -> None:
    """The layers do not run in the same memory layout, so float sums may differ by their order."""
    with torch.no_grad():
        net, observed = run(text, False), run(text, True)
    for name, blob in net.blobs.items():
        assert torch.equal(blob.tensor, observed.blobs[name].tensor), name


@every_net
def test_in_place_in_spite_of_an_observer(text: str) -> None:
    net, seen = net_of(HEAD + text + LOSS, phase="TRAIN"), []
    with torch.no_grad():
        net.forward(
            data=X,
            label=LABEL,
            observer=lambda node, bottoms, tops: seen.append(node.spec.name),
            in_place=True,
        )
        observed = run(text, True)
    assert seen == [node.spec.name for node in net.nodes]
    for name, blob in net.blobs.items():
        assert torch.equal(blob.tensor, observed.blobs[name].tensor), name


@every_net
def test_held_views_change_nothing(text: str) -> None:
    net = net_of(HEAD + text + LOSS + "force_backward: true", phase="TRAIN")
    views = {name: blob.data for name, blob in net.blobs.items()}
    net.forward(data=X, label=LABEL)
    net.backward()
    want = run(text, False)
    want.backward()
    for name, view in views.items():
        np.testing.assert_array_equal(view, want.blobs[name].tensor, err_msg=name)
        assert torch.equal(net.blobs[name].grad, want.blobs[name].grad), name


def memory(net: Net) -> dict[int, int]:
    """Bytes by address of everything that tapes, their graphs and blobs hold, parameters aside."""
    tensors = [blob.tensor for blob in net.blobs.values()]
    for node in net.nodes:
        if node.tape is not None:
            tensors += [*node.tape.bottoms, *node.tape.blobs, *node.tape.tops]
            tensors += saved(node.tape.tops)
    found = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    for blobs in net.params.values():
        for blob in blobs:
            found.pop(blob.tensor.untyped_storage().data_ptr(), None)
    return found


def saved(roots: list[Tensor]) -> Iterator[Tensor]:
    queue = [t.grad_fn for t in roots if t.grad_fn is not None]
    while queue:
        made_by = queue.pop()
        names = [n for n in dir(made_by) if n.startswith("_saved_")]
        values = [getattr(made_by, n) for n in names]
        yield from (v for v in values if isinstance(v, Tensor))
        yield from getattr(made_by, "saved_tensors", ())
        queue += [f for f, _ in made_by.next_functions if f is not None]


@pytest.mark.parametrize("name", ["low precision", "twice", "top of its own", "stochastic"])
def test_low_precision_keeps_no_more_than_float(name: str) -> None:
    low, full = memory(run(NETS[name], False)), memory(run(NETS["float"], False))
    assert sum(low.values()) == sum(full.values())
    # Data, labels, one for the convolution and its ReLU, pool and its index, and the losses' few.
    top = 2 * 6 * 8 * 8 * 4
    assert sorted(low.values())[-2:] == [2 * 3 * 8 * 8 * 4, top]


def test_rounded_weights_are_not_kept_for_backward() -> None:
    """Nor is the copy of a layer that has no blob for it."""
    text = inner_product(
        "c", "data", 8, "precision_param { weight { kind: FIXED word_length: 6 } }"
    )
    net = run(text + layer("Power", "end", "c"), False)
    (rounded,) = net.nodes[2].tape.blobs[:1]  # type: ignore[union-attr]
    saved_here = [t.data_ptr() for t in saved(net.nodes[2].tape.tops)]  # type: ignore[union-attr]
    assert net.params["c"][0].tensor.data_ptr() in saved_here
    assert rounded.data_ptr() not in saved_here


def test_what_a_caller_holds_is_not_overwritten() -> None:
    net = net_of(HEAD + NETS["low precision"] + LOSS, phase="TRAIN")
    top = net.forward(data=X, label=LABEL, end="c")["c"]
    before = top.clone()
    net.forward(start="c_act")
    assert torch.equal(top, before)
    seen: list[Tensor] = []
    net.forward(observer=lambda node, bottoms, tops: seen.extend(tops))
    kept = [t.clone() for t in seen]
    net.forward()
    assert all(torch.equal(a, b) for a, b in zip(seen, kept, strict=True))


def test_a_recorded_chain_shares_one_memory() -> None:
    net = run(NETS["low precision"], False)
    tops = [net.nodes[net.index(name)].tape.tops[0] for name in ("c", "c_act", "c_relu")]  # type: ignore[union-attr]
    assert len({t.data_ptr() for t in tops}) == 1
