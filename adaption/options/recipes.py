"""The recipes that `rewrite` knows, and what each of them asks for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from adaption.options.base import Options
from adaption.options.wrpn import WrpnFormats

__all__ = ["RECIPE_FORMATS"]

RECIPE_FORMATS: Mapping[str, type[Options]] = MappingProxyType({"wrpn": WrpnFormats})
"""By name. Fields of one name in several of them are one flag."""
