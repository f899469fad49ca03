"""What a net asks for and nobody computes: unknown types, unknown fields, and fields not read.

A layer's class reads the fields of its message by name. A field that is set, that the class does
not read, and that is not known to leave the numbers alone, is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from adaption.errors import AdaptionError, FieldError
from adaption.graph import LayerSpec, NetSpec, unknown_settings
from adaption.layers.base import Layer, known_params, unknown_layers

__all__ = ["check_fields", "refuse_unknown", "unread_notices"]

HARMLESS = frozenset({"engine", "force_nd_im2col", "debug_info"})  # how it is computed, not what
LOSS_FIELDS = frozenset({"ignore_label", "normalization", "normalize", "pre_fixed_normalizer"})

# In `layer { }` Caffe reads these from transform_param only; an upgrade of V1 moves them there.
MOVED = frozenset({"scale", "mean_file", "crop_size", "mirror"})

# Messages that are read whatever the layer's type is.
COMMON = frozenset(
    {
        *("param", "blobs", "include", "exclude", "transform_param", "loss_param"),
        *("lpfp_param", "precision_param"),
        "source_part",  # by data layers; others refuse it
        *("lp_convolution_param", "lp_act_param", "lp_inner_product_param"),
        *("sigmoid_param", "tanh_param"),  # hold nothing but the engine
    }
)


def refuse_unknown(spec: NetSpec) -> None:
    """Raise the error that names all that is unknown in layers that are to run.

    Raises: UnknownLayerError, UnknownFieldError.
    """
    error: AdaptionError | None = unknown_layers(spec.layers)
    if error is None:
        error = unknown_settings(notice for item in spec.layers for notice in item.unknown)
    if error is not None:
        raise error.at(file=spec.file)


def check_fields(spec: LayerSpec, cls: type[Layer]) -> None:
    """Raise FieldError for a field that is set, would change the numbers, and is not read."""
    for path, field, value in _unread(spec, cls):
        if field.name not in MOVED or not cls.is_source:
            allowed = "nothing" if _is_repeated(value) else f"{field.default_value}, or left out"
            found = list(value) if _is_repeated(value) else value
            raise FieldError(path, found, allowed, "remove it, since it is not computed here")


def unread_notices(spec: LayerSpec, cls: type[Layer]) -> list[str]:
    """A sentence for each setting of a layer that Caffe, too, would not read."""
    said = [
        f"{path} is not read in layer {{ }}, by Caffe neither: write it in transform_param"
        for path, field, _ in _unread(spec, cls)
        if field.name in MOVED and cls.is_source
    ]
    known = known_params() | COMMON
    said += [
        f"{field.name} is not read by any layer type of this release"
        for field, _ in spec.message.ListFields()
        if field.message_type is not None and field.name not in known
    ]
    return [f'layer "{spec.name}" ({spec.type}): {sentence}' for sentence in said]


def _unread(spec: LayerSpec, cls: type[Layer]) -> Iterator[tuple[str, Any, Any]]:
    """Path, descriptor and value of every field that is set otherwise than by default, unread."""
    read: dict[str, set[str]] = {}
    if cls.param and is_dataclass(cls):
        read[cls.param] = {f.name for f in fields(cls)}
    if cls.is_loss:
        read["loss_param"] = set(LOSS_FIELDS)
    for name, own in read.items():
        for field, value in getattr(spec.message, name).ListFields():
            if field.name in own or field.name in HARMLESS:
                continue
            if field.name in cls.reads or field.name in cls.ignores:
                continue
            if _is_repeated(value) or field.message_type or value != field.default_value:
                yield f"{name}.{field.name}", field, value


def _is_repeated(value: Any) -> bool:
    return not isinstance(value, str | bytes) and hasattr(value, "__len__")
