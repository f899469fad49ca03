"""Weights for a whole net, or an error that says which layers stay without."""

from __future__ import annotations

from adaption.errors import WeightsError
from adaption.io.caffemodel import Weights
from adaption.net import Net

__all__ = ["load_all"]


def load_all(net: Net, trained: Weights) -> None:
    """Load, and refuse weights that leave a layer of the net without values."""
    report = net.load(trained)
    count = len(report.missing) + len(report.loaded)
    if report.missing:
        have = [layer.name for layer in trained.layers if layer.blobs]
        raise WeightsError(
            f"has no weights for {len(report.missing)} of {count} layers:"
            f" {', '.join(report.missing[:12])}; it has {', '.join(have[:12])}",
            "give the caffemodel that belongs to this prototxt",
        ).at(file=trained.file)
