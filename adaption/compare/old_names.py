"""Names that version 0.1.0 had for what `verify` does; they still work, and say so."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

from adaption.compare.backends import Backend
from adaption.compare.between import BetweenReport, check_between
from adaption.compare.check_images import check_images
from adaption.compare.image_check import ImageCheck
from adaption.compare.sessions import ModelFile
from adaption.compare.step_check import StepReport, check_step
from adaption.data import Transform
from adaption.export.onnx.graph import Array
from adaption.io.limits import Size, within_limit
from adaption.net import Net
from adaption.numerics import FixedPoint

__all__ = ["verify_between", "verify_images", "verify_step"]


def _say(old: str, new: str, level: int = 3) -> None:
    warnings.warn(f"{old} is {new} now", DeprecationWarning, stacklevel=level)


@within_limit
def verify_between(
    net: Net,
    a: str | os.PathLike[str] | Backend,
    b: str | os.PathLike[str] | Backend,
    inputs: Mapping[str, Any] | None = None,
    *,
    input_formats: Mapping[str, FixedPoint] | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    memory_limit: Size | None = None,
) -> BetweenReport:
    """`verify(net, a, b, inputs)`, as version 0.1.0 named it."""
    _say("verify_between(net, a, b)", "verify(net, a, b)", 4)  # behind within_limit
    return check_between(
        net, a, b, inputs, input_formats=input_formats, tolerance=tolerance, seed=seed
    )


def verify_step(
    net: Net, inputs: Mapping[str, Any] | None = None, *, register_bits: int = 32
) -> StepReport:
    """`verify(net, "int32", inputs=inputs)`, as version 0.1.0 named it."""
    _say("verify_step(net)", f'verify(net, "int{register_bits}")')
    return check_step(net, inputs, register_bits=register_bits)


def verify_images(
    net: Net,
    path: str | os.PathLike[str] | ModelFile,
    images: Array,
    transform: Transform | None = None,
) -> tuple[ImageCheck, Array]:
    """A part of `verify(net, path, inputs=..., transform=...)`, as version 0.1.0 named it."""
    _say("verify_images(net, path, images)", "verify(net, path, inputs=...).preprocessing")
    return check_images(net, path, images, transform)
