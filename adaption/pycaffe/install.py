"""Make `import caffe` mean adaption.pycaffe, so that Caffe scripts run unchanged."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from types import ModuleType

from adaption.errors import UsageError

__all__ = ["install_as_caffe", "uninstall_as_caffe"]

FACADE = "adaption.pycaffe"

_replaced: dict[str, ModuleType] | None = None  # what `caffe` meant before; None: not installed


def install_as_caffe(*, force: bool = False) -> None:
    """From now on, `import caffe` and `from caffe.proto import caffe_pb2` mean this package.

    It lasts for this process, and comes before a Caffe that is installed but not imported yet.
    Modules in Python that a fork's `caffe` folder on sys.path has beside those (`caffe.model_libs`
    of SSD, `caffe.quantization` of ADaPTION) are found behind ours.

    Args:
        force: also where another caffe has been imported; what holds it keeps it.
    Raises: UsageError when another caffe has been imported.
    """
    global _replaced
    ours = _modules()
    others = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] == "caffe" and ours.get(name) is not module
    }
    if sys.modules.get("caffe") is ours["caffe"]:
        others = {}  # installed before: these are modules of a fork, found behind ours
    if others and not force:
        origin = getattr(others.get("caffe"), "__file__", None) or "of unknown origin"
        raise UsageError(
            f"another caffe is imported already ({origin})",
            "call adaption.install_as_caffe() before anything imports caffe, or with force=True",
        )
    for name in others:
        del sys.modules[name]
    sys.modules.update(ours)
    if _finder not in sys.meta_path:
        sys.meta_path.append(_finder)
    if _replaced is None:
        _replaced = others


def uninstall_as_caffe() -> None:
    """Take `install_as_caffe` back: `import caffe` means what it meant before."""
    global _replaced
    if _replaced is None:
        return
    ours = _modules()
    facade = ours["caffe"]
    if sys.modules.get("caffe") is facade:
        of_forks = [n for n in sys.modules if n.startswith("caffe.") and n not in ours]
        for name in of_forks:
            del sys.modules[name]
            vars(facade).pop(name.removeprefix("caffe."), None)  # imports have set it on ours
    for name, module in ours.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    sys.modules.update(_replaced)
    _replaced = None


class _Behind(MetaPathFinder):
    """Finds modules in Python below other folders `caffe` on sys.path."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parent, _, name = fullname.rpartition(".")
        if parent != "caffe" or not name:
            return None
        folders = [os.path.join(entry, "caffe") for entry in map(str, sys.path)]  # noqa: PTH118
        spec = PathFinder.find_spec(fullname, folders)
        if spec is None or isinstance(spec.loader, ExtensionFileLoader):
            return None  # Caffe's compiled module would bring Caffe itself
        return spec


_finder = _Behind()


def _modules() -> dict[str, ModuleType]:
    """Each module of the facade by the name that Caffe scripts call it.

    All of them: a module left out would be imported a second time under its other name.
    """
    facade = importlib.import_module(FACADE)
    inner = [module.name for module in pkgutil.iter_modules(facade.__path__)]
    ours = {f"caffe.{name}": importlib.import_module(f"{FACADE}.{name}") for name in inner}
    proto = importlib.import_module("adaption.proto")
    return {
        "caffe": facade,
        "caffe.proto": proto,
        "caffe.proto.caffe_pb2": importlib.import_module("adaption.proto.caffe_pb2"),
        **ours,
    }
