"""The styles of ONNX export by name, and the processors that a file may be made for."""

from __future__ import annotations

from types import MappingProxyType

from adaption.errors import UsageError
from adaption.export.onnx.integer import IntegerStyle
from adaption.export.onnx.qdq import QdqStyle
from adaption.export.onnx.qonnx import QonnxStyle
from adaption.export.onnx.styles import FloatStyle, Style

__all__ = ["PROCESSORS", "STYLES", "new_style"]

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
        raise UsageError(f"style is {name!r}, allowed: {', '.join(STYLES)}")
    if processor not in PROCESSORS:
        raise UsageError(f"processor is {processor!r}, allowed: {', '.join(PROCESSORS)}")
    if name == QdqStyle.name:
        return QdqStyle(processor)
    if processor != "any":
        raise UsageError(
            f"style {name} is the same for every processor, processor is {processor!r}",
            f'leave it out, or choose style "{QdqStyle.name}"',
        )
    return STYLES[name]()
