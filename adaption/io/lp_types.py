"""ADaPTION's layer types, a vocabulary of Caffe files: what each is the low-precision twin of."""

from __future__ import annotations

__all__ = ["LP_ACT", "LP_CONVOLUTION", "LP_INNER_PRODUCT", "LP_TYPES", "PLAIN", "TWINS"]

LP_CONVOLUTION = "LPConvolution"
LP_INNER_PRODUCT = "LPInnerProduct"
LP_ACT = "LPAct"  # rounds its bottom, and has no plain twin

TWINS = {"Convolution": LP_CONVOLUTION, "InnerProduct": LP_INNER_PRODUCT}
"""The low-precision type of a plain one; other layers say it by precision_param."""

PLAIN = {twin: plain for plain, twin in TWINS.items()}
"""The plain type of a low-precision one, whose blobs are pairs of full precision and rounded."""

LP_TYPES = (*PLAIN, LP_ACT)
