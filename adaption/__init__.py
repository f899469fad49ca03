"""Fixed-point versions of Caffe nets: measure, rewrite, convert, compare, export, verify.

The names in `__all__` are the public ones; every other module may move. Each is loaded at its
first use, so that `import adaption` and `adaption --help` do not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from adaption._version import __version__ as __version__

if TYPE_CHECKING:
    from adaption.compare import verify as verify
    from adaption.compare import verify_between as verify_between
    from adaption.compare import verify_step as verify_step
    from adaption.errors import AdaptionError as AdaptionError
    from adaption.exact import ExactNet as ExactNet
    from adaption.exact import ExactOptions as ExactOptions
    from adaption.export.onnx import export_onnx as export_onnx
    from adaption.export.package import export_integer as export_integer
    from adaption.export.targets import export_net as export_net
    from adaption.io.caffemodel import read_weights as read_weights
    from adaption.io.caffemodel import write_weights as write_weights
    from adaption.io.limits import memory_limit as memory_limit
    from adaption.io.netfile import read_net as read_net
    from adaption.io.netfile import write_net as write_net
    from adaption.io.upgrade_file import upgrade as upgrade
    from adaption.job.assign import assign as assign
    from adaption.job.freeze import freeze as freeze
    from adaption.job.measure import measure as measure
    from adaption.job.quantize import quantize as quantize
    from adaption.job.score import score as score
    from adaption.job.search import search as search
    from adaption.job.sensitivity import sensitivity as sensitivity
    from adaption.job.sparsity import sparsity as sparsity
    from adaption.net import Net as Net
    from adaption.net import Point as Point
    from adaption.numerics import FixedPoint as FixedPoint
    from adaption.numerics import number_format as number_format
    from adaption.numerics import parse_format as parse_format
    from adaption.options import Budget as Budget
    from adaption.options import Formats as Formats
    from adaption.options import Refinement as Refinement
    from adaption.options import RunOptions as RunOptions
    from adaption.options import Tuning as Tuning
    from adaption.precision.bias_proposal import propose_biases as propose_biases
    from adaption.precision.convert import convert as convert
    from adaption.precision.convert import convert_file as convert_file
    from adaption.precision.edit import edit as edit
    from adaption.precision.edit import edit_file as edit_file
    from adaption.precision.fold import fold_batch_norm as fold_batch_norm
    from adaption.precision.original.create import create as create
    from adaption.precision.original.extract import extract as extract
    from adaption.precision.propose import propose as propose
    from adaption.precision.recipe_rewrite import rewrite as rewrite
    from adaption.precision.rescale import rescale as rescale
    from adaption.precision.rewrite_files import rewrite_files as rewrite_files
    from adaption.precision.widen import widen as widen
    from adaption.pycaffe.install import install_as_caffe as install_as_caffe
    from adaption.recipes import named_recipe as named_recipe
    from adaption.report.cost import cost as cost
    from adaption.report.devices import device_query as device_query
    from adaption.report.draw import draw as draw
    from adaption.report.inspect import inspect as inspect
    from adaption.report.plot_log import plot_log as plot_log
    from adaption.report.scores import test as test
    from adaption.report.timing import time as time
    from adaption.report.training_log import read_log as read_log
    from adaption.solver import Solver as Solver
    from adaption.solver import train as train

_MODULE_OF = {
    "AdaptionError": "adaption.errors",
    "Budget": "adaption.options",
    "FixedPoint": "adaption.numerics",
    "Formats": "adaption.options",
    "Net": "adaption.net",
    "Point": "adaption.net",
    "Refinement": "adaption.options",
    "RunOptions": "adaption.options",
    "Solver": "adaption.solver",
    "Tuning": "adaption.options",
    "assign": "adaption.job.assign",
    "convert": "adaption.precision.convert",
    "convert_file": "adaption.precision.convert",
    "cost": "adaption.report.cost",
    "create": "adaption.precision.original.create",
    "device_query": "adaption.report.devices",
    "draw": "adaption.report.draw",
    "edit": "adaption.precision.edit",
    "edit_file": "adaption.precision.edit",
    "export_integer": "adaption.export.package",
    "export_net": "adaption.export.targets",
    "export_onnx": "adaption.export.onnx",
    "extract": "adaption.precision.original.extract",
    "fold_batch_norm": "adaption.precision.fold",
    "freeze": "adaption.job.freeze",
    "inspect": "adaption.report.inspect",
    "install_as_caffe": "adaption.pycaffe.install",
    "measure": "adaption.job.measure",
    "named_recipe": "adaption.recipes",
    "number_format": "adaption.numerics",
    "parse_format": "adaption.numerics",
    "memory_limit": "adaption.io.limits",
    "plot_log": "adaption.report.plot_log",
    "propose": "adaption.precision.propose",
    "propose_biases": "adaption.precision.bias_proposal",
    "quantize": "adaption.job.quantize",
    "read_log": "adaption.report.training_log",
    "read_net": "adaption.io.netfile",
    "read_weights": "adaption.io.caffemodel",
    "rescale": "adaption.precision.rescale",
    "rewrite": "adaption.precision.recipe_rewrite",
    "rewrite_files": "adaption.precision.rewrite_files",
    "score": "adaption.job.score",
    "search": "adaption.job.search",
    "sensitivity": "adaption.job.sensitivity",
    "sparsity": "adaption.job.sparsity",
    "test": "adaption.report.scores",
    "time": "adaption.report.timing",
    "train": "adaption.solver",
    "upgrade": "adaption.io.upgrade_file",
    "ExactNet": "adaption.exact",
    "ExactOptions": "adaption.exact",
    "verify": "adaption.compare",
    "verify_between": "adaption.compare",
    "verify_step": "adaption.compare",
    "widen": "adaption.precision.widen",
    "write_net": "adaption.io.netfile",
    "write_weights": "adaption.io.caffemodel",
}
__all__ = [*_MODULE_OF, "__version__"]

# Type checkers read the imports above; a module __getattr__ would hide misspelt names from them.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        module = _MODULE_OF.get(name)
        if module is None:
            from adaption.nearest import nearest_name

            near = nearest_name(name, tuple(__all__))
            hint = f", did you mean {near!r}?" if near else ""
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}", name=name)
        value = getattr(import_module(module), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
