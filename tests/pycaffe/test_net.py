"""pycaffe's Net: call forms, arrays that can be written in place, passes, files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import adaption.pycaffe as caffe
from adaption.errors import AdaptionError, ShapeError, UsageError, WeightsError
from adaption.io.kinds import kind_of
from tests.net.nets import data, euclidean, inner_product, layer
from tests.pretended_cuda import CUDA, pretended_cuda

TEXT = (
    'name: "small"\n'
    + data(4, 3)
    + inner_product("ip1", "data", 5)
    + layer("ReLU", "relu1", "ip1", "ip1")
    + inner_product("ip2", "ip1", 2)
    + layer("Softmax", "prob", "ip2")
    + inner_product("deep", "ip2", 2, "include { min_level: 1 }")
    + inner_product("staged", "ip2", 2, 'include { stage: "s" }')
    + inner_product("learn", "ip2", 2, "include { phase: TRAIN }")
    + "force_backward: true\n"
)
X = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "net.prototxt"
    file.write_text(TEXT)
    return str(file)


@pytest.fixture
def net(path: str) -> caffe.Net:
    caffe.set_random_seed(1)
    return caffe.Net(path, caffe.TEST)


@pytest.fixture
def weights(net: caffe.Net, tmp_path: Path) -> str:
    file = str(tmp_path / "net.caffemodel")
    net.save(file)
    return file


# -- call forms ----------------------------------------------------------------------------------


def test_call_forms(path: str, weights: str, net: caffe.Net) -> None:
    nets = [
        caffe.Net(path, weights, caffe.TEST),
        caffe.Net(path, caffe.TEST, weights=weights),
        caffe.Net(path, weights, phase=caffe.TEST),
        caffe.Net(network_file=path, phase=caffe.TEST, weights=weights),
        caffe.Net(Path(path), Path(weights), np.int64(caffe.TEST)),
    ]
    for one in nets:
        np.testing.assert_array_equal(one.params["ip1"][0].data, net.params["ip1"][0].data)


def test_phase_level_and_stages(path: str) -> None:
    def extra(net: caffe.Net) -> list[str]:
        return [name for name in net.params if not name.startswith("ip")]

    assert extra(caffe.Net(path, caffe.TEST)) == []
    assert extra(caffe.Net(path, caffe.TRAIN)) == ["learn"]
    assert extra(caffe.Net(path, caffe.TEST, level=1)) == ["deep"]
    assert extra(caffe.Net(path, caffe.TEST, level=1, stages=["s", "t"])) == ["deep", "staged"]


@pytest.mark.parametrize("args", [(), (2,), (1, 1)])
def test_a_call_without_a_phase(path: str, args: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        caffe.Net(path, *args)
    assert "\n  fix: Net(prototxt, weights, caffe.TEST)" in str(caught.value)


def test_missing_files_are_adaption_errors(path: str, tmp_path: Path) -> None:
    for call in ((str(tmp_path / "no"), caffe.TEST), (path, str(tmp_path / "no"), caffe.TEST)):
        with pytest.raises(AdaptionError):
            caffe.Net(*call)


# -- structure -----------------------------------------------------------------------------------


def test_structure(net: caffe.Net) -> None:
    names = ["data", "ip1", "relu1", "ip2", "prob"]
    assert net.name == "small"
    assert (net.inputs, net.outputs) == (["data"], ["prob"])
    assert list(net.blobs) == ["data", "ip1", "ip2", "prob"]
    assert list(net.params) == ["ip1", "ip2"]
    assert list(net._layer_names) == list(net.layer_dict) == names
    assert [item.type for item in net.layers] == [
        *("Input", "InnerProduct", "ReLU", "InnerProduct", "Softmax")
    ]
    assert [len(item.blobs) for item in net.layers] == [0, 2, 0, 2, 0]
    assert net.layer_dict["ip1"].blobs[0] is net.params["ip1"][0]
    assert net.bottom_names["ip2"] == ["ip1"] and net.top_names["relu1"] == ["ip1"]


def test_blob_loss_weights(tmp_path: Path) -> None:
    file = tmp_path / "loss.prototxt"
    text = data(2, 3) + data(2, 3, name="t") + euclidean("a", "data t")
    file.write_text(text + euclidean("b", "data t", "loss_weight: 0.5"))
    weights = caffe.Net(file, caffe.TRAIN).blob_loss_weights
    assert {k: w for k, w in weights.items() if w} == {"a": 1.0, "b": 0.5}
    assert next(iter(weights)) == "data"


def test_blob_legacy_axes(net: caffe.Net) -> None:
    """Blob(num, channels, height, width): axes that are not there count one."""
    blob = net.blobs["ip1"]
    assert (blob.num, blob.channels, blob.height, blob.width) == (4, 5, 1, 1)
    assert (blob.count, list(blob.shape), blob.data.shape) == (20, [4, 5], (4, 5))
    assert (net.params["ip1"][1].num, net.params["ip1"][1].channels) == (5, 1)


def test_blob_of_five_axes(tmp_path: Path) -> None:
    file = tmp_path / "five.prototxt"
    file.write_text(data(1, 2, 3, 4, 5))
    with pytest.raises(ShapeError):
        _ = caffe.Net(file, caffe.TEST).blobs["data"].num


# -- in place ------------------------------------------------------------------------------------


def softmax(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    e = np.exp(x - x.max(1, keepdims=True))
    out: np.ndarray[Any, Any] = e / e.sum(1, keepdims=True)
    return out


def want(net: caffe.Net, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    (w1, b1), (w2, b2) = ([b.data for b in net.params[n]] for n in ("ip1", "ip2"))
    return softmax(np.maximum(x @ w1.T + b1, 0) @ w2.T + b2)


def test_arrays_are_written_in_place(net: caffe.Net) -> None:
    net.blobs["data"].data[...] = X
    net.params["ip1"][0].data[...] *= 2
    net.params["ip2"][1].data[0] = 3
    np.testing.assert_allclose(net.forward()["prob"], want(net, X), rtol=1e-5)
    net.blobs["data"].data[1:3] = 0
    x = X.copy()
    x[1:3] = 0
    np.testing.assert_allclose(net.forward()["prob"], want(net, x), rtol=1e-5)


def test_arrays_stay_valid_over_passes(net: caffe.Net) -> None:
    """Scripts take `net.blobs['prob'].data` once and read it after every pass."""
    prob, before = net.blobs["prob"].data, net.blobs["ip1"].data
    for scale in (1, 2):
        net.forward(data=X * scale)
        np.testing.assert_allclose(prob, want(net, X * scale), rtol=1e-5)
        assert (before >= 0).all() and before.any()


# -- passes --------------------------------------------------------------------------------------


def test_forward_returns_outputs_and_asked_blobs(net: caffe.Net) -> None:
    assert list(net.forward(data=X)) == ["prob"]
    assert list(net.forward(blobs=["ip1"], data=X)) == ["prob", "ip1"]
    assert list(net.forward(["prob"], data=X)) == ["prob"]
    assert list(net.forward(end="ip1")) == ["ip1"]
    assert list(net.forward(start="ip2", end="prob", blobs=["ip2"])) == ["prob", "ip2"]


def test_forward_between_layers(net: caffe.Net) -> None:
    net.forward(data=X)
    net.blobs["ip1"].data[...] = 1
    w, b = (blob.data for blob in net.params["ip2"])
    got = net.forward(start="ip2", blobs=["ip2"])
    np.testing.assert_allclose(got["ip2"], np.tile(w.sum(1) + b, (4, 1)), rtol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "error", "text"),
    [
        ({"dta": X}, UsageError, "forward is given ['dta']\n  fix: the inputs are ['data']"),
        (
            {"data": X[:2]},
            ShapeError,
            'input "data" has shape (2, 3), the net has (4, 3)\n'
            "  fix: reshape the blob, then call net.reshape()",
        ),
        (
            {"data": np.zeros((4, 7))},
            ShapeError,
            'input "data" has shape (4, 7), the net has (4, 3)\n'
            "  fix: reshape the blob, then call net.reshape()",
        ),
        (
            {"data": 1.0},
            ShapeError,
            'input "data" has shape (), the net has (4, 3)\n'
            "  fix: reshape the blob, then call net.reshape()",
        ),
    ],
)
def test_bad_input(
    net: caffe.Net, inputs: dict[str, Any], error: type[AdaptionError], text: str
) -> None:
    with pytest.raises(error) as caught:
        net.forward(**inputs)
    assert str(caught.value) == text


def test_backward(net: caffe.Net) -> None:
    net.forward(data=X)
    diff = np.zeros((4, 2), np.float32)
    diff[:, 0] = 1
    got = net.backward(diffs=["ip1"], prob=diff)
    assert list(got) == ["data", "ip1"]
    eps = 1e-2  # central differences of a smooth function in float32: good to 1e-3
    x = X.copy()
    x[0, 0] += eps
    up = float(want(net, x)[0, 0])
    x[0, 0] -= 2 * eps
    slope = (up - float(want(net, x)[0, 0])) / (2 * eps)
    assert float(got["data"][0, 0]) == pytest.approx(slope, abs=1e-3)
    assert net.params["ip1"][0].diff.any()
    assert list(net.backward(start="prob", end="ip2", prob=diff)) == ["ip1"]
    net.clear_param_diffs()
    assert not net.params["ip1"][0].diff.any()


def test_backward_refuses_what_is_no_output(net: caffe.Net) -> None:
    net.forward(data=X)
    with pytest.raises(UsageError) as caught:
        net.backward(ip2=np.zeros((4, 2)))
    assert str(caught.value) == "backward is given 'ip2'\n  fix: the outputs are ['prob']"
    with pytest.raises(ShapeError) as shape:
        net.backward(prob=np.zeros((3, 2)))
    assert str(shape.value).startswith('diff of "prob" has shape (3, 2), the net has (4, 2)\n')


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 10])
def test_forward_all_takes_any_number_of_samples(net: caffe.Net, count: int) -> None:
    x = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
    got = net.forward_all(blobs=["ip1"], data=x)
    assert got["ip1"].shape == (count, 5)
    np.testing.assert_allclose(got["prob"], want(net, x), rtol=1e-5)


def test_forward_all_without_arrays(net: caffe.Net) -> None:
    with pytest.raises(UsageError) as caught:
        net.forward_all()
    assert str(caught.value) == "forward_all is given no arrays\n  fix: the inputs are ['data']"


def test_reshape(net: caffe.Net) -> None:
    net.blobs["data"].reshape(7, 3)
    net.reshape()
    assert net.blobs["prob"].data.shape == (7, 2)
    x = np.ones((7, 3), np.float32)
    np.testing.assert_allclose(net.forward(data=x)["prob"], want(net, x), rtol=1e-5)


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["caffemodel", "caffemodel.h5"])
def test_save_and_copy_from(net: caffe.Net, path: str, tmp_path: Path, suffix: str) -> None:
    file = str(tmp_path / f"w.{suffix}")
    net.save(file)
    assert (kind_of(file) == "hdf5") == suffix.endswith("h5")
    twin = caffe.Net(path, caffe.TRAIN)
    assert not np.array_equal(twin.params["ip1"][0].data, net.params["ip1"][0].data)
    twin.copy_from(file)
    np.testing.assert_array_equal(twin.params["ip1"][0].data, net.params["ip1"][0].data)


def test_copy_from_another_net(net: caffe.Net, tmp_path: Path) -> None:
    file = tmp_path / "other.prototxt"
    file.write_text(data(4, 3) + inner_product("ip1", "data", 6))
    caffe.Net(file, caffe.TEST).save(tmp_path / "other.caffemodel")
    with pytest.raises(WeightsError):
        net.copy_from(tmp_path / "other.caffemodel")


def test_set_input_arrays_needs_a_memory_data_layer(net: caffe.Net) -> None:
    with pytest.raises(UsageError) as caught:
        net.set_input_arrays(X, X)
    assert str(caught.value) == (
        "the first layer is no MemoryData layer\n  fix: fill the input blobs instead"
    )


# -- switches ------------------------------------------------------------------------------------


def first(path: str) -> np.ndarray[Any, Any]:
    blob = caffe.Net(path, caffe.TEST).params["ip1"][0]
    return blob.data.copy()


def test_set_random_seed(path: str) -> None:
    caffe.set_random_seed(3)
    one, two = first(path), first(path)
    caffe.set_random_seed(3)
    np.testing.assert_array_equal(first(path), one)
    np.testing.assert_array_equal(first(path), two)
    assert not np.array_equal(one, two)


def test_set_original_semantics(tmp_path: Path) -> None:
    file = tmp_path / "lp.prototxt"
    lpfp = "lpfp_param { bd: 2 ad: 2 rounding_scheme: STOCHASTIC }"
    file.write_text(data(2) + layer("LPAct", "q", "data", more=lpfp))
    caffe.set_original_semantics(True)
    net = caffe.Net(file, caffe.TEST)
    caffe.set_original_semantics(False)
    assert net.forward(data=np.array([0.3, -0.3]))["q"].tolist() == [0.25, -0.5]


@pytest.mark.parametrize("call", [caffe.set_mode_gpu, lambda: caffe.set_device(0)])
def test_no_gpu(call: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError) as caught:
        call()
    assert str(caught.value) == (
        "no CUDA device: torch.cuda.is_available() is False\n"
        "  fix: compute on the CPU, or install torch with CUDA and the driver of the GPU"
    )


def solver_of(folder: Path) -> Path:
    """A solver of a small net, in files of `folder`."""
    net, solver = folder / "train.prototxt", folder / "solver.prototxt"
    more = "inner_product_param { num_output: 1 }"
    net.write_text(
        'layer { name: "x" type: "DummyData" top: "x" top: "y"'
        " dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 1 }"
        " data_filler { value: 1 } } }\n"
        + layer("InnerProduct", "ip", "x", more=more)
        + euclidean("loss", "ip y")
    )
    solver.write_text(f'net: "{net}" base_lr: 0.1 lr_policy: "fixed" max_iter: 2 random_seed: 1')
    return solver


def test_modes(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(data(2) + layer("ReLU", "y", "data"))
    with pretended_cuda():
        caffe.set_device(0)
        assert caffe.Net(file, caffe.TEST).blobs["y"].device.type == "cpu"
        caffe.set_mode_gpu()
        net = caffe.Net(file, caffe.TEST)
        assert net.blobs["y"].device == CUDA
        assert net.forward(data=np.array([-1, 2]))["y"].tolist() == [0, 2]
        solver = caffe.SGDSolver(solver_of(tmp_path))
        solver.step(2)
        assert {blob.device for blob in solver.net.params["ip"]} == {CUDA}
        caffe.set_mode_cpu()
        assert caffe.Net(file, caffe.TEST).blobs["y"].device.type == "cpu"


def test_layer_type_list() -> None:
    names = caffe.layer_type_list()
    assert names == sorted(names)
    assert {"Convolution", "LPConvolution", "LPAct", "SoftmaxWithLoss"} <= set(names)


def test_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "0")
    caffe.init_log()
    caffe.log("Using devices [0, 1]")
    line = capsys.readouterr().err
    assert line.startswith("I") and line.endswith("] Using devices [0, 1]\n")
    caffe.init_log(2)
    caffe.log("unseen")
    assert capsys.readouterr().err == ""
