"""A second net on the same weights: what both hold, and when there is none."""

from __future__ import annotations

import pytest
import torch

from adaption.net import Net, twin
from adaption.net.twin import twin_of
from tests.net.nets import data, layer, net_of

pytestmark = pytest.mark.usefixtures("two_threads")

FILLERS = 'weight_filler { type: "msra" } bias_filler { type: "gaussian" std: 0.1 }'
CONV = f"convolution_param {{ num_output: 5 kernel_size: 3 {FILLERS} }}"
IP = f"inner_product_param {{ num_output: 7 {FILLERS} }}"
LOW = "lpfp_param { bd: 2 ad: 5 }"
TEXT = (
    data(4, 3, 6, 6)
    + layer("LPConvolution", "a", "data", more=f"{CONV} {LOW}")
    + layer("LPInnerProduct", "end", "a", more=f"{IP} {LOW}")
)


def run(net: Net, seed: int) -> torch.Tensor:
    given = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return net.forward({"data": given}, observer=lambda *_: None, in_place=True)["end"].clone()


def test_weights_lie_in_one_memory_and_tops_in_two() -> None:
    net = net_of(TEXT)
    run(net, 0)
    other = twin_of(net)
    assert other is not None
    want = run(net, 1)
    assert torch.equal(run(other, 1), want)
    for name, blobs in net.params.items():
        for mine, its in zip(blobs, other.params[name], strict=True):
            assert mine.tensor.data_ptr() == its.tensor.data_ptr()
    for mine, its in zip(net.nodes, other.nodes, strict=True):
        for i, kept in mine._rounded_from.items():
            assert its._rounded_from[i] is kept  # rounded once
        for i, (_, packed) in mine._packs.items():
            assert its._packs[i][1] is packed
        if mine.convolver is not None:
            assert its.convolver is not None
            assert its.convolver.pack is mine.convolver.pack is not None
    assert net.blobs["a"].tensor.data_ptr() != other.blobs["a"].tensor.data_ptr()
    run(other, 2)
    assert torch.equal(net.blobs["end"].tensor, want)


def test_the_rounded_copy_still_follows_its_master() -> None:
    net = net_of(TEXT)
    run(net, 0)
    assert twin_of(net) is not None
    net.params["a"][0].data[...] = 0.3
    assert set(net.params["a"][1].data.ravel().tolist()) == {0.3125}


def test_there_is_none_where_it_is_not_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    net = net_of(TEXT)
    run(net, 0)
    view = net.params["a"][0].data
    assert twin_of(net) is None  # a weight may change between two batches
    del view
    monkeypatch.setattr(twin, "MOST", 100)
    assert twin_of(net) is None
    monkeypatch.undo()
    net.debug_info = True
    assert twin_of(net) is None
    net.debug_info = False
    torch.set_num_threads(1)
    assert twin_of(net) is None


def test_there_is_none_where_somebody_looks_or_copies_are_shared() -> None:
    net = net_of(TEXT)
    run(net, 0)
    view = net.blobs["a"].data
    assert twin_of(net) is None  # it shows every pass
    del view
    net.nodes[1].points.watch_grid = lambda *_: None
    assert twin_of(net) is None
    net.nodes[1].points.watch_grid = None
    assert twin_of(net) is not None
    names = 'param { name: "w" } param { name: "b" }'
    more = f"{IP.replace('num_output: 7', 'num_output: 4')} {LOW} {names}"
    text = data(4, 4) + layer("LPInnerProduct", "a", "data", more=more)
    text += layer("LPInnerProduct", "end", "a", more=more)
    shared = net_of(text, original_semantics=True)
    shared.forward()
    assert twin_of(shared) is None
