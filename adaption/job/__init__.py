"""Jobs over files: the main one, quantize (a float net in; a low-precision net, its proof and its
report out), and its parts that need data.
"""

from adaption.job.freeze import FreezeResult, freeze
from adaption.job.measure import measure, merge_measurements
from adaption.job.quantize import QuantizeResult, quantize
from adaption.job.sparsity import Sparsity, sparsity

__all__ = [
    "FreezeResult",
    "QuantizeResult",
    "Sparsity",
    "freeze",
    "measure",
    "merge_measurements",
    "quantize",
    "sparsity",
]
