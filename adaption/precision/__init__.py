"""From a float net to a low-precision one: measure, propose, rewrite, convert, evaluate."""

from adaption.options import INT8
from adaption.precision.convert import convert, convert_file
from adaption.precision.descriptor_create import create
from adaption.precision.descriptor_extract import extract
from adaption.precision.edit import edit, edit_file
from adaption.precision.fold import fold_batch_norm
from adaption.precision.measure import Measurement, measure_net
from adaption.precision.propose import Proposal, propose
from adaption.precision.rescale import rescale
from adaption.precision.rewrite_files import rewrite_files
from adaption.precision.rewrite_net import rewrite
from adaption.precision.widen import Widened, widen

__all__ = [
    "INT8",
    "Measurement",
    "Proposal",
    "Widened",
    "convert",
    "convert_file",
    "create",
    "edit",
    "edit_file",
    "extract",
    "fold_batch_norm",
    "measure_net",
    "propose",
    "rescale",
    "rewrite",
    "rewrite_files",
    "widen",
]
