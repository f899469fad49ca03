"""`from caffe.pycaffe import Net`, as some scripts write it. Caffe: python/caffe/pycaffe.py."""

from adaption.pycaffe.net import Layer, Net

__all__ = ["Layer", "Net"]
