"""`from caffe._caffe import ...`: what Caffe's compiled module holds. Caffe: _caffe.cpp.

The classes are the facade's, which has no layer of Python over a compiled one.
"""

from adaption.layers.base import known_types
from adaption.net import Blob
from adaption.pycaffe.mode import (
    has_nccl,
    init_log,
    log,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from adaption.pycaffe.net import Net
from adaption.pycaffe.python_layer import BlobVec, Layer
from adaption.pycaffe.solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    Solver,
    get_solver,
)
from adaption.pycaffe.timer import Timer

__all__ = [
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "BlobVec",
    "Layer",
    "NesterovSolver",
    "Net",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "Timer",
    "get_solver",
    "has_nccl",
    "init_log",
    "layer_type_list",
    "log",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
]

__version__ = "1.0.0"
"""The version of Caffe whose calls these are; adaption's own is `adaption.__version__`."""


def layer_type_list() -> list[str]:
    """Every layer type that can run."""
    return list(known_types())
