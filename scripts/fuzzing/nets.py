"""Random nets: every layer type, with fields and shapes that no author would write."""

from __future__ import annotations

import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from adaption.graph import LayerSpec
from adaption.layers.base import choose_class, known_types
from adaption.proto import caffe_pb2

__all__ = ["random_net", "random_solver"]

SHAPES = ["", "1", "4", "0", "2 3", "4 8", "3 2 2", "1 3 8 8", "2 6 3 3", "2 6 8 8", "4 8 8 8"]
SHAPES += ["3 0 2 3 4", "1 4 2 2 3", "2 3 4 5 6 7", "1 1 1 5", "1 2147483647 4294967295", "-1 3"]
WHOLES = [0, 1, 1, 1, 2, 2, 3, 4, 5, 7, -1, -2, 100, 1 << 20, 2**31 - 1, 2**32 - 1, 2**63 - 1]
REALS = ["0", "1", "0.5", "2", "-1", "1e-30", "1e30", "-1e30", "inf", "-inf", "nan", "0.1", "7"]
TEXTS = ["", "a", "data", "b0", "/dev/zero", "/dev/null", "no/such/file", "x" * 300, "\\000", "é"]
SKIPPED = {"Python"}


MILD = ["1 3 8 8", "2 4 6 6", "2 4 6 6", "2 4 6 6", "3 4", "2 4 6 6", "4 4 5 5", "2 8"]


def random_net(draw: random.Random) -> str:
    """Text of a net of one to three layers behind an Input layer; half of them nearly sensible."""
    mild = draw.random() < 0.5
    shapes = [draw.choice(MILD if mild else SHAPES) for _ in range(3)]
    if mild and draw.random() < 0.7:
        shapes = shapes[:1] * 3
    text = 'name: "g" layer { name: "in" type: "Input" top: "b0" top: "b1" top: "b2" input_param {'
    text += "".join(f" shape {{ {_dims(shape)} }}" for shape in shapes) + " } }\n"
    known = ["b0", "b1", "b2"]
    for number in range(draw.choice((1, 1, 1, 2, 3))):
        text += _layer(draw, number, known, mild) + "\n"
    return text


def _dims(shape: str) -> str:
    return " ".join(f"dim: {size}" for size in shape.split())


def _layer(draw: random.Random, number: int, known: list[str], mild: bool) -> str:
    kind = draw.choice([t for t in known_types() if t not in SKIPPED])
    blank = LayerSpec("x", kind, (), (), caffe_pb2.LayerParameter(name="x", type=kind))
    cls = choose_class(blank)[0]
    bottoms = [draw.choice(known) for _ in range(_count(draw, cls.bottoms))]
    tops = []
    for i in range(_count(draw, cls.tops)):
        in_place = i < len(bottoms) and draw.random() < 0.2
        tops.append(bottoms[i] if in_place else f"t{number}_{i}")
    known += tops
    parts = [f'name: "l{number}" type: "{kind}"']
    parts += [f'bottom: "{name}"' for name in bottoms] + [f'top: "{name}"' for name in tops]
    if cls.param is not None and draw.random() < 0.9:
        field = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[cls.param]
        parts.append(f"{cls.param} {{ {_message(draw, field.message_type, mild=mild)} }}")
    for name in ("loss_param", "precision_param", "lpfp_param", "transform_param", "param"):
        if draw.random() < (0.02 if mild else 0.08):
            field = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[name]
            parts.append(f"{name} {{ {_message(draw, field.message_type)} }}")
    if draw.random() < 0.2:
        parts.append(f"loss_weight: {draw.choice(REALS)}")
    return f"layer {{ {' '.join(parts)} }}"


def _count(draw: random.Random, allowed: Any) -> int:
    if isinstance(allowed, int):
        return allowed
    least, most = allowed
    return draw.randint(least, min(most if most is not None else least + 2, least + 3))


def _message(draw: random.Random, descriptor: Any, depth: int = 0, *, mild: bool = False) -> str:
    """Random values for some of a message's fields, more often than not ones that make sense."""
    parts = []
    for field in descriptor.fields:
        # The first fields of a message are those that its layer cannot do without.
        often = 0.5 if field.index < 3 else 0.05 if mild else 0.2
        if draw.random() > often:
            continue
        repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == 3
        for _ in range(draw.choice((1, 1, 2, 3)) if repeated else 1):
            if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
                if depth < 2:
                    inner = _message(draw, field.message_type, depth + 1, mild=mild)
                    parts.append(f"{field.name} {{ {inner} }}")
            else:
                parts.append(f"{field.name}: {_value(draw, field, mild)}")
    return " ".join(parts)


def _value(draw: random.Random, field: Any, mild: bool = False) -> str:
    if field.enum_type is not None:
        return str(draw.choice(field.enum_type.values).name)
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return draw.choice(("true", "false"))
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return draw.choice(("0.5", "1", "2", "0.1") if mild and draw.random() < 0.9 else REALS)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        if field.name == "type":  # of a filler
            return f'"{draw.choice(("constant", "xavier", "gaussian", "bilinear", "uniform", ""))}"'
        return f'"{draw.choice(TEXTS)}"'
    low, high = _RANGES[kind]
    if mild and draw.random() < 0.95:
        return str(draw.choice((1, 1, 1, 2, 2, 3, 4)))
    small = draw.random() < 0.8
    values = [n for n in WHOLES if low <= n <= high and (not small or abs(n) <= 8)]
    return str(draw.choice(values))


_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}


def random_solver(draw: random.Random) -> str:
    """Fields of a solver, its net left out."""
    descriptor = caffe_pb2.SolverParameter.DESCRIPTOR
    parts = []
    for field in descriptor.fields:
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE or field.name in _OF_NET:
            continue
        if draw.random() > (0.9 if field.name in _USUAL else 0.08):
            continue
        if field.name == "lr_policy":
            value = f'"{draw.choice(_POLICIES)}"'
        elif field.name == "type":
            value = f'"{draw.choice(_TYPES)}"'
        elif field.name in (
            "test_interval",
            "display",
            "snapshot",
            "iter_size",
            "average_loss",
            "max_iter",
        ):
            value = str(draw.choice((0, 1, 1, 2, 3, 2**31 - 1, -1)))
        else:
            value = _value(draw, field)
        parts.append(f"{field.name}: {value}")
    return " ".join(parts)


_OF_NET = {
    "net",
    "train_net",
    "test_net",
    "max_iter",
    "device_id",
    "solver_mode",
    "snapshot_prefix",
}
_USUAL = {"lr_policy", "base_lr", "gamma", "power", "stepsize", "stepvalue", "max_iter"}
_POLICIES = ("fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid", "plateau", "no")
_TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam", "None")
