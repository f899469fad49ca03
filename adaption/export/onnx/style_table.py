"""The styles of ONNX export by name, and the processors that a file may be made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch import Tensor

from adaption.errors import UsageError, bad_choice
from adaption.exact.selection import Selection
from adaption.export.onnx.integer import IntegerLowered, IntegerStyle
from adaption.export.onnx.layer_lowering import LayerLowered
from adaption.export.onnx.lowered import Lowered
from adaption.export.onnx.qdq import QdqStyle
from adaption.export.onnx.qonnx import QonnxStyle
from adaption.export.onnx.styles import FloatStyle, LayerStyle, Style
from adaption.numerics import FixedPoint

__all__ = ["PROCESSORS", "STYLES", "lower", "new_style"]

# vnni: one that adds 8-bit products in 32 bits, by AVX-512 VNNI, AVX-VNNI, AMX or ARM's kernels.
PROCESSORS = ("any", "vnni")

STYLES: MappingProxyType[str, type[Style]] = MappingProxyType(
    {style.name: style for style in (FloatStyle, QdqStyle, IntegerStyle, QonnxStyle)}
)


def new_style(name: str, processor: str = "any") -> Style:
    """A style for one export.

    Raises: UsageError on an unknown name or processor, and when the style has no such choice.
    """
    if name not in STYLES:
        raise bad_choice("style", name, STYLES)
    if processor not in PROCESSORS:
        raise bad_choice("processor", processor, PROCESSORS)
    if name == QdqStyle.name:
        return QdqStyle(processor)
    if processor != "any":
        raise UsageError(
            f"style {name} is the same for every processor, processor is {processor!r}",
            f'leave it out, or choose style "{QdqStyle.name}"',
        )
    return STYLES[name]()


def lower(
    style: Style,
    selection: Selection,
    rounded: Sequence[Sequence[Tensor]],
    shapes: Mapping[str, tuple[int, ...]],
    input_formats: Mapping[str, FixedPoint],
) -> Lowered:
    """The layers of `selection` as operators, for inputs of these shapes.

    Args:
        rounded: each member's blobs as its layer is given them.
    Raises: AdaptionError naming a layer that cannot be lowered.
    """
    if isinstance(style, LayerStyle):
        return LayerLowered(selection, style, rounded, shapes, input_formats)
    return IntegerLowered(selection, rounded, shapes, input_formats)
