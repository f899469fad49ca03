"""Data: where samples come from, how they are transformed, and batches of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaption.later import names_of

if TYPE_CHECKING:
    from adaption.data.base import Sample, Skipped, Source
    from adaption.data.given import source_of
    from adaption.data.loader import Batch, Batches
    from adaption.data.source import open_source
    from adaption.data.transform import Transform
else:  # the layers of this room are found without the rest of it
    _MODULE_OF = {
        "Sample": "adaption.data.base",
        "Skipped": "adaption.data.base",
        "Source": "adaption.data.base",
        "source_of": "adaption.data.given",
        "Batch": "adaption.data.loader",
        "Batches": "adaption.data.loader",
        "open_source": "adaption.data.source",
        "Transform": "adaption.data.transform",
    }
    __getattr__ = names_of(__name__, _MODULE_OF)

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
