"""NetSpec: which layers a NetState keeps, and how blobs connect them. Knows nothing of torch."""

from adaption.graph.build import build_spec
from adaption.graph.filter import NetState
from adaption.graph.inputs import input_shapes, with_inputs
from adaption.graph.leading import leading_to
from adaption.graph.names import refuse_repeated, repeated_notices
from adaption.graph.roi_scale import roi_scale_notices, wrong_roi_scales
from adaption.graph.spec import INPUT, LayerSpec, NetSpec
from adaption.graph.splits import insert_splits
from adaption.graph.unknown import unknown_settings

__all__ = [
    "INPUT",
    "LayerSpec",
    "NetSpec",
    "NetState",
    "build_spec",
    "input_shapes",
    "insert_splits",
    "leading_to",
    "refuse_repeated",
    "repeated_notices",
    "roi_scale_notices",
    "unknown_settings",
    "with_inputs",
    "wrong_roi_scales",
]
