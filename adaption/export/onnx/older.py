"""Older opsets: a finished model in the forms that runtimes before opset 18 know.

Layers are lowered to the forms of opset 18. What later opsets moved from attributes to inputs, or
gave another meaning, is written as it was here; onnx's checker then tells what is left over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

from adaption.errors import UsageError
from adaption.export.onnx.file import check_model, with_constants
from adaption.export.onnx.graph import Array

__all__ = ["in_opset"]


def in_opset(model: ModelProto, constants: dict[str, Array], opset: int) -> None:
    """Bring a model of opset 18 to an older one, in place; `constants` gain the new ones.

    Raises: UsageError when an operator has no form there.
    """
    change = _Change(model, constants, opset)
    for node in list(model.graph.node):
        forms = _FORMS.get(node.op_type, ()) if node.domain in ("", "ai.onnx") else ()
        for before, form in forms:
            if opset < before:
                form(change, node)
                break
        change.nodes.append(node)
        change.nodes.extend(change.behind)
        change.behind.clear()
    del model.graph.node[:]
    model.graph.node.extend(change.nodes)
    next(o for o in model.opset_import if o.domain in ("", "ai.onnx")).version = opset
    read = {name for node in model.graph.node for name in node.input}
    for name in [name for name in constants if name not in read]:
        del constants[name]
    held = [t for t in model.graph.initializer if t.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(held)
    try:
        check_model(model, constants)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UsageError(
            f"opset {opset} does not hold this model: {_reason(error)}",
            "leave the opset out, or give a later one",
        ) from None


def _reason(error: Exception) -> str:
    """The first line of what onnx says that tells something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


class _Change:
    """The nodes written so far, and what the forms below ask for."""

    def __init__(self, model: ModelProto, constants: dict[str, Array], opset: int) -> None:
        self.opset = opset
        self.nodes: list[NodeProto] = []
        self.behind: list[NodeProto] = []  # what follows the node that is being changed
        self._model = model
        self._constants = constants
        self._ranks: dict[str, int] | None = None
        self._held = {t.name: t for t in model.graph.initializer}

    def value(self, name: str) -> Array:
        if name in self._constants:
            return self._constants[name]
        if name in self._held:
            return numpy_helper.to_array(self._held[name])
        raise UsageError(f"opset {self.opset} needs the constant {name!r}", "leave the opset out")

    def rank(self, name: str) -> int:
        if self._ranks is None:
            whole = onnx.shape_inference.infer_shapes(with_constants(self._model, self._constants))
            graph = whole.graph
            infos: list[ValueInfoProto] = [*graph.value_info, *graph.input, *graph.output]
            self._ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in infos}
        return self._ranks[name]

    def constant(self, node: NodeProto, what: str, value: Any) -> str:
        name = f"{node.name}/{what}"
        self._constants[name] = value
        return name

    def op(self, node: NodeProto, op_type: str, *inputs: str, **attributes: Any) -> str:
        """An operator before `node`."""
        name = f"{node.name}/{op_type}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], name=name, **attributes))
        return name


def _shape(change: _Change, node: NodeProto) -> None:
    """Shape gave all axes."""
    bounds = {a.name: a.i for a in node.attribute}
    del node.attribute[:]
    if not bounds:
        return
    top, node.output[0] = node.output[0], f"{node.name}/whole"
    names = [
        change.constant(node, name, np.array([bounds.get(name, other)]))
        for name, other in (("start", 0), ("end", np.iinfo(np.int64).max))
    ]
    change.behind.append(
        helper.make_node("Slice", [node.output[0], *names], [top], f"{node.name}/part")
    )


def _axes(change: _Change, node: NodeProto) -> None:
    """`axes` was an attribute."""
    if len(node.input) > 1:
        axes = change.value(node.input.pop())
        node.attribute.append(helper.make_attribute("axes", [int(a) for a in axes.reshape(-1)]))


def _split(change: _Change, node: NodeProto) -> None:
    if len(node.input) > 1:
        sizes = change.value(node.input.pop())
        node.attribute.append(helper.make_attribute("split", [int(s) for s in sizes]))


def _softmax(change: _Change, node: NodeProto) -> None:
    """Softmax went over the given axis and all behind it: bring the axis to the end."""
    rank = change.rank(node.input[0])
    axis = next((a.i for a in node.attribute if a.name == "axis"), -1) % rank
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("axis", rank - 1))
    if axis == rank - 1:
        return
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]  # its own inverse
    node.input[0] = change.op(node, "Transpose", node.input[0], perm=order)
    top, node.output[0] = node.output[0], f"{node.name}/last"
    change.behind.append(
        helper.make_node("Transpose", [node.output[0]], [top], f"{node.name}/back", perm=order)
    )


def _resize(change: _Change, node: NodeProto) -> None:
    """Sizes and scales were of all axes, and no input was optional."""
    axes = next((list(a.ints) for a in node.attribute if a.name == "axes"), None)
    kept = [a for a in node.attribute if a.name != "axes"]
    del node.attribute[:]
    node.attribute.extend(kept)
    inputs = [*node.input, "", "", ""][:4]
    if axes is not None:
        rank = change.rank(inputs[0])
        if inputs[2]:
            scales = np.ones(rank, np.float32)
            scales[axes] = change.value(inputs[2])
            inputs[2] = change.constant(node, "scales", scales)
        if inputs[3]:
            mask, sizes = np.ones(rank, np.int64), np.zeros(rank, np.int64)
            mask[axes], sizes[axes] = 0, change.value(inputs[3])
            shape = change.op(node, "Shape", inputs[0])
            kept_sizes = change.op(node, "Mul", shape, change.constant(node, "kept", mask))
            inputs[3] = change.op(node, "Add", kept_sizes, change.constant(node, "sizes", sizes))
    if change.opset < 13:
        none = change.constant(node, "none", np.zeros(0, np.float32))
        inputs[1:3] = [name or none for name in inputs[1:3]]
    del node.input[:]
    node.input.extend(inputs if inputs[3] else inputs[:3])


_Form = Callable[[_Change, NodeProto], None]

# For each operator the opsets that brought today's form, the way back from each.
_FORMS: dict[str, tuple[tuple[int, _Form], ...]] = {
    **{
        f"Reduce{kind}": ((18, _axes),)
        for kind in ("Max", "Mean", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
    },
    "ReduceSum": ((13, _axes),),
    "Squeeze": ((13, _axes),),
    "Unsqueeze": ((13, _axes),),
    "Split": ((13, _split),),
    "Softmax": ((13, _softmax),),
    "Shape": ((15, _shape),),
    "Resize": ((18, _resize),),
}
