"""Layer types of old definitions and what they are called today.

Source: caffe.proto (V1LayerParameter.LayerType, V0LayerParameter.type),
upgrade_proto.cpp (UpgradeV0LayerType, UpgradeV1LayerType).
"""

from __future__ import annotations

__all__ = ["V0_TYPES", "V1_TYPES", "v1_type_name"]

# V1 enum number -> V2 type
V1_TYPES = {
    0: "",  # NONE
    1: "Accuracy",
    2: "BNLL",
    3: "Concat",
    4: "Convolution",
    5: "Data",
    6: "Dropout",
    7: "EuclideanLoss",
    8: "Flatten",
    9: "HDF5Data",
    10: "HDF5Output",
    11: "Im2col",
    12: "ImageData",
    13: "InfogainLoss",
    14: "InnerProduct",
    15: "LRN",
    16: "MultinomialLogisticLoss",
    17: "Pooling",
    18: "ReLU",
    19: "Sigmoid",
    20: "Softmax",
    21: "SoftmaxWithLoss",
    22: "Split",
    23: "TanH",
    24: "WindowData",
    25: "Eltwise",
    26: "Power",
    27: "SigmoidCrossEntropyLoss",
    28: "HingeLoss",
    29: "MemoryData",
    30: "ArgMax",
    31: "Threshold",
    32: "DummyData",
    33: "Slice",
    34: "MVN",
    35: "AbsVal",
    36: "Silence",
    37: "ContrastiveLoss",
    38: "Exp",
    39: "Deconvolution",
    # Forks, under the numbers that protos/caffe.proto gives them.
    20001: "ImageSegData",
    20002: "Interp",
    20003: "SegAccuracy",
    20004: "Crop",
    20005: "MultiStageMeanfield",
    20006: "BN",
    20007: "Upsample",
    20008: "DenseImageData",
    20009: "PReLU",
    20010: "Reshape",
}

# V0 string -> V1 enum number
V0_TYPES = {
    "accuracy": 1,
    "bnll": 2,
    "concat": 3,
    "conv": 4,
    "data": 5,
    "dropout": 6,
    "euclidean_loss": 7,
    "flatten": 8,
    "hdf5_data": 9,
    "hdf5_output": 10,
    "im2col": 11,
    "images": 12,
    "infogain_loss": 13,
    "innerproduct": 14,
    "lrn": 15,
    "multinomial_logistic_loss": 16,
    "pool": 17,
    "relu": 18,
    "sigmoid": 19,
    "softmax": 20,
    "softmax_loss": 21,
    "split": 22,
    "tanh": 23,
    "window_data": 24,
}


def v1_type_name(number: int) -> str:
    """V2 type of a V1 enum number; a number of some fork comes out as `V1LayerType(n)`."""
    return V1_TYPES.get(number, f"V1LayerType({number})")
