"""ONNX models of a net, in styles: float, qdq, integer, qonnx."""

from adaption.export.onnx.write import ExportReport, export_onnx

__all__ = ["ExportReport", "export_onnx"]
