"""install_as_caffe: `import caffe` in all its forms, next to another caffe, and taken back."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import adaption
import adaption.pycaffe
from adaption.errors import UsageError
from adaption.pycaffe.install import install_as_caffe, uninstall_as_caffe

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def modules_as_before() -> Iterator[None]:
    before = {k: m for k, m in sys.modules.items() if k.partition(".")[0] == "caffe"}
    yield
    uninstall_as_caffe()
    assert before == {k: m for k, m in sys.modules.items() if k.partition(".")[0] == "caffe"}


SCRIPT = """
import adaption
adaption.install_as_caffe()
import caffe, caffe.io, caffe.draw, caffe.net_spec, caffe.coord_map
import caffe.proto.caffe_pb2 as pb2
from caffe import layers as L, params as P
from caffe.classifier import Classifier
from caffe.detector import Detector
from caffe.io import Transformer
from caffe.proto import caffe_pb2
from caffe.pycaffe import Net
from caffe.coord_map import crop
import caffe.pycaffe
assert caffe.__name__ == "adaption.pycaffe"
assert Net is caffe.Net is caffe.pycaffe.Net and Classifier is caffe.Classifier
assert pb2 is caffe_pb2 is caffe.proto.caffe_pb2 and pb2.NetParameter().layer is not None
assert Transformer is caffe.io.Transformer and issubclass(Detector, Net)
assert caffe.TEST == caffe_pb2.TEST == 1 and P.Pooling.AVE == 1
assert caffe.__version__ == "1.0.0"
import sys
twice = [k for k in sys.modules if k.startswith("caffe.") and
         sys.modules[k] is not sys.modules.get(k.replace("caffe", "adaption.pycaffe", 1),
                                               sys.modules.get("adaption" + k[5:]))]
assert not twice, twice
try:
    import caffe.nothing
except ImportError:
    pass
"""


def test_scripts_import_it_in_every_form() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_can_be_called_again_and_taken_back() -> None:
    adaption.install_as_caffe()
    install_as_caffe()
    assert importlib.import_module("caffe") is adaption.pycaffe
    uninstall_as_caffe()
    uninstall_as_caffe()
    with pytest.raises(ImportError):
        importlib.import_module("caffe")


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made, inner = ModuleType("caffe"), ModuleType("caffe.gone")
    made.__file__ = "site/caffe/__init__.py"
    monkeypatch.setitem(sys.modules, "caffe", made)
    monkeypatch.setitem(sys.modules, "caffe.gone", inner)
    return made


class TestBesideAnotherCaffe:
    @pytest.fixture(autouse=True)
    def modules_as_before(self, other: ModuleType) -> Iterator[None]:
        yield
        uninstall_as_caffe()
        assert sys.modules["caffe"] is other

    def test_it_is_refused(self, other: ModuleType) -> None:
        with pytest.raises(UsageError) as caught:
            install_as_caffe()
        assert str(caught.value) == (
            "another caffe is imported already (site/caffe/__init__.py)\n  fix: call"
            " adaption.install_as_caffe() before anything imports caffe, or with force=True"
        )
        assert sys.modules["caffe"] is other

    def test_force_replaces_it_whole(self, other: ModuleType) -> None:
        install_as_caffe(force=True)
        assert importlib.import_module("caffe") is adaption.pycaffe
        assert "caffe.gone" not in sys.modules
        uninstall_as_caffe()
        assert sys.modules["caffe"] is other and "caffe.gone" in sys.modules
