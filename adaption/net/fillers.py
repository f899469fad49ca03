"""Fillers: initial values of blobs. Caffe: filler.hpp. Draws come from an explicit generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, torch

if TYPE_CHECKING:
    from adaption.proto import caffe_pb2

__all__ = ["FILLERS", "fan_of", "fill"]


def fill(
    blob: Tensor,
    filler: caffe_pb2.FillerParameter | Callable[[Tensor], None],
    generator: torch.Generator | None = None,
) -> None:
    """Write a filler's values into `blob`, in place; a function writes them itself.

    Raises: FieldError on an unknown type; ShapeError when the shape does not suit the type.
    """
    if callable(filler):
        filler(blob)
        return
    if filler.type not in FILLERS:
        raise FieldError("filler type", filler.type, ", ".join(FILLERS))
    with torch.no_grad():
        FILLERS[filler.type](blob, filler, generator)


def _constant(blob: Tensor, f: Any, g: torch.Generator | None) -> None:
    blob.fill_(f.value)


def _uniform(blob: Tensor, f: Any, g: torch.Generator | None) -> None:
    if f.min > f.max:
        raise FieldError("filler min", f.min, f"at most max ({f.max})")
    blob.uniform_(f.min, f.max, generator=g)


def _gaussian(blob: Tensor, f: Any, g: torch.Generator | None) -> None:
    if f.std < 0:
        raise FieldError("filler std", f.std, "0 or more")
    blob.normal_(f.mean, f.std, generator=g)
    if f.sparse >= 0:
        # On average `sparse` inputs of each output stay non-zero.
        keep = f.sparse / blob.shape[0]
        blob.mul_(torch.rand(blob.shape, generator=g) < keep)


def fan_of(shape: Sequence[int], f: Any) -> float:
    """Caffe's n: fan in, fan out or their mean; num of outputs is the first axis."""
    count = math.prod(shape)
    fan_in = count / shape[0]
    fan_out = count / shape[1] if len(shape) > 1 else count
    norms = type(f).DESCRIPTOR.fields_by_name["variance_norm"].enum_type.values_by_number
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[
        norms[f.variance_norm].name
    ]


def _xavier(blob: Tensor, f: Any, g: torch.Generator | None) -> None:
    scale = math.sqrt(3.0 / fan_of(blob.shape, f))
    blob.uniform_(-scale, scale, generator=g)


def _msra(blob: Tensor, f: Any, g: torch.Generator | None) -> None:
    blob.normal_(0.0, math.sqrt(2.0 / fan_of(blob.shape, f)), generator=g)


def _tnvs(blob: Tensor, f: Any, g: torch.Generator | None) -> None:
    """Truncated normal, variance scaling: sigma^2 = variance_scale / fan-in, cut at sqrt(3) sigma.

    Source: Kummer et al., "AdaPT" (SDM 2023), their initializer; drawn by the inverse of the
    distribution function.
    """
    if f.variance_scale <= 0:
        raise FieldError("filler variance_scale", f.variance_scale, "above 0")
    sigma = math.sqrt(f.variance_scale * blob.shape[0] / blob.numel())
    half = math.erf(math.sqrt(1.5))  # share of a normal distribution within sqrt(3) sigma
    share = torch.empty(blob.shape, dtype=torch.float64).uniform_(-half, half, generator=g)
    cut = math.sqrt(3.0) * sigma
    blob.copy_(torch.erfinv(share).mul_(math.sqrt(2.0) * sigma).clamp_(-cut, cut))


def _positive_unitball(blob: Tensor, f: Any, g: torch.Generator | None) -> None:
    blob.uniform_(0.0, 1.0, generator=g)
    rows = blob.view(blob.shape[0], -1)
    rows.div_(rows.sum(1, keepdim=True))


def _bilinear(blob: Tensor, f: Any, g: torch.Generator | None) -> None:
    if blob.dim() != 4 or blob.shape[2] != blob.shape[3]:
        raise ShapeError(
            f"filler bilinear needs a 4-axis blob with square kernels, found {tuple(blob.shape)}"
        )
    k = blob.shape[3]
    half = math.ceil(k / 2)
    centre = (2 * half - 1 - half % 2) / (2.0 * half)
    # Not symmetric for odd k: this is Caffe's formula, kept as it is.
    ramp = 1 - (torch.arange(k, dtype=torch.float32) / half - centre).abs()
    blob.copy_((ramp[:, None] * ramp[None, :]).expand_as(blob))


FILLERS: MappingProxyType[str, Callable[[Tensor, Any, torch.Generator | None], None]] = (
    MappingProxyType(
        {
            "constant": _constant,
            "gaussian": _gaussian,
            "positive_unitball": _positive_unitball,
            "uniform": _uniform,
            "xavier": _xavier,
            "msra": _msra,
            "bilinear": _bilinear,
            "tnvs": _tnvs,  # ours
        }
    )
)
"""Filler types by name: Caffe's, and AdaPT's."""
