"""Training: Caffe's solvers on PyTorch."""

from adaption.solver.listener import Listener, Output
from adaption.solver.run import TrainResult, train
from adaption.solver.solver import Solver

__all__ = ["Listener", "Output", "Solver", "TrainResult", "train"]
