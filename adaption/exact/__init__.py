"""Exact arithmetic: a low-precision net computed on integer codes, as integer hardware does it."""

from adaption.exact.build import build_program
from adaption.exact.options import ExactOptions
from adaption.exact.program import Program
from adaption.exact.report import ExactReport
from adaption.exact.run import ExactNet, ExactRun

__all__ = ["ExactNet", "ExactOptions", "ExactReport", "ExactRun", "Program", "build_program"]
