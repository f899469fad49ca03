"""Net: a Caffe net as a torch module; blobs, fillers, weight loading, and the precision plan."""

from typing import TYPE_CHECKING

from adaption.later import names_of
from adaption.net.plan import Plan, Point

if TYPE_CHECKING:
    from adaption.net.blob import Blob
    from adaption.net.net import Net
else:  # plans are read without torch
    __getattr__ = names_of(__name__, {"Blob": "adaption.net.blob", "Net": "adaption.net.net"})

__all__ = ["Blob", "Net", "Plan", "Point"]
