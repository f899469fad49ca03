"""The facade against all names of Caffe's own Python: _caffe.cpp, pycaffe.py, draw.py, ..."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adaption.pycaffe as caffe
from adaption.errors import UsageError

# python/caffe/_caffe.cpp, BOOST_PYTHON_MODULE(_caffe), and python/caffe/__init__.py.
# Left out: NCCL and its uid, and the vectors of Boost but BlobVec, which no script makes.
OF_CAFFE = (
    *("Net", "SGDSolver", "NesterovSolver", "AdaGradSolver", "RMSPropSolver", "AdaDeltaSolver"),
    *("AdamSolver", "Timer", "init_log", "log", "set_mode_cpu", "set_mode_gpu", "set_device"),
    *("Layer", "get_solver", "layer_type_list", "set_random_seed", "solver_count"),
    *("set_solver_count", "solver_rank", "set_solver_rank", "set_multiprocess", "has_nccl"),
    *("__version__",),
)
OF_INIT = (
    "TRAIN",
    "TEST",
    "Classifier",
    "Detector",
    "io",
    "NetSpec",
    "layers",
    "params",
    "to_proto",
)
OF_NET = (
    *("_forward", "_backward", "reshape", "clear_param_diffs", "copy_from", "share_with", "save"),
    *("_blob_loss_weights", "_bottom_ids", "_top_ids", "_blobs", "layers", "_blob_names"),
    *("_layer_names", "_inputs", "_outputs", "_set_input_arrays", "save_hdf5", "load_hdf5"),
    *("before_forward", "after_forward", "before_backward", "after_backward"),
    # pycaffe.py
    *("blobs", "blob_loss_weights", "layer_dict", "params", "inputs", "outputs", "forward"),
    *("backward", "forward_all", "forward_backward_all", "_batch", "set_input_arrays"),
    *("top_names", "bottom_names"),
)
OF_BLOB = ("shape", "num", "channels", "height", "width", "count", "reshape", "data", "diff")
OF_LAYER = ("blobs", "setup", "reshape", "forward", "backward", "type", "param_str", "phase")
OF_SOLVER = (
    *("net", "test_nets", "iter", "lr", "solve", "step", "restore", "snapshot", "share_weights"),
    *("apply_update", "add_callback", "param"),
)
OF_MODULES = {
    "io": (
        *("blobproto_to_array", "array_to_blobproto", "arraylist_to_blobprotovector_str"),
        *("blobprotovector_str_to_arraylist", "array_to_datum", "datum_to_array", "Transformer"),
        *("load_image", "resize_image", "oversample"),
    ),
    "draw": (
        *("get_pooling_types_dict", "get_edge_label", "get_layer_lr_mult", "get_pydot_graph"),
        *("choose_color_by_layertype", "draw_net", "draw_net_to_file"),
    ),
    "coord_map": (
        *("AxisMismatchException", "UndefinedMapException", "PASS_THROUGH_LAYERS", "compose"),
        *("coord_map", "coord_map_from_to", "crop", "inverse"),
    ),
    "net_spec": (
        *("param_name_dict", "to_proto", "assign_proto", "Top", "Function", "NetSpec"),
        *("Layers", "Parameters", "layers", "params"),
    ),
    "classifier": ("Classifier",),
    "detector": ("Detector",),
    "pycaffe": ("Net",),
}

NET = """force_backward: true
layer { name: "i" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }
layer { name: "in place" type: "ReLU" bottom: "y" top: "y" }
layer { name: "b" type: "Power" bottom: "y" top: "z" power_param { scale: 3 shift: 1 } }
"""
SOLVER = """base_lr: 0.5 lr_policy: "step" gamma: 0.1 stepsize: 2 snapshot_prefix: "x" net_param {
layer { name: "d" type: "DummyData" top: "x" top: "t"
  dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1 } }
layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "l" } }
"""


@pytest.fixture
def net(tmp_path: Path) -> caffe.Net:
    (tmp_path / "n.prototxt").write_text(NET)
    made = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST)
    made.blobs["x"].data[...] = [[1, -2, 3], [4, 5, -6]]
    return made


@pytest.fixture
def solver(tmp_path: Path) -> caffe.Solver:
    caffe.init_log(2)
    (tmp_path / "s.prototxt").write_text(SOLVER)
    return caffe.SGDSolver(str(tmp_path / "s.prototxt"))


@pytest.fixture(autouse=True)
def log_level_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "0")


@pytest.mark.parametrize("name", [*OF_CAFFE, *OF_INIT])
def test_names_of_the_package(name: str) -> None:
    assert hasattr(caffe, name)
    if name in OF_CAFFE:
        assert getattr(import_module("adaption.pycaffe._caffe"), name) is getattr(caffe, name)


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in OF_MODULES.items() for name in names]
)
def test_names_of_modules(module: str, name: str) -> None:
    assert hasattr(import_module(f"adaption.pycaffe.{module}"), name)


@pytest.mark.parametrize("name", OF_NET)
def test_names_of_a_net(net: caffe.Net, name: str) -> None:
    getattr(net, name)


@pytest.mark.parametrize("name", OF_BLOB)
def test_names_of_a_blob(net: caffe.Net, name: str) -> None:
    getattr(net.blobs["x"], name)


@pytest.mark.parametrize("name", OF_LAYER)
def test_names_of_a_layer(net: caffe.Net, name: str) -> None:
    getattr(net.layers[1], name)


def test_names_of_a_solver(solver: caffe.Solver) -> None:
    for name in OF_SOLVER:
        getattr(solver, name)


# -- what they do --------------------------------------------------------------------------------


def test_passes_by_index(net: caffe.Net) -> None:
    assert net._forward(1, 1) == 0.0
    assert net.blobs["y"].data.tolist() == [[2, -4, 6], [8, 10, -12]]
    assert not net.blobs["z"].data.any()
    net._forward(2, 3)
    assert net.blobs["z"].data.tolist() == [[7, 1, 19], [25, 31, 1]]
    net.blobs["z"].diff[...] = 1
    net._backward(3, 1)
    assert net.blobs["x"].diff.tolist() == [[6, 0, 6], [6, 6, 0]]


def test_an_index_beyond_the_net(net: caffe.Net) -> None:
    with pytest.raises(UsageError, match="no layer 4"):
        net._forward(0, 4)


def test_loss_of_a_pass_by_index(solver: caffe.Solver) -> None:
    net = solver.net
    net.params["ip"][1].data[...] = 3
    assert net._forward(0, len(net.layers) - 1) == 4.5
    assert net._forward(0, 1) == 0.0  # the loss layer was not run


def test_indices_of_blobs(net: caffe.Net) -> None:
    assert net._blob_names == ["x", "y", "z"]
    assert net._blobs == list(net.blobs.values())
    assert (net._inputs, net._outputs) == ([0], [2])
    assert (net._bottom_ids(3), net._top_ids(3)) == ([1], [2])
    assert net._blob_loss_weights == [0.0, 0.0, 0.0]


def test_callbacks_around_layers(net: caffe.Net) -> None:
    seen: list[Any] = []
    net.before_forward(lambda i: seen.append(("before", i)))
    net.after_forward(lambda i: seen.append(("after", i, float(net.blobs["y"].data[0, 1]))))
    net.forward()
    y = [0.0, -4.0, 0.0, 0.0]
    assert seen == [x for i in range(4) for x in (("before", i), ("after", i, y[i]))]
    seen.clear()
    net.before_backward(lambda i: seen.append(("down to", i)))
    net.after_backward(lambda i: seen.append(("done", i)))
    net.blobs["z"].diff[...] = 1
    net.backward(end="a")
    assert seen == [x for i in (3, 2, 1) for x in (("down to", i), ("done", i))]
    assert net.blobs["x"].diff.tolist() == [[6, 0, 6], [6, 6, 0]]


def test_callbacks_change_what_comes_behind(net: caffe.Net) -> None:
    def clear(index: int) -> None:
        if index == 1:
            net.blobs["y"].data[...] = 1

    net.after_forward(clear)
    assert net.forward()["z"].tolist() == [[4, 4, 4], [4, 4, 4]]


def test_backward_without_a_pass_takes_the_blobs_as_they_are(net: caffe.Net) -> None:
    net.blobs["y"].data[...] = [[1, -1, 1], [-1, 1, 1]]
    net.blobs["z"].diff[...] = 1
    net.backward()
    assert net.blobs["x"].diff.tolist() == [[6, 0, 6], [0, 6, 6]]
    assert net.blobs["y"].data.tolist() == [[1, -1, 1], [-1, 1, 1]]


def test_solver_callbacks_and_rate(solver: caffe.Solver) -> None:
    calls: list[Any] = []

    def ready() -> None:
        calls.append(("ready", solver.iter, bool(solver.net.params["ip"][1].diff.any())))

    solver.net.params["ip"][1].data[...] = 1
    solver.add_callback(lambda: calls.append(("start", solver.iter)), ready)
    assert solver.lr == 0.5
    solver.step(2)
    assert calls == [("start", 0), ("ready", 0, True), ("start", 1), ("ready", 1, True)]
    assert solver.lr == pytest.approx(0.05)


def test_timer() -> None:
    timer = caffe.Timer()
    assert timer.ms == 0
    timer.start()
    time.sleep(0.02)
    timer.stop()
    assert 20 <= timer.ms < 20_000
    assert timer.us == 1e3 * timer.ms


@pytest.mark.parametrize(
    ("call", "value"),
    [(caffe.set_solver_count, 2), (caffe.set_solver_rank, 1), (caffe.set_multiprocess, True)],
)
def test_one_process_trains_alone(call: Callable[[Any], None], value: Any) -> None:
    call(type(value)(value == 2))  # as it is: 1 process, rank 0, alone
    with pytest.raises(UsageError, match="trains alone"):
        call(value)
    assert (caffe.solver_count(), caffe.solver_rank(), caffe.has_nccl()) == (1, 0, False)


def test_init_log_with_two_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "0")
    caffe.init_log(2, True)
    assert os.environ["GLOG_minloglevel"] == "2"
    caffe.init_log("my program")
    assert os.environ["GLOG_minloglevel"] == "2"


def test_names_of_drawing() -> None:
    layer = caffe.proto.caffe_pb2.LayerParameter
    conv = layer(name="c", type="Convolution", convolution_param={"num_output": 4})
    for factor in (1, 2):
        conv.param.add(lr_mult=factor)
    kinds = caffe.draw.get_pooling_types_dict()
    assert [kinds[i] for i in range(3)] == ["MAX", "AVE", "STOCHASTIC"]
    assert caffe.draw.get_layer_lr_mult(conv) == "[1.0, 2.0]"
    assert caffe.draw.get_layer_lr_mult(layer(type="InnerProduct")) == "1.0"
    assert caffe.draw.get_edge_label(conv) == "4"
    assert caffe.draw.get_edge_label(layer(type="Data", data_param={"batch_size": 8})) == "Batch 8"
    assert caffe.draw.get_edge_label(layer(type="ReLU")) == '""'


def test_drawing_with_learning_rates() -> None:
    net = caffe.proto.caffe_pb2.NetParameter()
    net.layer.add(name="x", type="Input", top=["x"], input_param={"shape": [{"dim": [1, 2, 4, 4]}]})
    net.layer.add(name="c", type="Convolution", bottom=["x"], top=["c"], 
                  convolution_param={"num_output": 4, "kernel_size": [1]})  # fmt: skip
    net.layer[1].param.add(lr_mult=3)
    assert b"lr mult 3.0" in caffe.draw.draw_net(net, "LR", ext="dot", display_lrm=True)
    assert b"lr mult" not in caffe.draw.draw_net(net, "LR", ext="dot")


def test_arrays_of_a_blob(net: caffe.Net) -> None:
    blob = net.blobs["x"]
    shared = np.asarray(blob)
    shared[0, 0] = 7
    assert blob.data[0, 0] == 7
    own = np.array(blob)
    own[0, 0] = 9
    assert blob.data[0, 0] == 7
    assert np.asarray(blob, np.float64).dtype == np.float64
    assert np.mean(blob) == blob.data.mean()
    with pytest.raises(ValueError, match="copy"):
        np.asarray(blob, np.float64, copy=False) if _has_copy() else blob.__array__("f8", False)


def _has_copy() -> bool:
    return int(np.__version__.partition(".")[0]) >= 2


def test_the_form_of_2014_means_test(net: caffe.Net, tmp_path: Path) -> None:
    net.save(str(tmp_path / "w.caffemodel"))
    made = caffe.Net(str(tmp_path / "n.prototxt"), str(tmp_path / "w.caffemodel"))
    assert made._net.phase == "TEST"
    with pytest.raises(UsageError, match="phase None"):
        caffe.Net(str(tmp_path / "n.prototxt"))
