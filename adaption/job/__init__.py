"""Jobs over files: the main one, quantize (a float net in; a low-precision net, its proof and its
report out), its parts that need data, and assign (a float net and its solver in; the precision of
every tensor of training out).
"""

from adaption.job.assign import AssignResult, assign
from adaption.job.calibration import calibration_note
from adaption.job.freeze import FreezeResult, freeze
from adaption.job.measure import measure, merge_measurements
from adaption.job.quantize import QuantizeResult, quantize
from adaption.job.score import DataScore, score
from adaption.job.search import SearchResult, search
from adaption.job.sensitivity import Sensitivity, sensitivity
from adaption.job.sparsity import Sparsity, sparsity

__all__ = [
    "AssignResult",
    "DataScore",
    "FreezeResult",
    "QuantizeResult",
    "SearchResult",
    "Sensitivity",
    "Sparsity",
    "assign",
    "calibration_note",
    "freeze",
    "measure",
    "merge_measurements",
    "quantize",
    "score",
    "search",
    "sensitivity",
    "sparsity",
]
