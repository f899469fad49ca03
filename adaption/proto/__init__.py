"""Caffe's messages, with those of ADaPTION, the popular forks and our own.

`caffe_pb2` is used as in pycaffe: `caffe_pb2.NetParameter()`, `caffe_pb2.TRAIN`. Its classes live
in a private descriptor pool, so an installed pycaffe can be imported beside it.
"""

from __future__ import annotations

from adaption.proto import caffe_pb2 as caffe_pb2

__all__ = ["caffe_pb2"]
