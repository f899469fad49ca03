"""ONNX files are written and read without copies of their constants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from adaption.export.onnx.file import is_held, read_model, same_bits, write_model

SMALL = np.arange(3, dtype=np.int64)
LARGE = np.random.default_rng(0).standard_normal((40, 50)).astype(np.float32)


def model_without_constants() -> onnx.ModelProto:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, s]) for n, s in
            (("x", 40), ("y", 50)))  # fmt: skip
    graph = helper.make_graph(nodes, "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def written(path: Path, constants: dict[str, np.ndarray]) -> int:
    with path.open("wb") as out:
        return write_model(model_without_constants(), constants, out)


def test_the_file_is_one_ordinary_message(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    held = {"w": LARGE, "small": SMALL, "none": np.zeros((0, 3), np.float32),
            "one": np.array(2.5, np.float32), "bytes": np.arange(-4, 4, dtype=np.int8)}  # fmt: skip
    assert written(path, held) == path.stat().st_size
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert list(found) == list(held)
    for name, array in held.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("saved_by", ["us", "onnx"])
def test_large_constants_are_read_as_views(saved_by: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    written(path, {"w": LARGE, "small": SMALL})
    if saved_by == "onnx":
        onnx.save(onnx.load(path), path)
    model, held = read_model(path)
    assert list(held) == ["w"]
    assert not held["w"].flags.owndata
    np.testing.assert_array_equal(held["w"], LARGE)
    assert [(t.name, is_held(t)) for t in model.graph.initializer] == [
        ("w", True),
        ("small", False),
    ]
    assert model.graph.node[0].op_type == "MatMul"
    assert model.opset_import[0].version == 18


def test_same_bits_tells_nan_and_zeros_apart() -> None:
    nan = np.array([np.nan, 0.0], np.float32)
    assert same_bits(nan, nan.copy())
    assert not same_bits(nan, np.array([np.nan, -0.0], np.float32))
    assert not same_bits(nan, nan[:1])
