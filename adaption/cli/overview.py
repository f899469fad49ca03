"""What `adaption` alone prints: the verbs in the order of the work."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["overview"]

ORDER = (
    ("look at a model", ("inspect", "draw", "upgrade")),
    ("make a fixed-point version", ("quantize", "search")),
    (
        "the same step by step",
        ("measure", "propose", "rewrite", "convert", "sparsity", "sensitivity", "rescale"),
    ),
    ("set formats by hand", ("edit",)),
    ("train", ("train", "test", "time", "plot-log", "device_query")),
    ("train at few bits, or with rounded gradients", ("assign", "freeze", "widen", "cost")),
    ("deploy", ("export", "verify")),
    ("ADaPTION's net descriptors", ("extract", "create")),
    ("the shell itself", ("completion",)),
)


def overview(helps: Mapping[str, str]) -> str:
    """The list, with one line for each verb.

    Args:
        helps: the line of each verb, by name; a verb without a place above stands at the end.
    """
    placed = {verb for _, verbs in ORDER for verb in verbs}
    more = tuple(verb for verb in helps if verb not in placed)
    width = max(map(len, helps)) + 2
    parts = ["adaption makes fixed-point versions of Caffe nets.", ""]
    for title, verbs in (*ORDER, *([("more", more)] if more else [])):
        parts.append(f"{title}:")
        parts += [f"  {verb:{width}}{helps[verb]}" for verb in verbs if verb in helps]
        parts.append("")
    parts.append("begin with: adaption quantize NET.prototxt NET.caffemodel --data IMAGES -o OUT")
    parts.append("adaption VERB --help explains a verb and gives an example.")
    return "\n".join(parts)
