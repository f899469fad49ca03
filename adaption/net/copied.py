"""Nets that copy.deepcopy copies with every torch, and whose parameters stay those of the blobs."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Self

import torch

from adaption.errors import UsageError

__all__ = ["Copied"]


class Copied:
    """A module whose generators are copied, too; torch before 2.4 refuses them. Its parameters take
    the values of a state dict, and are never replaced: blobs hold them."""

    generator: torch.Generator
    host_generator: torch.Generator

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        for drawn_from in {self.generator, self.host_generator}:
            copied = torch.Generator(drawn_from.device)
            memo[id(drawn_from)] = copied.set_state(drawn_from.get_state())
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__setstate__(deepcopy(self.__dict__, memo))  # type: ignore[attr-defined]
        return made

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        *rest: Any,
    ) -> None:
        if local_metadata.get("assign_to_params_buffers", False):
            raise UsageError(
                "load_state_dict(assign=True) would replace parameters that the net's blobs hold",
                "leave assign out: the values are copied into the blobs",
            )
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)  # type: ignore[misc]
