"""Net: a Caffe net as a torch module; blobs, fillers, weight loading, and the precision plan."""

from adaption.net.blob import Blob
from adaption.net.net import Net
from adaption.net.plan import Plan, Point

__all__ = ["Blob", "Net", "Plan", "Point"]
