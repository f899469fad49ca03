"""Data: where samples come from, how they are transformed, and batches of them."""

from __future__ import annotations

from adaption.data.base import Sample, Skipped, Source
from adaption.data.given import source_of
from adaption.data.loader import Batch, Batches
from adaption.data.source import open_source
from adaption.data.transform import Transform

__all__ = [
    "Batch",
    "Batches",
    "Sample",
    "Skipped",
    "Source",
    "Transform",
    "open_source",
    "source_of",
]
