"""The walls of the floor plan in CONTRIBUTING.md; a message says which wall, and why it stands."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import adaption

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "adaption"

# Data flows to the right, imports point to the left.
ROOMS = (
    *("nearest", "errors", "glog", "table", "options", "numerics", "proto", "io", "graph"),
    *("layers", "net", "recipes", "data", "precision", "solver", "exact", "export", "compare"),
    *("report", "job", "pycaffe", "cli"),
)
TORCHLESS = ("nearest", "errors", "glog", "table", "options", "proto", "io", "graph")
ANYWHERE = ("_version", "later", "moved")
FRONT_DOOR = ("__init__", "__main__")  # may name every room
GENERATED = ("adaption/proto/caffe_pb2.py", "adaption/proto/caffe_pb2.pyi")
HEAVY = ("torch", "onnx", "onnxruntime", "h5py", "lmdb", "matplotlib", "jinja2", "PIL", "sklearn")
MAX_LINES = 450


class Import(NamedTuple):
    """One import statement's target: `module` is dotted and absolute."""

    file: str
    line: int
    module: str


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Every import of a file, wherever it stands: in a function and for type checkers too."""
    return tuple(imports_in(path.read_text(encoding="utf-8"), path))


def imports_in(text: str, path: Path) -> Iterator[Import]:
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(relative(path), node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *([node.module] if node.module else [])))
            for alias in node.names:
                full = f"{base}.{alias.name}"
                if base == "adaption" and alias.name in adaption._MODULE_OF:
                    full = adaption._MODULE_OF[alias.name]
                yield Import(relative(path), node.lineno, full if is_module(full) else base)


def report(problems: list[str], why: str) -> None:
    if problems:
        pytest.fail("\n".join([*problems, f"  why: {why}"]), pytrace=False)


def test_every_room_is_on_the_floor_plan() -> None:
    rooms = {room_of(p) for p in sources()}
    unknown = sorted(rooms - {*ROOMS, *ANYWHERE, *FRONT_DOOR})
    report([f"adaption/{r} has no place in ROOMS" for r in unknown], "imports follow that order")


def test_imports_point_one_way() -> None:
    problems = []
    for path in sources():
        here = room_of(path)
        if here in (*FRONT_DOOR, *ANYWHERE):
            continue
        for found in imports_of(path):
            parts = found.module.split(".")
            if parts[0] != "adaption":
                continue
            where = f"{found.file}:{found.line}"
            if len(parts) == 1:
                # The verbs of the shell are sentences about the public names.
                if here != "cli":
                    problems.append(f"{where} imports adaption itself; import the room instead")
            elif parts[1] not in ROOMS:
                if parts[1] not in ANYWHERE:
                    problems.append(f"{where} imports {found.module}, which is no room")
            elif ROOMS.index(parts[1]) > ROOMS.index(here):
                problems.append(
                    f"{where} imports {found.module}, which lies to the right of {here}"
                )
    report(
        problems,
        f"rooms only import rooms to their left ({' < '.join(ROOMS)}); a need to import the other"
        " way means a missing value: pass it in, or define a Protocol on the left and implement it"
        " on the right, as layers.base.Lowering is",
    )


Graph = dict[str, set[str]]


def module_of(path: Path) -> str:
    """Its dotted name; that of the package for an __init__.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(more: dict[str, str] | None = None) -> Graph:
    """Module -> the modules of ours that it imports; `more` is text to add to some of them."""
    graph: Graph = {}
    for path in sources():
        found = [*imports_of(path), *imports_in((more or {}).get(module_of(path), ""), path)]
        graph[module_of(path)] = {i.module for i in found}
    return {name: {m for m in graph[name] if m in graph and m != name} for name in graph}


def circles(graph: Graph) -> list[list[str]]:
    """The strongly connected components of two modules or more, sorted."""
    reached: Graph = {}
    for start in graph:
        found, waiting = set(graph[start]), list(graph[start])
        while waiting:
            new = graph[waiting.pop()] - found
            found |= new
            waiting += new
        reached[start] = found
    groups = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in graph
        if name in reached[name]
    }
    return sorted(map(list, groups))


