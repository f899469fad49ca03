"""Nets that copy.deepcopy copies with every torch."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Self

import torch

__all__ = ["Copied"]


class Copied:
    """A module whose generators are copied, too; torch before 2.4 refuses them."""

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
