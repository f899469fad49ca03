"""The styles of ONNX export by name."""

from __future__ import annotations

from types import MappingProxyType

from adaption.export.integer import IntegerStyle
from adaption.export.qdq import QdqStyle
from adaption.export.qonnx import QonnxStyle
from adaption.export.styles import FloatStyle, Style

__all__ = ["STYLES"]

STYLES: MappingProxyType[str, type[Style]] = MappingProxyType(
    {style.name: style for style in (FloatStyle, QdqStyle, IntegerStyle, QonnxStyle)}
)
