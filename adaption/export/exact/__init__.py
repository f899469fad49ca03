"""Exact arithmetic: a low-precision net computed on integer codes, as integer hardware does it."""

from adaption.export.exact.build import build_program
from adaption.export.exact.options import ExactOptions
from adaption.export.exact.program import Program
from adaption.export.exact.report import ExactReport
from adaption.export.exact.run import ExactNet, ExactRun

__all__ = ["ExactNet", "ExactOptions", "ExactReport", "ExactRun", "Program", "build_program"]
