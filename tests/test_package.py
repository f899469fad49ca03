"""What pyproject.toml, constraints.txt, CITATION.cff and CONTRIBUTING.md say of the package."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import adaption
from adaption._version import __version__

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def project() -> dict[str, Any]:
    """Table [project] of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def distribution(requirement: str) -> str:
    """`PyYAML>=6` -> `pyyaml`, as package indexes compare names."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def test_version_is_said_once(project: dict[str, Any]) -> None:
    assert "version" in project["dynamic"]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    assert settings["dynamic"]["version"] == {"attr": "adaption._version.__version__"}
    assert __version__ == adaption.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_changelog_and_citation_are_of_this_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = re.search(r"^## \[(.+?)\]", changes, re.MULTILINE)
    assert newest is not None and newest[1] in (__version__, "Unreleased")
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_command_is_declared(project: dict[str, Any]) -> None:
    assert project["scripts"] == {"adaption": "adaption.cli.main:main"}


def test_python_floor_is_the_one_of_the_scripts(project: dict[str, Any]) -> None:
    floor = project["requires-python"].removeprefix(">=")
    assert f"adaption needs {floor} or newer" in (ROOT / "scripts/lib.sh").read_text("utf-8")
    assert f"(3, {floor.removeprefix('3.')})" in (ROOT / "scripts/lib.sh").read_text("utf-8")


def test_every_requirement_is_pinned(project: dict[str, Any]) -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in pins if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line) for line in pinned), pinned
    wanted = [*project["dependencies"]]
    wanted += [r for extra in project["optional-dependencies"].values() for r in extra]
    missing = {distribution(r) for r in wanted} - {distribution(line) for line in pinned}
    missing -= {"adaption"}  # the extra `all` names the others
    assert not missing, f"constraints.txt has no pin of {sorted(missing)}"


def test_oldest_versions_are_those_that_are_allowed(project: dict[str, Any]) -> None:
    """constraints-oldest.txt pins every lower bound, as .ci/oldest installs them."""
    lines = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
    extras = project["optional-dependencies"]
    of_tests = [r for name in extras if name not in ("all", "docs") for r in extras[name]]
    wanted = [*project["dependencies"], *of_tests]
    bounds = dict(re.split(">=", r.partition(";")[0].strip().lower()) for r in wanted)
    for tool in ("mypy", "ruff"):  # check the code, do not run it
        del bounds[tool]
    assert set(pinned) == set(bounds)
    for name, bound in bounds.items():
        padded = bound + ".0" * (2 - bound.count("."))
        assert pinned[name] == padded, name


def test_extra_all_holds_every_optional_package(project: dict[str, Any]) -> None:
    extras = dict(project["optional-dependencies"])
    (everything,), *of_developers = (extras.pop(name) for name in ("all", "docs", "test"))
    assert everything == f"adaption[{','.join(sorted(extras))}]"
    assert all(of_developers)


def missing_extra_calls() -> list[tuple[str, ast.expr | None]]:
    """Place and `extra` argument of every MissingExtraError(...) in the package."""
    calls = []
    for path in sorted((ROOT / "adaption").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
            if (name.id if isinstance(name, ast.Name) else name) != "MissingExtraError":
                continue
            extra = next((k.value for k in node.keywords if k.arg == "extra"), None)
            if extra is None and len(node.args) > 1:
                extra = node.args[1]
            calls.append((f"{path.relative_to(ROOT).as_posix()}:{node.lineno}", extra))
    return calls


def test_extras_named_in_messages_exist(project: dict[str, Any]) -> None:
    calls = missing_extra_calls()
    assert calls
    for where, extra in calls:
        assert isinstance(extra, ast.Constant), f"{where}: write the extra's name as a literal"
        assert extra.value in project["optional-dependencies"], (
            f"{where}: pyproject.toml has no such extra"
        )


def test_unknown_public_name_is_answered_with_the_nearest() -> None:
    want = r"^module 'adaption' has no attribute 'FixdPoint', did you mean 'FixedPoint'\?$"
    with pytest.raises(AttributeError, match=want):
        adaption.FixdPoint  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"^module 'adaption' has no attribute 'zzz'$"):
        adaption.zzz  # type: ignore[attr-defined]  # noqa: B018


def test_public_names_are_listed() -> None:
    assert set(adaption.__all__) <= set(dir(adaption))
    assert len(adaption.__all__) == len(set(adaption.__all__))


def test_public_name_is_the_object_of_its_module() -> None:
    from adaption.errors import AdaptionError

    assert adaption.AdaptionError is AdaptionError


def test_examples_in_contributing_are_the_real_files() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for name in ("relu", "swish"):
        assert (ROOT / f"adaption/layers/{name}.py").read_text(encoding="utf-8") in shown


def test_what_a_neuron_takes_is_counted_right() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    swish = (ROOT / "adaption/layers/swish.py").read_text(encoding="utf-8")
    assert f"Swish is one file of {len(swish.splitlines())} lines" in text
    rows = (ROOT / "tests/layers/rows.py").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in rows if "Swish" in line]
    assert f"```\n{row}\n```" in text
    proto = (ROOT / "protos/caffe.proto").read_text(encoding="utf-8")
    message = re.search(r"^message SwishParameter \{.*?^\}", proto, re.MULTILINE | re.DOTALL)
    fields = [line for line in proto.splitlines() if "SwishParameter swish_param" in line]
    assert message is not None
    count = len(message[0].splitlines()) + len(fields)
    assert f"`protos/caffe.proto` has {count} lines more" in text
    knowing = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "adaption").rglob("*.py")
        if "Swish" in path.read_text(encoding="utf-8") and path.parent.name != "proto"
    }
    assert knowing == {"adaption/layers/swish.py"}, "`No other file knows of Swish`"
