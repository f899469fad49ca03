"""ROIPooling whose spatial_scale is ten times what its map's stride asks for.

ADaPTION's low-precision Faster R-CNN training nets pool with 0.625, its test nets with 0.0625: a
map of stride 16 has a scale of 1/16.
"""

from __future__ import annotations

from adaption.graph.spec import LayerSpec, NetSpec

__all__ = ["roi_scale_notices", "wrong_roi_scales"]

STRIDED = {
    "Convolution": "convolution_param",
    "LPConvolution": "convolution_param",
    "Pooling": "pooling_param",
}


def wrong_roi_scales(spec: NetSpec) -> dict[str, tuple[float, float]]:
    """spatial_scale as it is and as it is meant, by the name of the ROIPooling layer."""
    strides: dict[str, float] = {}  # of each blob, against the image
    wrong = {}
    for item in spec.layers:
        stride = strides.get(item.bottoms[0], 1.0) if item.bottoms else 1.0
        if item.type == "ROIPooling":
            found = item.message.roi_pooling_param.spatial_scale
            if abs(found * stride - 10) < 0.01:
                wrong[item.name] = (found, 1 / stride)
        for top in item.tops:
            strides[top] = stride * _stride(item)
    return wrong


def _stride(item: LayerSpec) -> float:
    if item.type not in STRIDED:
        return 1.0
    param = getattr(item.message, STRIDED[item.type])
    if param.HasField("stride_h"):
        return float(param.stride_h)
    stride = param.stride
    return float(stride if isinstance(stride, int) else stride[0] if stride else 1)


def roi_scale_notices(spec: NetSpec) -> list[str]:
    """What is wrong in words, and how to mend it."""
    return [
        f'layer "{name}" (ROIPooling): spatial_scale is {found:g}, ten times the {meant:g} that a'
        f" map of stride {1 / meant:g} asks for, as in ADaPTION's training nets; adaption edit"
        " NET --mend-roi-scale sets it right"
        for name, (found, meant) in wrong_roi_scales(spec).items()
    ]
