"""What a layer writes as ONNX computes what its forward pass computes."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, shape_inference

from adaption.export.onnx.graph import OnnxGraph
from adaption.export.onnx.model import IR_VERSIONS, OPSET
from adaption.export.onnx.older import in_opset
from adaption.layers.base import Layer
from tests.layers.rows import ROWS, Row
from tests.layers.snippets import spread

ARGMAX = [
    Row("ArgMax", "", (spread(2, 3, 4),), note="sample"),
    Row("ArgMax", "argmax_param { top_k: 3 out_max_val: true }", (spread(2, 6),), note="both"),
    Row("ArgMax", "argmax_param { axis: -2 top_k: 2 }", (spread(2, 5, 3).round(),), note="axis"),
    Row("ArgMax", "argmax_param { axis: 1 out_max_val: true }", (spread(2, 5, 3),), note="value"),
]
OTHERS = [
    Row("ContinuationIndicator", "continuation_indicator_param { time_step: 3 batch_size: 2 }", ()),
    Row("Threshold", "threshold_param { threshold: 0.3 }", (spread(2, 3),)),
    Row("Im2col", "convolution_param { kernel_size: 2 axis: 2 }", (spread(1, 2, 3, 4),), note="1d"),
    Row("MVN", "", (spread(2, 6),), note="2 axes"),
    Row("ReLU6", "", (spread(2, 6, low=-9, high=9),), note="plain"),
    *(
        Row(
            "PriorBox",
            "prior_box_param { min_size: 9 aspect_ratio: 2 clip: true }",
            (spread(2, 1, 2, 3), spread(2, 3, 30, 20)),
            dialect=dialect,
        )
        for dialect in ("ssd", "textboxes", "faceboxes")
    ),
    Row("SPP", "spp_param { pyramid_height: 1 }", (spread(1, 2, 3, 3),), note="one level"),
    Row(
        "LSTM",
        "recurrent_param { num_output: 2 expose_hidden: true }",
        (spread(3, 2, 3), torch.ones(3, 2), spread(1, 2, 2), spread(1, 2, 2, seed=1)),
        tops=3,
        note="exposed",
    ),
    Row(
        "RNN",
        "recurrent_param { num_output: 2 expose_hidden: true }",
        (spread(3, 2, 3), torch.ones(3, 2), spread(2, 4), spread(1, 2, 2)),
        tops=2,
        note="exposed and static",
    ),
]


def lowered(row: Row) -> bool:
    has_form = row.id != "Pooling3D-mean"  # test_more_forks.py
    return has_form and row.phase == "TEST" and type(row.layer).lower is not Layer.lower


@pytest.mark.parametrize("opset", [OPSET, 14, 11])
@pytest.mark.parametrize(
    "row", [pytest.param(r, id=r.id) for r in [*ROWS, *ARGMAX, *OTHERS] if lowered(r)]
)
def test_onnx_computes_the_same(row: Row, opset: int) -> None:
    layer = row.layer
    bottoms = [b.float() for b in row.bottoms]
    blobs = [b.float() for b in row.blobs_of(layer)]
    with torch.no_grad():
        want = [y.numpy() for y in row.function(layer)(*bottoms, *blobs)]
    feed = {f"b{i}": b.numpy() for i, b in enumerate(bottoms)}
    found = _session(layer, feed, [b.numpy() for b in blobs], opset).run(None, feed)
    assert len(found) == len(want)
    for y, expected in zip(found, want, strict=True):
        assert y.shape == expected.shape
        # float32 in another order of operations
        np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-6)


def _session(
    layer: Layer, feed: dict[str, np.ndarray], blobs: list[np.ndarray], opset: int
) -> onnxruntime.InferenceSession:
    g = OnnxGraph(reserved=feed)
    g.shapes.update({name: array.shape for name, array in feed.items()})
    with g.scope("L"):
        names = [g.blob(i, array) for i, array in enumerate(blobs)]
        if layer.same_tops_as_bottoms:
            made = [layer.lower(g, x, *names) for x in feed]
        else:
            made = layer.lower(g, *feed, *names)
        tops = list(made) if isinstance(made, tuple | list) else [made]
        tops = [g.op("Identity", y) for y in tops]

    def values(names: list[str]) -> list[onnx.ValueInfoProto]:
        shapes = [g.shapes.get(n) for n in names]
        return [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
            for n, s in zip(names, shapes, strict=True)
        ]

    graph = helper.make_graph(g.nodes, "one", values(list(feed)), values(tops), g.initializers())
    imports = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSIONS[opset])
    if opset < OPSET:
        model = shape_inference.infer_shapes(model)
        constants: dict[str, np.ndarray] = {}
        in_opset(model, constants, opset)
        held = [numpy_helper.from_array(array, name) for name, array in constants.items()]
        model.graph.initializer.extend(held)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
