"""All formats that are fuzzed, by name."""

from __future__ import annotations

from fuzzing import computed, data, texts, weights  # each registers its own
from fuzzing.base import FORMATS

__all__ = ["FORMATS", "computed", "data", "texts", "weights"]
