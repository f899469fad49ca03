"""torch and numpy at first use, so that what only reads and writes files starts without them.

`from adaption.later import F, Tensor, torch` stands in place of torch's own import in every module
that verbs of text and files pass through, such as layers, whose shapes need no torch; `np` and
`npt` stand there for numpy and numpy.typing. Type checkers see the modules themselves. An alias of
an array's type is written as text: `Array: TypeAlias = "npt.NDArray[np.float32]"`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["F", "Tensor", "names_of", "np", "npt", "torch"]

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    import torch.nn.functional as F
    from torch import Tensor
else:

    class _Later(ModuleType):
        """A module that is imported when one of its names is asked for."""

        def __getattr__(self, name: str) -> Any:
            value = getattr(import_module(self.__name__), name)
            setattr(self, name, value)  # asked for once only
            return value

    class _Instances(type):
        """Before torch is there, nothing is a tensor."""

        def __instancecheck__(cls, thing: object) -> bool:
            loaded = sys.modules.get("torch")
            return loaded is not None and isinstance(thing, loaded.Tensor)

    class Tensor(metaclass=_Instances):
        """torch.Tensor, in annotations and for isinstance."""

    np = _Later("numpy")
    npt = _Later("numpy.typing")
    torch = _Later("torch")
    F = _Later("torch.nn.functional")


def names_of(package: str, module_of: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names are loaded at first use.

    Args:
        module_of: for each name, the module that has it.
    """

    def load(name: str) -> Any:
        module = module_of.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name)
        value = getattr(import_module(module), name)
        setattr(sys.modules[package], name, value)
        return value

    return load
