"""ADaPTION's own parameter messages, lp_convolution_param and its like, as the ones layers read.

The original declares them (each holds a layer's geometry and its Qm.f) but no layer of it reads
them; nets that use them could not run there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaption.io.lp_types import LP_ACT, LP_CONVOLUTION, LP_INNER_PRODUCT

if TYPE_CHECKING:
    from adaption.proto import caffe_pb2

__all__ = ["read_lp_params"]

# Layer type -> the message, and where its geometry belongs.
MESSAGES = {
    LP_CONVOLUTION: ("lp_convolution_param", "convolution_param"),
    LP_INNER_PRODUCT: ("lp_inner_product_param", "inner_product_param"),
    LP_ACT: ("lp_act_param", None),
}
FORMAT = ("bd", "ad", "round_bias", "rounding_scheme")


def read_lp_params(layer: caffe_pb2.LayerParameter) -> None:
    """Fill what the layer leaves out from its lp_*_param, in place; what it says itself counts.

    bd and ad default to 8 there, as the original's proto has it.
    """
    own, geometry = MESSAGES.get(layer.type, (None, None))
    if own is None or not layer.HasField(own):
        return
    given = getattr(layer, own)
    if not layer.HasField("lpfp_param") and not layer.HasField("precision_param"):
        for name in FORMAT:
            if name in given.DESCRIPTOR.fields_by_name:
                setattr(layer.lpfp_param, name, getattr(given, name))
    if geometry is not None and not layer.HasField(geometry):
        target = getattr(layer, geometry)
        target.SetInParent()
        stripped = type(given)()
        stripped.CopyFrom(given)
        for name in FORMAT:
            stripped.ClearField(name)
        # The geometry's fields have the same numbers and types in both messages.
        target.MergeFromString(stripped.SerializePartialToString())
