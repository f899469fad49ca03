"""Python: a layer whose code lies beside the model file.

A model file is data, so the code it names is not run. Where it is that of a well-known repository,
a built-in layer computes the same (python_registry.py); other modules run when the caller names
them (`LayerSpec.python_modules`), as adaption/pycaffe/python_layer.py does it.
"""

from __future__ import annotations

import importlib

from adaption.errors import UnknownLayerError
from adaption.graph import LayerSpec
from adaption.layers.base import Layer, check_count, layer
from adaption.layers.python_registry import built_in, published

RUNNER = "adaption.pycaffe.python_layer"  # loaded only to run code that the caller has allowed


@layer(
    "Python",
    param="python_param",
    kind="data",
    bottoms=(0, None),
    tops=(0, None),
    is_differentiable=False,
)
class Python(Layer):
    """Stands for the layer that computes what the class named by `python_param` does."""

    @classmethod
    def obstacle(cls, spec: LayerSpec) -> str:
        param = spec.message.python_param
        if built_in(param.module, param.layer) or param.module in spec.python_modules:
            return ""
        return (
            f"needs the Python class {param.layer!r} of module {param.module!r}: code that comes"
            f" with a model file is not run unless the module is named (--allow-python"
            f' {param.module}, python_modules=("{param.module}",), in a script'
            f' caffe.allow_python("{param.module}"))'
        )

    @classmethod
    def described(cls, spec: LayerSpec) -> Layer:
        """Nothing but its kind is known: the class may be code that isn't to run for this."""
        return cls()

    @classmethod
    def read(cls, spec: LayerSpec) -> Layer:
        """The built-in layer, or the one that runs the caller's code.

        Raises: UnknownLayerError when there is none; LayerError when the code fails.
        """
        param = spec.message.python_param
        if param.module in spec.python_modules:
            made: Layer = importlib.import_module(RUNNER).run_user_code(spec)
            return made
        found = built_in(param.module, param.layer)
        if found is None:
            raise UnknownLayerError(
                cls.obstacle(spec),
                "cut the net before that layer, or feed its tops as inputs; built in:"
                f" {', '.join(published())}",
            )
        check_count("bottom", len(spec.bottoms), found.bottoms)
        check_count("top", len(spec.tops), found.tops)
        return found.read(spec)
