"""Which files may name layer types: those of `layers` and `data.layers`, and the few named here.

What a layer type is, it says itself, by traits (adaption/layers/traits.py). A table of type names
elsewhere would forget the next type, silently.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from adaption.layers.base import known_types

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "adaption"

AT_HOME = ("adaption/layers/*", "adaption/data/layers/*")

ONNX = "they are the names of ONNX operators"
GRAMMAR = "net descriptors are ADaPTION's own language, which has a word for each of these types"
MAY_NAME = {
    "adaption/io/legacy_types.py": "files of Caffe's V0 and V1 name types by numbers and words",
    "adaption/io/upgrade.py": "the same, and files that call their inputs `input`",
    "adaption/io/lp_types.py": "ADaPTION's types and their plain twins, as files have them",
    "adaption/graph/spec.py": "Input and Split are the layers that this room puts in itself",
    "adaption/graph/widening/*.py": "what a type does to channels beyond keeping them; the room has"
    " no torch and so no layers, and gets the rest by `keeps_channels`",
    "adaption/graph/roi_scale.py": "a fault of ADaPTION's own Faster R-CNN files",
    "adaption/precision/original/descriptor.py": GRAMMAR,
    "adaption/precision/original/create.py": GRAMMAR,
    "adaption/precision/original/extract.py": GRAMMAR,
    "adaption/solver/teacher.py": "the loss whose gradient a teacher takes the place of",
    "adaption/precision/__init__.py": "Proposal is a class of this package",
    "adaption/precision/format_text.py": (
        "LPAct's lpfp_param is the format of its result; a Clip is a WRPN format without rounding"
    ),
    "adaption/pycaffe/net_spec.py": "`Parameter` ends the names of caffe.proto's messages",
    "adaption/pycaffe/python_layer.py": "pycaffe's base class of Python layers says its own type",
    "adaption/report/html.py": "`Data` is a heading",
    "adaption/report/layer_text.py": "all that is known of an unknown type is its name",
    "adaption/job/assign_nets.py": "the layer that the recipe puts in place of each ReLU",
    "adaption/job/assign_outcome.py": "BN is the paper's name of binarized nets",
    "adaption/report/assigned.py": "BN is the paper's name of binarized nets",
    "adaption/export/onnx/grids.py": ONNX,
    "adaption/export/onnx/images.py": ONNX,
    "adaption/export/onnx/integer_*.py": ONNX,
    "adaption/export/onnx/older.py": ONNX,
    "adaption/export/onnx/qdq_pass.py": ONNX,
    "adaption/export/onnx/styles.py": ONNX,
}
"""File, and why it may spell the name of a layer type."""

PROGRAM = "an operation of exact arithmetic holds the layer's geometry, which is that class"
MAY_IMPORT = {
    "adaption/net/convolver.py": "a kernel for this one class",
    "adaption/net/fuse.py": "kernels for chains of these very classes",
    "adaption/exact/reference.py": "sums in another order for this one class",
    "adaption/export/onnx/integer_floats.py": PROGRAM,
    "adaption/export/onnx/integer_windows.py": PROGRAM,
    "adaption/exact/*.py": PROGRAM,
    "adaption/export/package/*.py": PROGRAM,
}
"""File, and why it may import the class of a layer type."""

HINT = (
    "say it by a trait: add one to adaption/layers/traits.py, state it in the files of the types"
    " it holds for, and ask `traits_of(spec, net)`, `traits_of_type(type)` or `node.layer`"
)


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Path and syntax of every file outside the rooms where types are at home."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not any(fnmatchcase(name, home) for home in AT_HOME) and "/proto/" not in name:
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def strings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Strings of a file but for docstrings, pieces of f-strings and the names in `__all__`."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            left_out.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            left_out.update(map(id, node.values))
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            left_out.update(map(id, ast.walk(node.value)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in left_out:
                yield node


def type_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of each string that is the name of a layer type, or a list of them."""
    known = set(known_types())
    for node in strings(tree):
        words = str(node.value).replace(",", " ").split()
        if words and known.issuperset(words):
            yield node.lineno, repr(node.value)


def layer_classes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and module of each import of a file that registers layer types."""
    homes = {f"adaption.{package}" for package in ("layers", "data.layers")}
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.ImportFrom) and node.module in homes:
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
            if module.rpartition(".")[0] in homes and "\n@layer(" in path.read_text("utf-8"):
                yield node.lineno, module


@pytest.mark.parametrize(
    ("find", "allowed"),
    [
        pytest.param(type_names, MAY_NAME, id="names"),
        pytest.param(layer_classes, MAY_IMPORT, id="classes"),
    ],
)
def test_only_layer_files_and_these_name_layer_types(find: object, allowed: dict[str, str]) -> None:
    assert callable(find)
    problems = []
    used = set()
    for name, tree in sources():
        reasons = [pattern for pattern in allowed if fnmatchcase(name, pattern)]
        found = list(find(tree))
        if found:
            used.update(reasons)
        if not reasons:
            problems += [f"{name}:{line} names {what}" for line, what in found]
    problems += [
        f"{name} names none any more, so take it off the list" for name in allowed.keys() - used
    ]
    if problems:
        pytest.fail("\n".join([*problems, f"  fix: {HINT}"]), pytrace=False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param('if item.type == "ReLU": pass', ["'ReLU'"], id="comparison"),
        pytest.param('T = frozenset("ReLU PReLU".split())', ["'ReLU PReLU'"], id="list"),
        pytest.param('T = ("Convolution", "Deconvolution")', ["'Convolution'", "'Deconvolution'"],
                     id="table"),
        pytest.param('t.endswith("InnerProduct")', ["'InnerProduct'"], id="end of a name"),
        pytest.param('__all__ = ["Scale"]\n"""Scale"""\nx = f"Scale {1}"', [], id="other strings"),
    ],
)  # fmt: skip
def test_tables_are_seen(text: str, found: list[str]) -> None:
    assert [what for _, what in type_names(ast.parse(text))] == found


@pytest.mark.parametrize(
    "text",
    [
        "from adaption.layers.relu import ReLU",
        "from adaption.layers import relu",
        "import adaption.layers.relu",
        "from adaption.data.layers.data import Data",
    ],
)
def test_imports_of_classes_are_seen(text: str) -> None:
    assert len(list(layer_classes(ast.parse(text)))) == 1
    assert not list(layer_classes(ast.parse("from adaption.layers.base import Layer")))
