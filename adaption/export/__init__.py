"""Models for other runtimes, and the check that they compute the same.

`verify` runs onnxruntime, and imports it when called.
"""

from adaption.export.onnx import ExportReport, export_onnx
from adaption.export.verify import VerifyReport, verify

__all__ = ["ExportReport", "VerifyReport", "export_onnx", "verify"]
