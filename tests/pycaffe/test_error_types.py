"""Errors of the facade are also the built-in exceptions that scripts, and Caffe's tests, catch."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import adaption.pycaffe as caffe
from adaption.errors import AdaptionError, FieldError, FileFormatError, LayerError, ShapeError
from adaption.pycaffe.errors import also, also_raised_as
from adaption.pycaffe.install import uninstall_as_caffe

L = caffe.layers


@pytest.fixture(autouse=True)
def caffe_as_before() -> Iterator[None]:
    yield
    uninstall_as_caffe()  # Python layers have installed it


def _spec() -> caffe.NetSpec:
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 3, 20, 20]})
    n.pool = L.Pooling(n.data, kernel_size=2, stride=2)
    n.up = L.Deconvolution(n.data, kernel_size=4, stride=2)
    n.ip = L.InnerProduct(n.pool, num_output=2)
    return n


def _transformer() -> caffe.io.Transformer:
    return caffe.io.Transformer({"data": (1, 3, 4, 4)})


CASES: dict[str, tuple[type[Exception], Callable[[], object]]] = {
    "values that do not fill a BlobProto": (
        ValueError,
        lambda: caffe.io.blobproto_to_array(
            caffe.proto.caffe_pb2.BlobProto(data=[0.0] * 5, num=1, channels=1, height=2, width=2)
        ),
    ),
    "a Datum of four axes": (ValueError, lambda: caffe.io.array_to_datum(np.zeros((1, 2, 3, 4)))),
    "a mean of other channels": (
        ValueError, lambda: _transformer().set_mean("data", np.zeros(2)),
    ),
    "a number as a bottom": (TypeError, lambda: L.ReLU(3)),
    "a field that no message has": (
        AttributeError, lambda: caffe.net_spec.assign_proto(
            caffe.proto.caffe_pb2.ConvolutionParameter(), "num_outputs", 3
        ),
    ),
    "a value that a field does not take": (
        TypeError, lambda: caffe.net_spec.assign_proto(
            caffe.proto.caffe_pb2.ConvolutionParameter(), "num_output", "three"
        ),
    ),
    "coordinates of nets apart": (
        RuntimeError,
        lambda: caffe.coord_map.coord_map_from_to(_spec().pool, _spec().data),
    ),
    "a crop between scales": (
        AssertionError, lambda: (lambda n: caffe.coord_map.crop(n.up, n.data))(_spec()),
    ),
    "a prototxt that is not there": (
        RuntimeError, lambda: caffe.Net("no such.prototxt", caffe.TEST),
    ),
    "a solver that is not there": (RuntimeError, lambda: caffe.get_solver("no such.prototxt")),
    "a solver class of a file that is not there": (
        RuntimeError, lambda: caffe.SGDSolver("no such.prototxt"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_built_in_kinds(name: str) -> None:
    kind, call = CASES[name]
    with pytest.raises(kind) as raised:
        call()
    assert isinstance(raised.value, AdaptionError)
    assert str(raised.value)


def test_weights_that_do_not_open(tmp_path: Path) -> None:
    (tmp_path / "n.prototxt").write_text(
        'layer { name: "i" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'
    )
    net = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST)
    with pytest.raises(RuntimeError):
        net.copy_from(str(tmp_path / "none.caffemodel"))
    with pytest.raises(ValueError):
        net.forward(x=np.zeros((5, 3)))


def test_what_a_python_layer_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caffe's test_python_layer catches what its layer raises."""
    (tmp_path / "raising_layer.py").write_text(
        "import caffe\n"
        "class Key(caffe.Layer):\n"
        "    def setup(self, bottom, top): raise KeyError('no such setting')\n"
        "class Own(caffe.Layer):\n"
        "    class Refusal(Exception): pass\n"
        "    def setup(self, bottom, top): raise self.Refusal('no')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    caffe.allow_python("raising_layer")
    for name, kind in (("Key", KeyError), ("Own", Exception)):
        file = tmp_path / f"{name}.prototxt"
        file.write_text(
            'layer { name: "p" type: "Python" top: "y"'
            f' python_param {{ module: "raising_layer" layer: "{name}" }} }}'
        )
        with pytest.raises(kind) as raised:
            caffe.Net(str(file), caffe.TEST)
        assert isinstance(raised.value, LayerError)
        assert f"raising_layer.{name} failed" in str(raised.value)


def test_an_error_keeps_what_it_says() -> None:
    error = ShapeError("has shape (1,)", "give more").at(file="n.prototxt", layer="x")
    text = str(error)
    assert also(error, KeyError) is error
    assert isinstance(error, ShapeError)
    assert isinstance(error, KeyError)
    assert str(error) == text
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is ShapeError
    assert str(copy) == text


def test_kinds_that_hold_more_leave_the_error_as_it_is() -> None:
    error = also(FieldError("bits", 3, "4"), UnicodeDecodeError)
    assert type(error) is FieldError
    with pytest.raises(FileFormatError), also_raised_as(UnicodeDecodeError):
        raise FileFormatError("is empty")


def test_a_python_layer_that_is_refused_names_the_call(tmp_path: Path) -> None:
    file = tmp_path / "n.prototxt"
    file.write_text(
        'layer { name: "p" type: "Python" top: "y" python_param { module: "mine" layer: "A" } }'
    )
    with pytest.raises(AdaptionError, match=r'caffe\.allow_python\("mine"\)'):
        caffe.Net(str(file), caffe.TEST)
