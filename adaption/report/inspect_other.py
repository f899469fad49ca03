"""What is in a solver prototxt with its nets, and in an ONNX file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from adaption.errors import AdaptionError
from adaption.io import prototxt, wire
from adaption.io.file_bytes import FileBytes

if TYPE_CHECKING:
    from adaption.solver.settings import NetRole

__all__ = [
    "OnnxInspection",
    "SolverInspection",
    "inspect_onnx",
    "inspect_solver",
    "is_onnx",
    "is_solver",
]

PathLike = str | os.PathLike[str]


class Shown(Protocol):
    """What is shown of a net."""

    warnings: list[str]

    def to_dict(self) -> dict[str, Any]: ...

    def table(self) -> str: ...


@dataclass
class SolverInspection:
    """A solver's settings, and the nets it asks for with their roles ("train", "test", ...)."""

    file: str
    settings: str  # as Caffe prints them, those that are set
    nets: list[tuple[str, Shown]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    kind: ClassVar[str] = "a solver"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "format": "adaption.solver_inspection/1",
            "file": self.file,
            "settings": self.settings,
            "nets": [{"role": role, **net.to_dict()} for role, net in self.nets],
            "warnings": self.warnings,
        }

    def table(self) -> str:
        """The settings, then each net."""
        parts = [f"{self.file}: a solver", self.settings.rstrip()]
        for role, net in self.nets:
            parts += ["", f"{role}:", net.table()]
        return "\n".join(parts)


@dataclass
class OnnxInspection:
    """What an ONNX file says of itself; its weights are not read."""

    file: str
    producer: str
    opsets: dict[str, int]
    inputs: dict[str, list[int | str]]
    outputs: dict[str, list[int | str]]
    operators: dict[str, int]
    properties: dict[str, str]  # those that are short
    warnings: list[str] = field(default_factory=list)

    kind: ClassVar[str] = "an ONNX model"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"format": "adaption.onnx_inspection/1", **vars(self)}

    def table(self) -> str:
        """A few lines."""
        opsets = ", ".join(f"{domain or 'ai.onnx'} {n}" for domain, n in self.opsets.items())
        lines = [f"{self.file}: an ONNX model made by {self.producer or 'nobody named'}, {opsets}"]
        for label, blobs in (("inputs", self.inputs), ("outputs", self.outputs)):
            shown = ", ".join(f"{n} {'x'.join(map(str, s)) or '?'}" for n, s in blobs.items())
            lines.append(f"{label}: {shown}")
        counted = ", ".join(f"{n} {name}" for name, n in self.operators.items())
        lines.append(f"operators: {counted}")
        lines += [f"{name}: {value}" for name, value in self.properties.items()]
        lines.append("it is no Caffe file: adaption verify NET WEIGHTS FILE compares it with a net")
        return "\n".join(lines)


def is_solver(path: PathLike) -> bool:
    """Whether a prototxt is a solver: it has settings of one, and no layers. Raises: ParseError."""
    root = prototxt.read(path).root
    if any(root.first(name) for name in ("layer", "layers", "input")):
        return False
    names = ("net", "train_net", "net_param", "train_net_param", "base_lr", "max_iter")
    return any(root.first(name) for name in names)


def inspect_solver(path: PathLike, look: Callable[[NetRole], Shown]) -> SolverInspection:
    """The settings of a solver and its nets.

    Args:
        look: what to show of a net.
    Raises: FieldError or ParseError on a bad solver. A net that cannot be read is a warning.
    """
    from adaption.solver.settings import read_solver, role_of_train_net, roles_of_test_nets

    solver = read_solver(path)
    inspection = SolverInspection(os.fspath(path), _settings(solver.message))
    inspection.warnings = [*solver.notices, *([solver.prefix] if solver.prefix else [])]
    try:
        roles = [("train net", role_of_train_net(solver))]
    except AdaptionError as error:
        inspection.warnings.append(str(error))
        roles = []
    try:
        tests = roles_of_test_nets(solver)
        roles += [
            (f"test net {i}" if len(tests) > 1 else "test net", t) for i, t in enumerate(tests)
        ]
    except AdaptionError as error:
        inspection.warnings.append(str(error))
    for name, role in roles:
        net = look(role)
        inspection.nets.append((f"{name} ({role.source})", net))
        inspection.warnings += [w for w in net.warnings if w not in inspection.warnings]
    return inspection


def _settings(message: Any) -> str:
    """The fields that are set, without nets that stand in the solver itself."""
    settings = type(message)()
    settings.CopyFrom(message)
    for name in ("net_param", "train_net_param", "test_net_param"):
        settings.ClearField(name)
    return prototxt.debug_string(settings)


def is_onnx(path: PathLike) -> bool:
    """Whether a binary protobuf is an ONNX ModelProto: a version, a graph, operator sets."""
    seen = set()
    for item in wire.walk(FileBytes(path)):
        seen.add((item.number, item.wire))
        if item.number not in range(1, 30):
            return False
    return {(1, wire.VARINT), (7, wire.LENGTH), (8, wire.LENGTH)} <= seen


def inspect_onnx(path: PathLike) -> OnnxInspection:
    """What an ONNX file holds, without its weights."""
    import onnx

    model = onnx.load(os.fspath(path), load_external_data=False)
    constants = {item.name for item in model.graph.initializer}
    producer = f"{model.producer_name} {model.producer_version}".strip()
    return OnnxInspection(
        file=os.fspath(Path(path)),
        producer=producer,
        opsets={item.domain: item.version for item in model.opset_import},
        inputs=_shapes(item for item in model.graph.input if item.name not in constants),
        outputs=_shapes(model.graph.output),
        operators=dict(Counter(node.op_type for node in model.graph.node).most_common()),
        properties={p.key: p.value for p in model.metadata_props if len(p.value) < 80},
    )


def _shapes(infos: Any) -> dict[str, list[int | str]]:
    shapes: dict[str, list[int | str]] = {}
    for info in infos:
        dims: Mapping[str, Any] = info.type.tensor_type.shape
        shapes[info.name] = [d.dim_param or int(d.dim_value) for d in dims.dim]  # type: ignore[attr-defined]
    return shapes
