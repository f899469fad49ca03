"""The facade against what the original's pycaffe returned (golden/python_api/api_net)."""

from __future__ import annotations

from typing import Any

import pytest

import adaption.pycaffe as caffe
from tests.golden_cases import Case, cases, compare

(API,) = [c for c in cases("python_api") if c.id in ("api_net", "missing")]


def net_of(case: Case) -> caffe.Net:
    net = caffe.Net(case.prototxt, caffe.TEST)
    for name, array in case.group("param").items():
        layer, _, index = name.rpartition(".")
        net.params[layer][int(index)].data[...] = array
    return net


def check(case: Case, call: str, got: dict[str, Any]) -> None:
    want = case.group(call)
    assert sorted(got) == sorted(want)
    for name, array in want.items():
        compare(f"{call}.{name}", got[name], array)


@pytest.mark.parametrize("case", [API])
def test_structure(case: Case) -> None:
    net, meta = net_of(case), case.meta
    assert (net.inputs, net.outputs) == (meta["inputs"], meta["outputs"])
    assert (list(net.blobs), list(net.params)) == (meta["blobs"], meta["params"])
    assert [item.type for item in net.layers] == meta["layer_types"]


@pytest.mark.parametrize("case", [API])
def test_calls(case: Case) -> None:
    net, arrays = net_of(case), case.arrays
    x = arrays["x10"]
    check(case, "forward_all", net.forward_all(blobs=["ip1"], data=x))
    check(case, "forward", net.forward(data=x[:4]))
    check(case, "forward_end_ip1", net.forward(end="ip1", data=x[:4]))
    check(case, "forward_start_ip2", net.forward(start="ip2", blobs=["ip2"]))


@pytest.mark.parametrize("case", [API])
def test_backward(case: Case) -> None:
    net = net_of(case)
    net.forward(data=case.arrays["x10"][:4])
    diffs = sorted(set(case.group("backward")) - set(net.inputs))
    check(case, "backward", net.backward(diffs=diffs, prob=case.arrays["prob_diff"]))


@pytest.mark.parametrize("case", [API])
def test_forward_backward_all(case: Case) -> None:
    net = net_of(case)
    out, diff = net.forward_backward_all(
        blobs=["ip2"], diffs=["ip1"], data=case.arrays["x10"], prob=case.arrays["fba_prob_diff"]
    )
    check(case, "fba_out", out)
    check(case, "fba_diff", diff)
