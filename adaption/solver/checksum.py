"""Checksums that tie the files of a snapshot together."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np

from adaption.io.weights import LayerWeights, WeightBlob

__all__ = ["of_blobs", "of_weights"]


def of_blobs(blobs: Iterable[WeightBlob], start: int = 0) -> int:
    """CRC-32 of all values, as float32."""
    crc = start
    for blob in blobs:
        for values in blob.chunks() if blob.has_data else ():
            crc = zlib.crc32(values.view(np.uint8).data, crc)
    return crc


def of_weights(layers: Iterable[LayerWeights]) -> int:
    """CRC-32 of the layers that have blobs: their names and values, whatever the file's form."""
    crc = 0
    for layer in layers:
        if layer.blobs:
            crc = of_blobs(layer.blobs, zlib.crc32(layer.name.encode("utf-8", "replace"), crc))
    return crc
