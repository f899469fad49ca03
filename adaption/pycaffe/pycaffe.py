"""`from caffe.pycaffe import Net`, as some scripts write it. Caffe: python/caffe/pycaffe.py."""

from adaption.pycaffe.net import Net
from adaption.pycaffe.python_layer import Layer

__all__ = ["Layer", "Net"]