def test_imports_have_no_circle() -> None:
    graph = import_graph()
    problems = [
        "\n".join(
            f"{name} imports {', '.join(sorted(graph[name].intersection(group)))}" for name in group
        )
        for group in circles(graph)
    ]
    report(
        problems,
        "a circle has to be read, tested and moved as one file; imports in functions and for type"
        " checkers count. Move what both need into a module below them, or define a Protocol there,"
        " as solver/training.py does",
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("import adaption.solver.solver\n", id="at the top"),
        pytest.param("def f():\n    from adaption.solver import solver\n", id="in a function"),
        pytest.param(
            "if TYPE_CHECKING:\n    from adaption.solver.solver import Solver\n",
            id="for type checkers",
        ),
        pytest.param("from .solver import Solver\n", id="relative"),
    ],
)
def test_a_circle_that_is_put_in_is_found(text: str) -> None:
    found = circles(import_graph({"adaption.solver.snapshot": text}))
    assert found == [["adaption.solver.snapshot", "adaption.solver.solver"]]


@pytest.mark.parametrize(
    ("graph", "want"),
    [
        pytest.param({"a": {"b"}, "b": {"c"}, "c": set()}, [], id="a line"),
        pytest.param({"a": {"b", "c"}, "b": {"c"}, "c": set()}, [], id="two ways down"),
        pytest.param(
            {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}, [["b", "c"]], id="below a module"
        ),
        pytest.param(
            {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": {"d", "a"}},
            [["a", "b", "c"], ["d", "e"]],
            id="two, one above the other",
        ),
    ],
)
def test_circles(graph: Graph, want: list[list[str]]) -> None:
    assert circles(graph) == want


def test_no_room_is_the_largest_by_a_factor_of_two() -> None:
    lines = dict.fromkeys(ROOMS, 0)
    for path in sources():
        if room_of(path) in lines and relative(path) not in GENERATED:
            lines[room_of(path)] += len(path.read_text(encoding="utf-8").splitlines())
    largest, second = sorted(lines, key=lines.__getitem__)[:-3:-1]
    assert lines[largest] < 2 * lines[second], (
        f"{largest} has {lines[largest]} lines, {second} has {lines[second]}: give it two rooms"
    )


def layer_files() -> set[str]:
    """Dotted names of the modules that register a layer type."""

    def registers(node: ast.AST) -> bool:
        call = node.func if isinstance(node, ast.Call) else node
        return isinstance(call, ast.Name) and call.id == "layer"

    found = set()
    for path in sources():
        classes = [
            n for n in ast.parse(path.read_text("utf-8")).body if isinstance(n, ast.ClassDef)
        ]
        if any(registers(d) for c in classes for d in c.decorator_list):
            found.add(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return found


def test_layers_do_not_import_each_other() -> None:
    layers = layer_files()
    assert "adaption.layers.relu" in layers
    problems = [
        f"{found.file}:{found.line} imports {found.module}"
        for name in sorted(layers)
        for found in imports_of(ROOT.joinpath(*name.split(".")).with_suffix(".py"))
        if found.module in layers
    ]
    report(
        problems,
        "a layer type is one file that can be read and removed alone; what two of them share moves"
        " to a file without @layer, as layers/base.py and layers/spatial.py",
    )


def test_files_and_graphs_do_without_torch() -> None:
    """Checked at run time too: numerics and layers bring torch by a detour."""
    files = [p for p in sources() if room_of(p) in TORCHLESS]
    problems = [
        f"{found.file}:{found.line} imports {found.module}"
        for path in files
        for found in imports_of(path)
        if found.module.split(".")[0] == "torch"
    ]
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in files]
    loaded = loaded_after("\n".join(f"import {m.removesuffix('.__init__')}" for m in modules))
    if "torch" in loaded and not problems:
        problems = [f"importing {', '.join(TORCHLESS)} loads torch by way of another room"]
    report(problems, "inspecting and converting files must not wait for torch")


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import adaption", id="import adaption"),
        pytest.param("import adaption.cli.main", id="import adaption.cli.main"),
        pytest.param(
            "import runpy\n"
            "sys.argv = ['adaption', '--help']\n"
            "try:\n"
            "    runpy.run_module('adaption', run_name='__main__')\n"
            "except SystemExit as end:\n"
            "    assert not end.code, end.code\n",
            id="adaption --help",
        ),
    ],
)
def test_start_is_light(code: str) -> None:
    loaded = loaded_after(code)
    report(
        [f"{name} is imported" for name in HEAVY if name in loaded],
        "`import adaption` and `adaption --help` answer at once: import it in the function that"
        " needs it, or load the public name lazily (adaption/__init__.py)",
    )


