"""The codes in a qdq file, and that they are exact arithmetic's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from adaption.exact import ExactNet, ExactOptions
from adaption.exact.selection import select
from adaption.export.onnx import ExportReport, export_onnx
from adaption.net import Net
from adaption.numerics import FixedPoint
from tests.export.nets import run_model

Inputs = Mapping[str, np.ndarray]


def codes_of(path: Path, inputs: Inputs) -> dict[tuple[str, str], np.ndarray]:
    """Every top of codes that the file has, by layer and blob, in float64: what DequantizeLinear
    makes, and codes inside a stretch of exact arithmetic, by their scale."""
    model = onnx.load(path)
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    types = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    tops = {}
    for entry in json.loads({p.key: p.value for p in model.metadata_props}["adaption.layers"]):
        scales = entry.get("scales") or [None] * len(entry["tops"])
        for blob, top, scale in zip(entry["blobs"], entry["tops"], scales, strict=True):
            if scale or makers.get(top) == "DequantizeLinear":
                frac_length, divisor = scale or (0, 1)
                tops[entry["name"], blob] = top, 2.0**-frac_length / divisor
    more = {top for top, _ in tops.values()} - {o.name for o in model.graph.output}
    model.graph.output.extend(
        helper.make_tensor_value_info(top, types.get(top, onnx.TensorProto.FLOAT), None)
        for top in sorted(more)
    )
    whole = path.with_suffix(".all.onnx")
    onnx.save(model, whole)
    found = run_model(whole, inputs)
    return {key: found[top].astype(np.float64) * scale for key, (top, scale) in tops.items()}


def assert_equal_codes(
    net: Net,
    path: Path,
    inputs: Inputs,
    formats: Mapping[str, FixedPoint] | None = None,
    **options: Any,
) -> ExportReport:
    """The net's qdq file; every code in it, and every output, is as exact arithmetic has it."""
    formats = formats or {}
    report = export_onnx(net, path, style="qdq", input_formats=formats, **options)
    onnx.checker.check_model(path, full_check=True)
    exact = ExactNet(
        net, ExactOptions(input_formats=formats, biases="product", rounding="half_even")
    ).run(inputs)
    found = codes_of(path, inputs)
    # Each point has its codes in the file, before or behind its ReLU.
    assert len(found) >= sum(m.node.formats.activation is not None for m in select(net).members)
    compared = 0
    for layer, blob, scale, codes in exact.tops():
        if scale is not None and (layer, blob) in found:
            want = codes.double().numpy() * scale.scale
            np.testing.assert_array_equal(found[layer, blob], want, err_msg=layer)
            compared += 1
    assert compared == len(found)
    plain = run_model(path, inputs)
    for blob, y in exact.outputs.items():
        # Sums and means of codes are rounded to float32 once; layers without an integer form
        # (Softmax) add up in another order.
        np.testing.assert_allclose(plain[blob], y.numpy(), rtol=1e-5, atol=1e-6)
    return report


def fused(path: Path, session_options: dict[str, str] | None = None) -> Counter[str]:
    """The operators that onnxruntime runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = str(path.with_suffix(".optimized.onnx"))
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    optimized = onnx.load(options.optimized_model_filepath)
    return Counter(node.op_type for node in optimized.graph.node)
