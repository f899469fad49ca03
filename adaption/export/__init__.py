"""Models for other runtimes, and the check that they compute the same.

`verify` runs onnxruntime, and imports it when called.
"""

from adaption.export.between import BetweenReport, counterpart, verify_between
from adaption.export.exact import ExactNet, ExactOptions
from adaption.export.onnx import ExportReport, export_onnx
from adaption.export.step_check import StepReport, verify_step
from adaption.export.verify import VerifyReport, verify
from adaption.export.verify_images import ImageCheck, verify_images

__all__ = [
    "BetweenReport",
    "ExactNet",
    "ExactOptions",
    "ExportReport",
    "ImageCheck",
    "StepReport",
    "VerifyReport",
    "counterpart",
    "export_onnx",
    "verify",
    "verify_between",
    "verify_images",
    "verify_step",
]
