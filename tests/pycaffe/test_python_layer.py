"""Layers written in Python: refused unless their module is named, and what Caffe's examples do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import adaption.pycaffe as caffe
from adaption.cli.main import main
from adaption.errors import FieldError, LayerError, UnknownLayerError, UsageError
from adaption.net import Net
from adaption.pycaffe.install import uninstall_as_caffe
from tests.net.nets import data, inner_product, layer, net_of, normal

# Caffe's examples/pycaffe and python/caffe/test/test_python_layer.py.
MODULE = '''
import caffe
import numpy as np


class EuclideanLossLayer(caffe.Layer):
    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("Need two inputs to compute distance.")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise Exception("Inputs must have the same dimension.")
        self.diff = np.zeros_like(bottom[0].data, dtype=np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.diff**2) / bottom[0].num / 2.

    def backward(self, top, propagate_down, bottom):
        for i in range(2):
            if not propagate_down[i]:
                continue
            sign = 1 if i == 0 else -1
            bottom[i].diff[...] = sign * self.diff / bottom[i].num


class SimpleLayer(caffe.Layer):
    """A layer that multiplies by ten."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = 10 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 10 * top[0].diff


class LinearLayer(caffe.Layer):
    """y = x W' + b; num_output in param_str."""

    def setup(self, bottom, top):
        n = int(self.param_str)
        self.blobs.add_blob(n, bottom[0].channels)
        self.blobs.add_blob(n)
        self.blobs[0].data[...] = 0.5

    def reshape(self, bottom, top):
        top[0].reshape(bottom[0].num, self.blobs[0].shape[0])

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data @ self.blobs[0].data.T + self.blobs[1].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += top[0].diff.T @ bottom[0].data
        self.blobs[1].diff[...] += top[0].diff.sum(0)
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff @ self.blobs[0].data


class ExceptionLayer(caffe.Layer):
    def setup(self, bottom, top):
        raise RuntimeError("a deep\\nreason")


class BackwardExceptionLayer(SimpleLayer):
    def backward(self, top, propagate_down, bottom):
        return [][0]


class HalfLayer(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(1.5)


class ParameterLayer(caffe.Layer):
    """A layer that just multiplies by a parameter."""

    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = 0

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] = 1


class PhaseLayer(caffe.Layer):
    """A layer for checking attribute `phase`."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[()] = self.phase


class OldNames(caffe.Layer):
    def setup(self, bottom, top):
        self.values = [float(self.param_str_), {"TRAIN": 0, "TEST": 1}[str(self.phase)]]

    def reshape(self, bottom, top):
        top[0].reshape(2)

    def forward(self, bottom, top):
        top[0].data[...] = self.values


class BoxSource(caffe.Layer):
    """A placeholder for the boxes, as py-faster-rcnn's data layer has it."""

    columns = 5

    def setup(self, bottom, top):
        top[0].reshape(1, 3, 64, 64)
        top[1].reshape(1, 3)
        top[2].reshape(1, 4)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        top[1].data[...] = [64, 64, 1]
        top[2].reshape(2, self.columns)
        top[2].data[...] = np.array([[5, 5, 40, 40, 1], [20, 10, 60, 50, 2]])[:, :self.columns]


class ParamLayer(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = float(self.param_str)


class NegateInPlace(SimpleLayer):
    def forward(self, bottom, top):
        top[0].data[...] *= -1

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] *= -1


class CountingData(caffe.Layer):
    """A data layer with a method that scripts call."""

    def setup(self, bottom, top):
        self.count = 0
        top[0].reshape(2, 3)

    def set_count(self, count):
        self.count = count

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        self.count += 1
        top[0].reshape(2, 3)
        top[0].data[...] = self.count


class NoLayer:
    pass
