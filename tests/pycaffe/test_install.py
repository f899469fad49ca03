"""install_as_caffe: `import caffe` in all its forms, next to another caffe, and taken back."""

from __future__ import annotations

import importlib
import importlib.machinery
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


def _fork(folder: Path) -> None:
    """A fork's python/caffe: its own package does not import, modules beside it do."""
    files = {
        "__init__.py": "raise ImportError('no compiled module here')\n",
        "model_libs.py": "import caffe\nfrom caffe import layers as L\nNAME = L.ReLU.__name__\n",
        "io.py": "raise ImportError('hidden by ours')\n",
        "tools/__init__.py": "from .deep.rates import HALF\n",
        "tools/deep/__init__.py": "",
        "tools/deep/rates.py": "import caffe\nfrom caffe.proto import caffe_pb2\nHALF = 0.5\n",
    }
    for name, text in files.items():
        (folder / "caffe" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "caffe" / name).write_text(text)


def test_modules_of_a_fork_are_found_behind_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fork(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    install_as_caffe()
    assert importlib.import_module("caffe.tools.deep.rates").HALF == 0.5
    libs = importlib.import_module("caffe.model_libs")
    assert Path(libs.__file__ or "").parent == tmp_path / "caffe"
    assert importlib.import_module("caffe.io") is adaption.pycaffe.io
    install_as_caffe()  # a second time, as run_user_code does
    assert importlib.import_module("caffe.model_libs") is libs
    uninstall_as_caffe()
    assert not [name for name in sys.modules if name.partition(".")[0] == "caffe"]
    assert not hasattr(adaption.pycaffe, "model_libs")
    with pytest.raises(ImportError, match="no compiled module"):
        importlib.import_module("caffe.model_libs")


def test_a_forks_compiled_module_stays_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fork(tmp_path)
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    (tmp_path / "caffe" / f"fast{suffix}").write_bytes(b"no library")
    monkeypatch.syspath_prepend(str(tmp_path))
    install_as_caffe()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("caffe.fast")
