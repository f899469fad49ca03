"""onnxruntime in a process of its own: the same results, and an error where that process ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from adaption.cli.main import main
from adaption.compare import onnx_session
from adaption.compare.between import check_between
from adaption.compare.float_check import check_float
from adaption.compare.onnx_session import Session, SessionError, in_this_process
from adaption.compare.sessions import ModelFile
from adaption.errors import FileFormatError, UsageError
from adaption.export.onnx import export_onnx
from adaption.net import Net

LENET = Path(__file__).parents[2] / "models" / "lenet_digits"


def model(op: str = "Mul") -> onnx.ModelProto:
    """y = op(x, x)."""
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node(op, ["x", "x"], ["y"])], "g", info[:1], info[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    export_onnx(lenet(), path)
    return path


def lenet() -> Net:
    return Net(LENET / "deploy.prototxt", LENET / "lenet_digits.caffemodel")


def test_both_ways_give_the_same(file: Path) -> None:
    x = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    apart = ModelFile(file).whole()({"data": x, "not asked for": x})
    with in_this_process():
        here = ModelFile(file).whole()({"data": x})
    assert apart.keys() == here.keys()
    for name, values in here.items():
        np.testing.assert_array_equal(apart[name], values)
        assert apart[name].dtype == values.dtype and apart[name].shape == values.shape


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_onnxruntime_reports_nothing(file: Path) -> None:
    """Its reporting thread would keep a forked process from ending, too."""
    code = (
        "import os, sys, numpy\n"
        "from adaption.compare.onnx_session import in_this_process\n"
        "from adaption.compare.sessions import ModelFile\n"
        "with in_this_process():\n"
        "    ModelFile(sys.argv[1]).whole()({'data': numpy.zeros((1, 1, 8, 8), 'f4')})\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == sys.argv[2]\n"
        "child = os.fork()\n"
        "if child:\n"
        "    sys.exit(os.waitpid(child, 0)[1])\n"
    )
    for own in ({}, {"ORT_DISABLE_TELEMETRY": "yes"}):
        others = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
        command = [sys.executable, "-c", code, str(file), own.get("ORT_DISABLE_TELEMETRY", "1")]
        subprocess.run(command, env=others | own, check=True, timeout=120)


@pytest.mark.parametrize("dtype", ["f4", "i8", "i4"])
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 3, 1)])
def test_arrays_of_any_shape_and_type_cross_the_pipe(dtype: str, shape: tuple[int, ...]) -> None:
    made = model("Add")
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    for info in (made.graph.input[0], made.graph.output[0]):
        info.type.tensor_type.elem_type = kind
    x = np.asarray(np.random.default_rng(0).integers(0, 50, shape)).astype(dtype)
    found = Session(made, ["y"])({"x": x})["y"]
    assert (found.shape, found.dtype) == (x.shape, x.dtype)
    np.testing.assert_array_equal(found, x + x)


def test_what_onnxruntime_refuses_is_an_error_and_the_next_model_runs() -> None:
    with pytest.raises(SessionError, match="NoSuchOperator"):
        Session(model("NoSuchOperator"), ["y"])
    session = Session(model(), ["y"])
    with pytest.raises(SessionError, match="Unexpected input data type"):
        session({"x": np.ones(3, np.int32)})
    np.testing.assert_array_equal(session({"x": np.full(3, 3, np.float32)})["y"], np.full(3, 9))


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_process_that_ends_is_an_error_and_another_takes_its_place(file: Path) -> None:
    session = Session(model(), ["y"])
    x = np.ones(3, np.float32)
    session({"x": x})
    worker = onnx_session._workers[-1]._process
    worker.send_signal(signal.SIGABRT)
    worker.wait()
    with pytest.raises(SessionError, match=r"onnxruntime ended on this model \(SIGABRT\)"):
        session({"x": x})
    assert check_float(lenet(), file).ok  # in a new one


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("way", ["verify", "verify_between", "the verb"])
def test_a_model_that_ends_onnxruntime(
    way: str, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As some damaged ones do: the worker is told to end at the second question."""
    ask = onnx_session._Worker.ask
    asked = []

    def end_at_run(self, head, arrays):  # type: ignore[no-untyped-def]
        if head["do"] == "run":
            asked.append(head)
            self._process.send_signal(signal.SIGABRT)
            self._process.wait()
        return ask(self, head, arrays)

    monkeypatch.setattr(onnx_session._Worker, "ask", end_at_run)
    if way == "verify":
        report = check_float(lenet(), file)
        assert not report.ok and "SIGABRT" in report.refusal
    elif way == "verify_between":
        with pytest.raises(UsageError) as caught:
            check_between(lenet(), "lp", file)
        assert "onnxruntime does not run it: onnxruntime ended on this model" in str(caught.value)
    else:
        net = [str(LENET / "deploy.prototxt"), str(LENET / "lenet_digits.caffemodel")]
        assert main(["verify", *net, str(file)]) == 2
        assert capsys.readouterr().err == (
            f"adaption verify: {file}: onnxruntime does not run it: onnxruntime ended on this model"
            " (SIGABRT)\n  fix: export it again\n"
        )
    assert asked


def damaged(file: Path, change: str, tmp_path: Path) -> Path:
    made = onnx.load(file)
    props = {p.key: p for p in made.metadata_props}
    match change:
        case "no operator set":
            del made.opset_import[:]
        case "no samples":
            made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 0
        case "another file":
            tensor = made.graph.initializer[0]
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="/etc/passwd")
        case "a number for a name":
            layers = json.loads(props["adaption.layers"].value)
            layers[1]["name"] = 7
            props["adaption.layers"].value = json.dumps(layers)
        case "tops without blobs":
            layers = json.loads(props["adaption.layers"].value)
            layers[1]["blobs"] = []
            props["adaption.layers"].value = json.dumps(layers)
        case "constant":
            made.graph.initializer[0].dims.append(7)
    content = made.SerializeToString()
    if change == "bytes for a name":
        whole = made.graph.initializer[0].SerializeToString()
        name = made.graph.initializer[0].name.encode()
        content = content.replace(whole, whole.replace(name, name[:-1] + b"\xff"))
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ("no operator set", "this model is damaged: it names no operator set"),
        ("no samples", "this model is damaged: it takes 0 samples at a time"),
        ("another file", "lies in another file"),
        ("a number for a name", "adaption.layers[1].name is 7, allowed: text"),
        ("bytes for a name", "this model is damaged: it holds a name that is no text"),
        ("tops without blobs", "allowed: as many as blobs, scales and before"),
        ("constant", "this model is damaged: constant 'conv1/blob0': cannot reshape"),
    ],
)
def test_a_damaged_file_is_one_error(
    change: str, fact: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = damaged(file, change, tmp_path)
    with pytest.raises(FileFormatError) as caught:
        check_float(lenet(), path)
    assert fact in str(caught.value) and str(caught.value).count("\n") == 1
    net = [str(LENET / "deploy.prototxt"), str(LENET / "lenet_digits.caffemodel")]
    assert main(["verify", *net, str(path)]) == 2
    assert fact in capsys.readouterr().err
