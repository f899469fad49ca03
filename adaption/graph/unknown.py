"""Fields of a prototxt that nobody knows: which of them may change what a net computes.

An unknown field inside a known message (a layer's parameters, a solver) is a setting that some fork
reads. Without knowing it, the result may be another than the one asked for, so it is an error when
the net runs, unless it is harmless or the caller says to ignore it. Unknown messages in a layer's
own block and unknown layer types are notices, as is everything for verbs that run nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adaption.errors import UnknownFieldError
from adaption.io.prototxt import Notice

__all__ = ["unknown_settings"]

HARMLESS = frozenset(
    {
        # Which code computes, and on what: cuDNN, MKL-DNN, GPUs.
        *("engine", "conv_algos_override", "cudnn_convolution_algo_seeker", "cudnn_math_override"),
        *("cudnn_flavor", "cudnn_workspace_limit", "use_gpu_transform", "gpu_transform"),
        # How data are read ahead.
        *("threads", "parser_threads", "prefetch", "cache", "prefetch_count"),
        # How a solver exchanges gradients, and how it writes files.
        *("per_parameter_reduce", "reduce_buckets", "store_blobs_in_old_format"),
        # What is drawn or printed.
        *("visualize", "visualize_threshold", "show_per_class_result", "debug"),
    }
)


def unknown_settings(notices: Iterable[Notice]) -> UnknownFieldError | None:
    """The error that lists all of these fields that may change the numbers; None without any."""
    found = [n for n in notices if n.is_setting and n.name not in HARMLESS]
    if not found:
        return None
    shown = [_named(n) for n in found[:12]]
    if len(found) > 12:
        shown.append(f"{len(found) - 12} more")
    what = "unknown fields that" if len(found) > 1 else "unknown field that"
    return UnknownFieldError(
        f"{what} may change the numbers: {', '.join(shown)}",
        _fix(found),
        file=found[0].file,
        line=found[0].line,
        column=found[0].column,
    )


def _named(notice: Notice) -> str:
    near = f" (did you mean {notice.nearest}?)" if notice.nearest else ""
    return f"{notice.path}{near}"


def _fix(found: Sequence[Notice]) -> str:
    them, do = ("them", "do") if len(found) > 1 else ("it", "does")
    return (
        f"correct or remove {them}; where {them if them == 'it' else 'they'} {do} not matter:"
        " --ignore-unknown (ignore_unknown=True)"
    )
