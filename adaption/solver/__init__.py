"""Training: Caffe's solvers on PyTorch."""

from typing import TYPE_CHECKING

from adaption.later import names_of

if TYPE_CHECKING:
    from adaption.solver.listener import Listener, Output
    from adaption.solver.run import TrainResult, train
    from adaption.solver.solver import Solver
else:
    _MODULE_OF = {
        "Listener": "adaption.solver.listener",
        "Output": "adaption.solver.listener",
        "TrainResult": "adaption.solver.run",
        "train": "adaption.solver.run",
        "Solver": "adaption.solver.solver",
    }
    __getattr__ = names_of(__name__, _MODULE_OF)

__all__ = ["Listener", "Output", "Solver", "TrainResult", "train"]
