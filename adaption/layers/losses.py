"""What the loss layers share: labels, ignore_label, normalization modes. Caffe: loss_layer.cpp."""

from __future__ import annotations

from math import log, prod
from typing import TYPE_CHECKING

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, torch

if TYPE_CHECKING:
    from adaption.proto import caffe_pb2

__all__ = [
    "LOG_THRESHOLD",
    "check_labels",
    "check_one_label_each",
    "log_likelihood",
    "normalizer",
    "smooth_l1",
]

LOG_THRESHOLD = 1e-20  # least probability whose log is taken: loss_layer.hpp, kLOG_THRESHOLD
LOWEST_LOG = log(1.17549435e-38)  # SoftmaxWithLoss floors the probability at FLT_MIN: 87.33655


def normalizer(
    param: caffe_pb2.LossParameter,
    outer: int,
    inner: int,
    valid: int | None = None,
    *,
    default: str = "VALID",
) -> float:
    """What the summed loss is divided by, at least 1.

    Args:
        outer: number of independent samples (axes before the class axis).
        inner: predictions per sample (axes behind it).
        valid: predictions that are not ignored; None when nothing can be ignored.
        default: the mode when neither `normalization` nor the older `normalize` is given.
    """
    modes = type(param).DESCRIPTOR.fields_by_name["normalization"].enum_type.values_by_number
    mode = default
    if param.HasField("normalization"):
        mode = modes[param.normalization].name
    elif param.HasField("normalize"):
        mode = "VALID" if param.normalize else "BATCH_SIZE"
    every = outer * inner
    divisors = {
        "FULL": every,
        "VALID": every if valid is None else valid,
        "BATCH_SIZE": outer,
        "NONE": 1,
        "PRE_FIXED": param.pre_fixed_normalizer,  # R-FCN's
    }
    if mode not in divisors:
        raise FieldError("loss_param.normalization", mode, ", ".join(divisors))
    return max(1.0, float(divisors[mode]))


def log_likelihood(log_p: Tensor, labels: Tensor) -> Tensor:
    """Of log probabilities (M, C), those of the labels (M,), floored as SoftmaxWithLoss does."""
    picked = log_p.gather(1, labels.unsqueeze(1)).squeeze(1)
    # The floor changes the value only: Caffe's gradient is p - 1 below it, too.
    return picked + (picked.detach().clamp_min(LOWEST_LOG) - picked.detach())


def smooth_l1(d: Tensor, sigma: float = 1.0) -> Tensor:
    """0.5 (sigma d)² where |d| < 1 / sigma², beyond |d| - 0.5 / sigma². Fast R-CNN."""
    sharpness = sigma**2
    near, far = 0.5 * sharpness * d.square(), d.abs() - 0.5 / sharpness
    return torch.where(d.abs() < 1 / sharpness, near, far)


def check_labels(labels: Tensor, predictions: int, classes: int, ignored: int | None) -> None:
    """Raise ShapeError or FieldError when the labels do not fit the predictions."""
    if labels.numel() != predictions:
        raise ShapeError(
            f"has {labels.numel()} labels for {predictions} predictions",
            "give one label per prediction, or set axis to the class axis",
        )
    bad = (labels < 0) | (labels >= classes)
    if ignored is not None:
        bad &= labels != ignored
    if bool(bad.any()):
        raise FieldError("label", int(labels[bad][0]), f"0..{classes - 1}")


def check_one_label_each(x: tuple[int, ...], label: tuple[int, ...]) -> None:
    """Raise ShapeError unless `label` holds one label per sample of `x`."""
    if len(x) < 2 or label[:1] != x[:1] or prod(label) != x[0]:
        raise ShapeError(
            f"bottoms have shapes {x} and {label}, allowed: (N, ...) and one label per sample"
        )
