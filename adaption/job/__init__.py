"""The main job: a float net in; a low-precision net, its proof and its report out."""

from adaption.job.quantize import QuantizeResult, quantize

__all__ = ["QuantizeResult", "quantize"]
