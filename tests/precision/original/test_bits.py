"""The original's helper, against the arrays it made (golden/quantization)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adaption.errors import FieldError
from adaption.graph import NetState, build_spec
from adaption.io.netfile import read_net
from adaption.net import Net, Point
from adaption.precision.measure import measure_net
from adaption.precision.original.bits import activation_bits, weight_bits
from adaption.precision.propose import propose


class Pass:
    """A batch of the net's own data layer."""

    def __init__(self) -> None:
        self.blobs: dict[str, object] = {}
        self.names = ["0", "1", "2", "3"]


@pytest.fixture(autouse=True)
def _in_the_folder(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared / "golden/quantization")  # the data layer's source is relative


def recorded(name: str) -> dict[str, np.ndarray]:
    with np.load(f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@pytest.mark.parametrize("name", ["NetHP", "NetLP"])
def test_arrays_of_the_original(name: str) -> None:
    arrays = recorded(name)
    meta = json.loads(str(arrays["meta"]))
    net = Net(
        f"{name}_deploy.prototxt", f"{name}/{name}_original.caffemodel", original_semantics=True
    )
    net.forward()
    for blob in meta["blob_order"]:
        np.testing.assert_allclose(
            net.blobs[blob].tensor.numpy(), arrays[f"blob.{blob}"], rtol=1e-4, atol=1e-3
        )
    assert len(meta["runs"]) == 6
    for bits, threshold in meta["runs"]:
        key = f"{bits}.{threshold:g}"
        mode = meta["load_mode"]
        weights = weight_bits(net, bits, threshold, load_mode=mode)
        np.testing.assert_array_equal(weights, arrays[f"weights.{key}"], err_msg=key)
        found = activation_bits(net, bits, threshold, load_mode=mode)
        np.testing.assert_array_equal(found, arrays[f"activation.{key}"], err_msg=key)


def test_propose_with_original_semantics_gives_the_same_formats() -> None:
    arrays = recorded("NetHP")
    net = Net("NetHP_deploy.prototxt", "NetHP/NetHP_original.caffemodel")
    measured = measure_net(net, [Pass()], legacy_rule=True, every_layer=True)
    spec = build_spec(read_net("NetHP_deploy.prototxt").message, NetState())
    for threshold in (0.1, 0.01, 0.0):
        plan = propose(
            spec, measured, rule="adaption-legacy", threshold=threshold, original_semantics=True
        ).plan
        want = arrays[f"weights.16.{threshold:g}"]
        for i, layer in enumerate(("conv1", "conv2", "fc3", "fc4")):
            assert plan[Point(layer, "weight")].int_length == want[0, i]
        want = arrays[f"activation.16.{threshold:g}"]
        for i, layer in enumerate(("conv1", "conv2", "fc3")):  # fc4's result stays float
            assert plan[Point(layer, "activation")].int_length == want[0, i]


def test_unknown_mode() -> None:
    net = Net("NetHP_deploy.prototxt")
    with pytest.raises(FieldError, match="allowed: high_precision, low_precision"):
        weight_bits(net, load_mode="int8")
