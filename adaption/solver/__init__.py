"""Training: Caffe's solvers on PyTorch."""

from typing import TYPE_CHECKING

from adaption.later import names_of

if TYPE_CHECKING:
    from adaption.solver.listener import Listener, Output
    from adaption.solver.run import TrainResult, train
    from adaption.solver.solver import Solver
    from adaption.solver.teacher import Teacher
else:
    _MODULE_OF = {
        "Listener": "adaption.solver.listener",
        "Output": "adaption.solver.listener",
        "TrainResult": "adaption.solver.run",
        "train": "adaption.solver.run",
        "Solver": "adaption.solver.solver",
        "Teacher": "adaption.solver.teacher",
    }
    __getattr__ = names_of(__name__, _MODULE_OF)

__all__ = ["Listener", "Output", "Solver", "Teacher", "TrainResult", "train"]
