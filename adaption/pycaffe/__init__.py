"""Drop-in facade for pycaffe scripts: `import adaption.pycaffe as caffe`.

Arrays are numpy views that can be written in place. Caffe: python/caffe/pycaffe.py, _caffe.cpp.
"""

from adaption.layers.base import known_types
from adaption.proto import caffe_pb2
from adaption.pycaffe.mode import (
    TEST,
    TRAIN,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_original_semantics,
    set_random_seed,
)
from adaption.pycaffe.net import Layer, Net

__all__ = [
    "TEST",
    "TRAIN",
    "Layer",
    "Net",
    "caffe_pb2",
    "layer_type_list",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_original_semantics",
    "set_random_seed",
]


def layer_type_list() -> list[str]:
    """Every layer type that can run."""
    return list(known_types())