'''
NAME = "user_layers"


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "code").mkdir()
    file = tmp_path / "code" / f"{NAME}.py"
    file.write_text(MODULE)
    (tmp_path / "code" / "broken_layers.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.syspath_prepend(str(file.parent))
    yield file
    for name in (NAME, "broken_layers"):
        sys.modules.pop(name, None)
    uninstall_as_caffe()


def python(name: str, kind: str, bottoms: str, tops: str | None = None, more: str = "") -> str:
    param = f'python_param {{ module: "{NAME}" layer: "{kind}" {more} }}'
    return layer("Python", name, bottoms, tops, param)


def allowed(text: str, **options: Any) -> Net:
    return net_of(text, python_modules=(NAME,), **options)


SIMPLE = (
    "force_backward: true\n"
    + data(10, 9, 8)
    + python("one", "SimpleLayer", "data")
    + python("two", "SimpleLayer", "one")
    + python("three", "SimpleLayer", "two")
)


# -- allowed or not ------------------------------------------------------------------------------


def test_code_is_refused_unless_its_module_is_named() -> None:
    with pytest.raises(UnknownLayerError) as caught:
        net_of(SIMPLE)
    assert str(caught.value).startswith(
        "net.prototxt:3: layer \"one\" needs the Python class 'SimpleLayer' of module"
        " 'user_layers': code that comes with a model file is not run unless the module is named"
        ' (--allow-python user_layers, python_modules=("user_layers",), in a script'
        ' caffe.allow_python("user_layers"))'
    )
    for other in (("user",), ("user_layers.deep",), ("os", "sys")):
        with pytest.raises(UnknownLayerError):
            net_of(SIMPLE, python_modules=other)
    assert NAME not in sys.modules


def test_modules_are_imported_only_where_the_net_needs_them() -> None:
    net_of(data(1, 2) + layer("ReLU", "r", "data"), python_modules=(NAME,))
    assert NAME not in sys.modules and "caffe" not in sys.modules


@pytest.mark.parametrize("given", [NAME, ("../user_layers",), ("a b",), ("",), (3,)])
def test_names_that_are_no_modules(given: Any) -> None:
    with pytest.raises(UsageError, match=r"python_modules is .*, allowed: names of modules"):
        net_of(SIMPLE, python_modules=given)


def test_a_module_that_is_not_there() -> None:
    text = SIMPLE.replace(NAME, "not_there.layers")
    with pytest.raises(LayerError) as caught:
        net_of(text, python_modules=("not_there.layers",))
    assert str(caught.value) == (
        "net.prototxt:3: layer \"one\" (Python): needs the Python module 'not_there.layers', which"
        " is not found\n  fix: put the folder that holds not_there on PYTHONPATH"
    )


def test_a_module_that_fails_keeps_its_error(module: Path) -> None:
    with pytest.raises(LayerError) as caught:
        net_of(SIMPLE.replace(NAME, "broken_layers"), python_modules=("broken_layers",))
    place = module.parent / "broken_layers.py"
    assert (
        f"import of broken_layers failed at {place}:1: ModuleNotFoundError: No module named"
        " 'nowhere_to_be_found'"
    ) in str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("kind", "want"),
    [
        ("simplelayer", "which has no such class\n  fix: did you mean SimpleLayer?"),
        ("NoLayer", "which has it, but not derived from caffe.Layer"),
    ],
)
def test_a_class_that_is_not_there(kind: str, want: str) -> None:
    with pytest.raises(LayerError) as caught:
        allowed(data(1, 2) + python("p", kind, "data"))
    assert want in str(caught.value)


# -- Caffe's examples ----------------------------------------------------------------------------


def test_forward_backward_and_reshape() -> None:
    net = allowed(SIMPLE)
    net.blobs["data"].data[...] = 8
    net.forward()
    assert (net.blobs["three"].data == 8e3).all()
    net.blobs["three"].diff[...] = 7
    net.backward()
    assert (net.blobs["data"].diff == 7e3).all()
    net.blobs["data"].reshape(4, 4, 4, 4)
    net.forward()
    assert {b.shape for b in net.blobs.values()} == {(4, 4, 4, 4)}


def test_euclidean_loss_is_caffes_own() -> None:
    head = data(4, 3) + data(4, 2, name="label") + inner_product("ip", "data", 2)
    own = layer("EuclideanLoss", "loss", "ip label")
    users = python("loss", "EuclideanLossLayer", "ip label").replace("}\n", "loss_weight: 1 }\n")
    nets = [net_of(head + own, phase="TRAIN"), allowed(head + users, phase="TRAIN")]
    for net in nets:
        net.forward(data=normal(4, 3), label=normal(4, 2, seed=2))
        net.backward()
    assert nets[0].loss() == pytest.approx(nets[1].loss(), rel=1e-6)
    for one, other in zip(*(n.params["ip"] for n in nets), strict=True):
        np.testing.assert_allclose(one.diff, other.diff, rtol=1e-5, atol=1e-6)


def test_linear_layer_is_inner_product(tmp_path: Path) -> None:
    def made(middle: str, run: Callable[..., Net]) -> Net:
        return run("force_backward: true\n" + data(4, 3) + middle)

    param = "inner_product_param { num_output: 5 }"
    nets = [
        made(layer("InnerProduct", "ip", "data", more=param), net_of),
        made(python("ip", "LinearLayer", "data", more='param_str: "5"'), allowed),
    ]
    own, users = nets
    assert [b.shape for b in users.params["ip"]] == [(5, 3), (5,)]
    assert (users.params["ip"][0].data == 0.5).all()
    users.save(tmp_path / "w.caffemodel")
    users.params["ip"][0].data[...] = 0
    for net in nets:
        net.load(tmp_path / "w.caffemodel")
        for _ in range(2):  # the diffs of parameters add up
            net.forward(data=normal(4, 3))
            net.blobs["ip"].diff[...] = normal(4, 5, seed=3).numpy()
            net.backward()
    np.testing.assert_allclose(own.blobs["ip"].data, users.blobs["ip"].data, rtol=1e-6)
    np.testing.assert_allclose(own.blobs["data"].diff, users.blobs["data"].diff, rtol=1e-6)
    for one, other in zip(own.params["ip"], users.params["ip"], strict=True):
        np.testing.assert_allclose(one.diff, other.diff, rtol=1e-6)


def test_parameters_learn_with_torch() -> None:
    text = data(4, 3) + data(4, 2, name="label")
    text += python("ip", "LinearLayer", "data", more='param_str: "2"')
    net = allowed(text + layer("EuclideanLoss", "loss", "ip label"), phase="TRAIN")
    assert [tuple(p.shape) for p in net.parameters()] == [(2, 3), (2,)]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    losses = []
    for _ in range(20):
        net.clear_param_diffs()
        net.forward(data=normal(4, 3), label=normal(4, 2, seed=2))
        losses.append(net.loss())
        net.backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]


def test_parameter_layer(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text("force_backward: true\n" + data(10, 9, 8)
                    + python("layer", "ParameterLayer", "data", "top"))  # fmt: skip
    caffe.allow_python(NAME)
    net = caffe.Net(str(file), caffe.TRAIN)
    net.forward()
    net.backward()
    made = net.layers[list(net._layer_names).index("layer")]
    assert made.blobs[0].data[0] == 0 and made.blobs[0].diff[0] == 1
    made.blobs[0].data[0] += made.blobs[0].diff[0]
    assert made.blobs[0].data[0] == 1
    net.save(str(tmp_path / "w.caffemodel"))
    made.blobs[0].data[0] = -1
    net.copy_from(str(tmp_path / "w.caffemodel"))
    assert made.blobs[0].data[0] == 1


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_phase_layer(phase: str) -> None:
    net = allowed(python("phase", "PhaseLayer", ""), phase=phase)
    assert net.forward()["phase"].item() == (phase == "TEST")


def test_names_of_2015() -> None:
    """py-faster-rcnn reads self.param_str_, and looks settings up by str(self.phase)."""
    for phase in ("TRAIN", "TEST"):
        net = allowed(python("p", "OldNames", "", more="param_str: '5'"), phase=phase)
        assert net.forward()["p"].tolist() == [5.0, float(phase == "TEST")]


def test_boxes_may_have_any_shape_before_the_first_pass() -> None:
    net = allowed(
        python("src", "BoxSource", "", tops="data info boxes")
        + layer("Convolution", "score", "data", more="convolution_param { num_output: 6"
                " kernel_size: 16 stride: 16 }")
        + """layer { name: "t" type: "Python" bottom: "score" bottom: "boxes" bottom: "info"
        bottom: "data" top: "l" top: "m" top: "i" top: "o" python_param {
        module: "rpn.anchor_target_layer" layer: "AnchorTargetLayer" param_str:
        "'feat_stride': 16, 'scales': [2]" } }""",
        phase="TRAIN",
    )  # fmt: skip
    made = net.forward()
    assert (net.blobs["l"].data == 1).any()
    assert made["m"].any()
    net.nodes[0].layer.user.columns = 4  # type: ignore[attr-defined]
    with pytest.raises(LayerError, match=r"true boxes have shape \(2, 4\), allowed: \(n, 5\)"):
        net.forward()


def test_param_str() -> None:
    net = allowed(data(2, 2) + python("p", "ParamLayer", "data", more="param_str: '-2.5'"))
    assert (net.forward()["p"].numpy() == -2.5).all()


# -- blobs ---------------------------------------------------------------------------------------


def test_in_place() -> None:
    net = allowed(
        "force_backward: true\n" + data(2) + layer("ReLU", "r", "data", "x")
        + python("neg", "NegateInPlace", "x", "x")
    )  # fmt: skip
    net.forward(data=[3.0, -1.0])
    assert net.blobs["x"].data.tolist() == [-3, 0]
    net.blobs["x"].diff[...] = 5
    net.backward()
    # ReLU still knows what it had made: its gradient is that of 3, not of -3.
    assert net.blobs["data"].diff.tolist() == [-5, 0]


def test_a_data_layer_and_its_own_methods(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(python("data", "CountingData", "") + layer("ReLU", "r", "data"))
    caffe.allow_python(NAME)
    net = caffe.Net(str(file), caffe.TRAIN)
    assert isinstance(net.layers[0], caffe.Layer) and net.layers[0].type == "Python"
    net.layers[0].set_count(5)
    first = net._net.forward()["r"]
    second = net._net.forward()["r"]
    assert (first.unique().item(), second.unique().item()) == (6, 7)
    view = net.blobs["data"].data
    net.forward()
    assert (view == 8).all()


def test_a_top_that_is_not_written_keeps_what_is_in_it() -> None:
    net = allowed(data(2, 2) + python("p", "ParameterLayer", "data"))
    net.blobs["p"].data[...] = 4
    assert (net.forward()["p"].numpy() == 4).all()


def test_nets_have_objects_of_their_own() -> None:
    one, two = (allowed(python("data", "CountingData", "")) for _ in range(2))
    one.forward()
    one.forward()
    assert two.forward()["data"].unique().item() == 1


# -- errors --------------------------------------------------------------------------------------


def test_an_error_in_setup(module: Path) -> None:
    with pytest.raises(LayerError) as caught:
        allowed(data(1, 2) + python("bad", "ExceptionLayer", "data"))
    line = MODULE[: MODULE.index("raise RuntimeError")].count("\n") + 1
    assert str(caught.value) == (
        'net.prototxt:2: layer "bad" (Python): setup of user_layers.ExceptionLayer failed at'
        f" {module}:{line}: RuntimeError: a deep\\nreason\n"
        "  fix: correct that code, or the layer's param_str, bottoms and tops"
    )
    cause = caught.value.__cause__
    assert isinstance(cause, RuntimeError) and cause.__traceback__ is not None


def test_an_error_in_forward_and_in_backward() -> None:
    net = allowed("force_backward: true\n" + data(1, 2)
                  + python("p", "ParamLayer", "data", more='param_str: "x"'))  # fmt: skip
    with pytest.raises(LayerError, match=r"forward of .* failed at .*: ValueError: ") as e:
        net.forward()
    assert e.value.layer == "p" and isinstance(e.value.__cause__, ValueError)
    net = allowed("force_backward: true\n" + data(1, 2)
                  + python("p", "BackwardExceptionLayer", "data"))  # fmt: skip
    net.forward()
    with pytest.raises(LayerError, match=r"backward of .* failed at .*: IndexError: ") as e:
        net.backward()
    assert e.value.layer == "p" and isinstance(e.value.__cause__, IndexError)


def test_methods_that_are_missing_and_shapes_that_are_none() -> None:
    with pytest.raises(LayerError, match=r"reshape of .*HalfLayer failed at .*TypeError"):
        allowed(data(1, 2) + python("p", "HalfLayer", "data"))
    net = allowed("force_backward: true\n" + data(1) + python("p", "PhaseLayer", "data"))
    net.forward()
    with pytest.raises(LayerError, match="PhaseLayer has no method backward"):
        net.backward()


def test_formats_are_not_for_code_of_ones_own() -> None:
    low = " precision_param { weight { kind: FIXED word_length: 8 frac_length: 4 } }"
    text = python("p", "LinearLayer", "data", more='param_str: "2"').replace("}\n", low + "}\n")
    with pytest.raises(FieldError, match=r"precision_param.weight is 'set', allowed: layers that"):
        allowed(data(1, 2) + text)


def test_its_result_can_be_rounded() -> None:
    low = " precision_param { activation { kind: FIXED word_length: 8 frac_length: 0 } }"
    text = python("p", "ParamLayer", "data", more="param_str: '2.6'").replace("}\n", low + "}\n")
    assert (allowed(data(1, 2) + text).forward()["p"].numpy() == 3).all()


# -- verbs ---------------------------------------------------------------------------------------


def test_inspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(data(4, 3) + python("ip", "LinearLayer", "data", more='param_str: "5"'))
    assert main(["inspect", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert not found["supported"] and f'{file}:2: layer "ip" needs' in found["warnings"][0]
    assert main(["inspect", str(file), "--json", "--allow-python", NAME]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["supported"] and found["layers"][1]["top_shapes"] == [[4, 5]]
    assert found["layers"][1]["blob_shapes"] == [[5, 3], [5]] and found["warnings"] == []


def test_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(data(1, 3) + python("ip", "LinearLayer", "data", more='param_str: "5"'))
    net = Net(str(file), python_modules=(NAME,))
    net.save(tmp_path / "w.caffemodel")
    made = net.forward(data=normal(1, 3))
    np.savez(tmp_path / "x.npz", data=normal(1, 3).numpy())
    np.savez(tmp_path / "y.npz", ip=made["ip"].numpy())
    files = [str(tmp_path / n) for n in ("net.prototxt", "w.caffemodel", "y.npz")]
    files += ["--data", str(tmp_path / "x.npz")]
    assert main(["verify", *files]) == 2
    assert "--allow-python user_layers" in capsys.readouterr().err
    assert main(["verify", *files, "--allow-python", NAME]) == 0


def test_quantize(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything but the ONNX file, which has no place for code."""
    file = tmp_path / "net.prototxt"
    file.write_text(
        data(1, 3) + inner_product("ip1", "data", 4) + python("ten", "SimpleLayer", "ip1")
        + inner_product("ip2", "ten", 2)
    )  # fmt: skip
    Net(str(file), python_modules=(NAME,), seed=1).save(tmp_path / "w.caffemodel")
    np.savez(tmp_path / "x.npz", data=normal(8, 3).numpy())
    flags = [str(file), str(tmp_path / "w.caffemodel"), "--data", str(tmp_path / "x.npz")]
    flags += ["-o", str(tmp_path / "out"), "--quiet", "--json", "--allow-python", NAME]
    assert main(["quantize", *flags]) == 1
    summary = json.loads(capsys.readouterr().out)
    first, second = summary["verification"]
    assert first["ok"] and "bit-equal" in first["detail"]
    assert second["detail"] == (
        'not written: layer "ten" (Python): layer type Python has no ONNX form'
    )
