"""verify: whether two ways to compute a net agree, layer by layer."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from adaption.compare.between import check_between, counterpart
from adaption.compare.check_images import check_images
from adaption.compare.float_check import OWN_ERRORS, check_float
from adaption.compare.float_report import FloatReport
from adaption.compare.image_check import ImageCheck
from adaption.compare.named_backends import Side, opened
from adaption.compare.recorded import TOLERANCE, check_recorded
from adaption.compare.result import VerifyReport
from adaption.compare.sessions import ModelFile
from adaption.compare.step_check import check_step
from adaption.data import Transform
from adaption.errors import UsageError
from adaption.io.limits import Size, within_limit
from adaption.net import Net
from adaption.numerics import FixedPoint

__all__ = ["verify"]

Inputs = Mapping[str, npt.ArrayLike]


@within_limit
def verify(
    net: Net,
    a: Side,
    b: Side | None = None,
    inputs: Inputs | None = None,
    *,
    transform: Transform | None = None,
    input_formats: Mapping[str, FixedPoint] | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    memory_limit: Size | None = None,
) -> VerifyReport:
    """Compare two ways to compute a net on the same inputs.

    `a` and `b` are an ONNX file (run by onnxruntime), an npz of recorded blobs (keyed by blob
    name, as Caffe, OpenCV or a device gave them), a name (compare.named_backends: lp, lp64, exact,
    exact-half-even, c, float, baked, opencv), or a Backend. With `a` alone it is compared with what
    it should equal: a recording and an ONNX file of style float with lp, a file of style integer
    with exact, one of style qdq with exact-half-even.

    What decides: of a recording, the tolerance. Of an ONNX file of style float alone, that every
    layer, given the net's values, is within float32's own error (float_check.py). Of two backends,
    that they are equal where that is promised (between.py), or the tolerance. "int32" as `a`, of a
    net with a loss in phase TRAIN: that the products of one training step, as integers with sums of
    32 bits (or any number from 2 to 64), are the simulation's (step_check.py).

    Args:
        net: in phase TEST but for training steps; it is not changed.
        inputs: values by input blob, first axis the samples; a recording needs them, elsewhere they
            are random without. Of an ONNX file that preprocesses images: uint8 images as it takes
            them, and its preprocessing is checked, bit for bit, too.
        transform: what makes the net's inputs of images; of a file that preprocesses them the
            default is what it states.
        input_formats: inputs are rounded to these first, on both sides; an ONNX file brings its
            own. Not with a recording or a file of style float alone.
        tolerance: of a recording, the greatest difference relative to a blob's greatest magnitude
            (default 2e-4); of an ONNX file of style float alone, how many times float32's own error
            a layer may be off (default 32); else LSBs at quantization points, in place of equality.
        seed: of random inputs.
        memory_limit: the most that one array, image or blob may take, as in "8G".
    Returns: a report; `report.ok` says whether they agree.
    Raises: UsageError on what cannot be compared; FileFormatError, DataError or ShapeError when a
        file or inputs do not fit the net; DataError naming the first layer that gives NaN, where it
        reaches an output.
    """
    if isinstance(b, Mapping):  # as in 0.1.0, which knew ONNX files of style float alone
        warnings.warn(
            "verify(net, file, inputs) is verify(net, file, inputs=inputs) now",
            DeprecationWarning,
            stacklevel=3,  # behind within_limit
        )
        b, inputs = None, cast(Inputs, b)
    register = re.fullmatch(r"int(\d+)", a) if isinstance(a, str) else None
    if register is not None:
        beside = {"b": b, "tolerance": tolerance, "input_formats": input_formats or None}
        given = [n for n, x in {**beside, "transform": transform}.items() if x is not None]
        if given:
            raise UsageError(f"{', '.join(given)} cannot be given with {a}", "leave it out")
        return check_step(net, inputs, register_bits=int(register[1]))
    if inputs is None and transform is not None:
        raise UsageError("preprocessing is for data, which is not given", "give inputs (--data)")
    one, other = opened(a), None if b is None else opened(b)
    files = [side for side in (one, other) if isinstance(side, ModelFile)]
    values, checks, notes = _prepared(net, files, inputs, transform)
    report: VerifyReport
    if other is not None:
        report = check_between(
            net, one, other, values, input_formats=input_formats, tolerance=tolerance, seed=seed
        )
    elif isinstance(one, str | os.PathLike) and os.fspath(one).endswith((".npz", ".npy")):
        _refuse_formats(input_formats, "a recording alone")
        if values is None:
            raise UsageError(
                "recorded blobs need their inputs", "give inputs (--data with an npz or npy file)"
            )
        relative = TOLERANCE if tolerance is None else tolerance
        report = check_recorded(net, one, values, tolerance=relative)
    elif isinstance(one, ModelFile) and one.style == "float":
        _refuse_formats(input_formats, "an ONNX file of style float alone")
        own_errors = OWN_ERRORS if tolerance is None else tolerance
        report = _ran(check_float(net, one, values, tolerance=own_errors, seed=seed))
    else:
        same = counterpart(one.style if isinstance(one, ModelFile) else str(one))
        report = check_between(
            net, same, one, values, input_formats=input_formats, tolerance=tolerance, seed=seed
        )
    return replace(report, preprocessing=tuple(checks), notes=(*report.notes, *notes))


def _refuse_formats(formats: Mapping[str, FixedPoint] | None, side: str) -> None:
    """Raises: UsageError on formats of inputs where no input is rounded."""
    if formats:
        raise UsageError(
            f"formats of inputs (--input-format) cannot be given with {side}",
            "leave them out, or name both sides",
        )


def _ran(report: FloatReport) -> FloatReport:
    if report.refusal:
        raise UsageError(
            f"onnxruntime does not run it: {report.refusal}", "export it again", file=report.path
        )
    return report


def _prepared(
    net: Net, files: list[ModelFile], inputs: Inputs | None, transform: Transform | None
) -> tuple[dict[str, npt.NDArray[Any]] | None, list[ImageCheck], list[str]]:
    """The net's inputs, the checks of the files that make them of images, and what was left out."""
    if inputs is None:
        return None, [], []
    made = {name: np.asarray(values) for name, values in inputs.items()}
    given = dict(made)
    of_images = [(file, file.images.blob) for file in files if file.images is not None]
    checks, notes = [], []
    for file, blob in of_images:
        if blob in given and (transform is not None or given[blob].dtype.name == "uint8"):
            check, made[blob] = check_images(net, file, given[blob], transform)
            checks.append(check)
        else:
            notes.append(
                f"{file.path} preprocesses images, and floats without preprocessing flags"
                " (transform) are the net's input: its preprocessing is not checked"
            )
    if transform is not None and not of_images:
        made = {n: transform.apply_to_batch(x) if x.ndim == 4 else x for n, x in given.items()}
    return made, checks, notes
