"""Drop-in facade for pycaffe scripts: `import adaption.pycaffe as caffe`.

Arrays are numpy views that can be written in place. Caffe: python/caffe/pycaffe.py, _caffe.cpp.
"""

from adaption import proto
from adaption.proto import caffe_pb2
from adaption.pycaffe import coord_map, draw, io, net_spec
from adaption.pycaffe._caffe import __version__, layer_type_list
from adaption.pycaffe.classifier import Classifier
from adaption.pycaffe.detector import Detector
from adaption.pycaffe.mode import (
    TEST,
    TRAIN,
    allow_python,
    has_nccl,
    init_log,
    log,
    set_device,
    set_ignore_unknown,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_original_semantics,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from adaption.pycaffe.net import Net
from adaption.pycaffe.net_spec import NetSpec, layers, params, to_proto
from adaption.pycaffe.python_layer import Layer
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
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "Timer",
    "__version__",
    "allow_python",
    "caffe_pb2",
    "coord_map",
    "draw",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "net_spec",
    "params",
    "proto",
    "set_device",
    "set_ignore_unknown",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_original_semantics",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]
