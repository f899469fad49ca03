"""What `debug_info: true` prints. Wording: Net::ForwardDebugInfo and others in Caffe's net.cpp."""

from __future__ import annotations

import re

import pytest
import torch

from tests.net.nets import data, euclidean, inner_product, layer, net_of

TEXT = (
    "debug_info: true\n"
    + data(2, 3)
    + data(2, 2, name="t")
    + inner_product("ip1", "data", 4, 'param { name: "w" } param { lr_mult: 0 }')
    + layer("ReLU", "relu", "ip1", "ip1")
    + inner_product("ip2", "ip1", 2)
    + euclidean("loss", "ip2 t")
)


def texts(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was logged, without the prefix."""
    lines = capsys.readouterr().err.splitlines()
    assert all(re.match(r"[IE]\d{4} [\d:.]+ +\d+ net\.cpp:\d+\] ", line) for line in lines)
    return [line.partition("] ")[2] for line in lines]


def mean(values: torch.Tensor) -> str:
    return f"{float(values.abs().mean()):g}"


def test_forward_and_backward(capsys: pytest.CaptureFixture[str]) -> None:
    net = net_of(TEXT, phase="TRAIN")
    capsys.readouterr()
    net.forward(data=torch.full((2, 3), 0.5), t=torch.full((2, 2), -2.0))
    lines = texts(capsys)
    blobs, (w1, b1), (w2, b2) = net.blobs, net.params["ip1"], net.params["ip2"]
    assert lines[:2] == [
        "    [Forward] Layer data, top blob data data: 0.5",
        "    [Forward] Layer t, top blob t data: 2",
    ]
    assert lines[3:] == [
        f"    [Forward] Layer ip1, param blob w data: {mean(w1.tensor)}",
        f"    [Forward] Layer ip1, param blob 1 data: {mean(b1.tensor)}",
        f"    [Forward] Layer relu, top blob ip1 data: {mean(blobs['ip1'].tensor)}",
        f"    [Forward] Layer ip2, top blob ip2 data: {mean(blobs['ip2'].tensor)}",
        f"    [Forward] Layer ip2, param blob 0 data: {mean(w2.tensor)}",
        f"    [Forward] Layer ip2, param blob 1 data: {mean(b2.tensor)}",
        f"    [Forward] Layer loss, top blob loss data: {mean(blobs['loss'].tensor)}",
    ]
    assert lines[2].startswith("    [Forward] Layer ip1, top blob ip1 data: ")

    net.backward()
    lines = texts(capsys)
    assert [line.rpartition(":")[0] for line in lines[:-1]] == [
        "    [Backward] Layer loss, bottom blob ip2 diff",
        "    [Backward] Layer ip2, bottom blob ip1 diff",
        "    [Backward] Layer ip2, param blob 0 diff",
        "    [Backward] Layer ip2, param blob 1 diff",
        "    [Backward] Layer relu, bottom blob ip1 diff",
        "    [Backward] Layer ip1, param blob 0 diff",  # bias: lr_mult 0; data: nothing to learn
    ]
    assert lines[2].endswith(f"diff: {mean(w2.grad)}")
    own = [w1, b1, w2, b2]
    l1 = [sum(float(t.abs().sum()) for t in ts)
          for ts in ([b.tensor for b in own], [b.grad for b in own])]  # fmt: skip
    assert lines[-1].startswith(
        f"    [Backward] All net params (data, diff): L1 norm = ({l1[0]:g}, {l1[1]:g}); L2 norm = ("
    )


def test_part_of_a_pass(capsys: pytest.CaptureFixture[str]) -> None:
    net = net_of(TEXT, phase="TRAIN")
    net.forward()
    capsys.readouterr()
    net.forward(start="ip2", end="ip2")
    assert len(texts(capsys)) == 3
    net.backward(start="loss", end="loss")
    assert texts(capsys) == [
        f"    [Backward] Layer loss, bottom blob ip2 diff: {mean(net.blobs['ip2'].grad)}"
    ]


def test_it_is_off_by_default_and_can_be_switched(capsys: pytest.CaptureFixture[str]) -> None:
    net = net_of(TEXT.replace("debug_info: true", ""), phase="TRAIN")
    net.forward()
    net.backward()
    assert texts(capsys) == []
    net.debug_info = True
    net.forward(end="data")
    assert texts(capsys) == ["    [Forward] Layer data, top blob data data: 0"]


def test_empty_blobs(capsys: pytest.CaptureFixture[str]) -> None:
    net_of("debug_info: true\n" + data(0, 3)).forward()
    assert texts(capsys) == ["    [Forward] Layer data, top blob data data: nan"]