def loaded_after(code: str) -> set[str]:
    """Names of the top-level modules that a fresh interpreter holds after running `code`."""
    tail = "print('\\nloaded:', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{tail}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


def undocumented(name: str, thing: Any) -> Iterator[str]:
    """Names of a public function or class, and of its own public methods, without a docstring."""
    doc = inspect.getdoc(thing) or ""
    # A dataclass without one gets its signature.
    if not doc or (inspect.isclass(thing) and doc.startswith(f"{thing.__name__}(")):
        yield name
    if inspect.isclass(thing) and thing.__module__.startswith("adaption"):
        for key, member in vars(thing).items():
            kinds = (staticmethod, classmethod)
            if key.startswith("_") or not (inspect.isfunction(member) or isinstance(member, kinds)):
                continue
            if not inspect.getdoc(getattr(thing, key)):
                yield f"{name}.{key}"


@pytest.mark.parametrize("name", sorted(adaption._MODULE_OF))
def test_public_names_exist_and_are_documented(name: str) -> None:
    report(
        [
            f"{n} has no docstring"
            for n in undocumented(f"adaption.{name}", getattr(adaption, name))
        ],
        "public docstrings say shapes, units, errors and source",
    )


@pytest.mark.parametrize("module", sorted({*adaption._MODULE_OF.values()}))
def test_modules_of_public_names_are_documented(module: str) -> None:
    loaded = importlib.import_module(module)
    things = {
        key: value
        for key, value in vars(loaded).items()
        if not key.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__.startswith(module)
    }
    problems = [f"{n} has no docstring" for k, v in things.items() for n in undocumented(k, v)]
    if not loaded.__doc__:
        problems.append(f"{module} has no docstring")
    report(problems, f"{module} holds public names, a user looks here first")


def test_lazy_names_are_the_ones_type_checkers_see() -> None:
    """The table and the TYPE_CHECKING imports of adaption/__init__.py say the same."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == adaption._MODULE_OF


def test_modules_are_short() -> None:
    lengths = {relative(p): len(p.read_text(encoding="utf-8").splitlines()) for p in sources()}
    report(
        [
            f"{name} has {length} lines, allowed: {MAX_LINES}"
            for name, length in lengths.items()
            if length > MAX_LINES and name not in GENERATED
        ],
        "a long file holds two ideas; give the second one a file",
    )


# One letter in brackets each, so that the pattern does not find itself.
MACHINE = re.compile(
    r"(?<![\w.])/(?:wor[k]|hom[e]|roo[t]|tm[p]/v)/"
    r"|\.pyen[v]"
    r"|--(?:extra-)?inde[x]-url|--fin[d]-links"
    r"|https?://\S*/simpl[e]\b|download\.pytorc[h]|\bfil[e]:///"
)


def committed_files() -> list[Path]:
    """Tracked files, and those about to be: a slip shows before the commit."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_no_file_names_a_machine_or_a_package_index() -> None:
    problems = []
    for path in committed_files():
        data = path.read_bytes() if path.is_file() else b""
        if b"\0" in data:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            if match := MACHINE.search(line):
                problems.append(f"{relative(path)}:{number} has {match[0]!r}")
    report(
        problems, "the checkout works on every machine; where packages come from is pip's affair"
    )
