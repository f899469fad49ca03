"""Python: a layer whose code lies beside the model file. It is not run: see python_registry.py."""

from __future__ import annotations

from adaption.errors import UnknownLayerError
from adaption.graph import LayerSpec
from adaption.layers.base import Layer, check_count, layer
from adaption.layers.python_registry import built_in, published


@layer("Python", param="python_param", bottoms=(0, None), tops=(0, None), is_differentiable=False)
class Python(Layer):
    """Stands for the built-in layer that computes what the one named by `python_param` does."""

    @classmethod
    def obstacle(cls, spec: LayerSpec) -> str:
        param = spec.message.python_param
        if built_in(param.module, param.layer):
            return ""
        return (
            f"needs the Python class {param.layer!r} of module {param.module!r}: code that comes"
            " with a model file is not run"
        )

    @classmethod
    def read(cls, spec: LayerSpec) -> Layer:
        """The built-in layer. Raises: UnknownLayerError when there is none."""
        param = spec.message.python_param
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
