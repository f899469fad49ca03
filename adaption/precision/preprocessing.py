"""Is a net deployed with the preprocessing it was measured with? The scale trap, detected.

ADaPTION's ranges were measured on unscaled inputs and used in nets that scale them by 1/255
(specification 3). What changes the range of values is compared: scale and mean.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from adaption.errors import AdaptionError
from adaption.graph import NetState, build_spec
from adaption.layers.base import traits_of

if TYPE_CHECKING:
    from adaption.io.netfile import NetFile

__all__ = ["net_preprocessing", "preprocessing_notes"]

_COMPARED = ("scale", "mean_value", "mean_file")


def net_preprocessing(net: NetFile) -> dict[str, Mapping[str, Any]]:
    """Preprocessing of a net's data layers in phase TEST, by name of the layer, as far as known."""
    from adaption.data import Transform

    spec = build_spec(net.message, NetState("TEST"), file=net.file, lines=net.lines)
    found: dict[str, Mapping[str, Any]] = {}
    for item in spec.layers:
        if traits_of(item, spec).obeys_transform:
            try:
                transform = Transform.from_message(item.message.transform_param, "TEST")
            except AdaptionError:  # augmentations of forks: told where the net is run
                continue
            found[item.name] = transform.describe()
    return found


def preprocessing_notes(
    known: Mapping[str, Any] | None, net: NetFile, what: str = "Ranges were measured"
) -> list[str]:
    """A sentence for each data layer that preprocesses otherwise than `known` says.

    Args:
        known: as a measurement or plan keeps it; None and {} are not known.
        what: was done with the preprocessing known.
    """
    if not known:
        return []
    notes = []
    for name, own in net_preprocessing(net).items():
        differing = [
            f"{key} {_shown(known.get(key))}, the layer has {_shown(own.get(key))}"
            for key in _COMPARED
            if _comparable(known.get(key)) != _comparable(own.get(key))
        ]
        if differing:
            notes.append(
                f'{what} with another preprocessing than data layer "{name}" does:'
                f" {'; '.join(differing)}. The formats do not fit its values: use the same, or"
                " `adaption rescale`."
            )
    return notes


def _comparable(value: Any) -> Any:
    """Files by name, whatever folder they lie in; nothing and no effect are the same."""
    if isinstance(value, str | os.PathLike):
        return PurePath(value).name
    return tuple(value) if isinstance(value, list) else value


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
