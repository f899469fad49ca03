"""From a float net to a low-precision one: measure, propose, rewrite, convert, evaluate."""

from adaption.precision.convert import convert
from adaption.precision.measure import Measurement, measure
from adaption.precision.propose import Proposal, propose
from adaption.precision.rewrite import rewrite

__all__ = ["Measurement", "Proposal", "convert", "measure", "propose", "rewrite"]
