"""Settings of `propose` and `quantize` that belong together: propose(net, measured, **INT8)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["INT8"]

INT8: Mapping[str, Any] = MappingProxyType(
    {
        "bits": 8,
        "rounding": "half_even",
        "product_bias": True,
        "every_bottom": True,
        "same_format": "concat",
    }
)
"""For integer hardware and ONNX's int8 form: the float32 simulation, exact arithmetic and every
export compute the same codes, where float32 holds the sums of products (flag --int8)."""
