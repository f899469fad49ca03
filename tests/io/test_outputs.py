"""Outputs: never over an input, and folders of one run only, whenever it is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adaption.errors import FieldError, ResourceError, UsageError
from adaption.io import outputs
from adaption.io.atomic import atomic_write
from adaption.io.outputs import keep_inputs, staged_folder

OWN = ("a", "b", "sub", "whole")


def fill(folder: Path, text: str, only: tuple[str, ...] = OWN) -> None:
    """Let a run write its results."""
    with staged_folder(folder, OWN, marker="whole") as stage:
        for name in only:
            path = stage / name
            if name == "sub":
                path.mkdir()
                path /= "inner"
            with atomic_write(path, "w") as out:
                out.write(text)


def held(folder: Path) -> dict[str, str]:
    return {
        os.fspath(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def results(text: str, only: tuple[str, ...] = ("a", "b", "sub/inner", "whole")) -> dict[str, str]:
    return dict.fromkeys(only, text)


@pytest.fixture(params=["exchanged", "without renameat2", "working directory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output folder, by each way in which it can be replaced."""
    made = tmp_path / "out"
    if request.param == "without renameat2":
        monkeypatch.setattr(outputs, "_renamed_in_one_step", lambda *names: False)
    elif request.param == "working directory":
        made.mkdir()
        monkeypatch.chdir(made)
    return made


def test_results_of_one_run_only_and_files_of_others_stay(folder: Path, tmp_path: Path) -> None:
    fill(folder, "first")
    (folder / "notes").write_text("mine")
    (folder / "deep").mkdir()
    (folder / "deep" / "link").symlink_to("../notes")
    (folder / "deep" / "more").write_text("mine")
    fill(folder, "second", ("a", "whole"))
    assert held(folder) == {
        **results("second", ("a", "whole")),
        "notes": "mine",
        "deep/more": "mine",
        "deep/link": "mine",
    }
    assert (folder / "deep" / "link").is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, FieldError("x", 1, "2")])
def test_after_an_error_all_is_as_it_was(
    error: BaseException | type[BaseException], folder: Path, tmp_path: Path
) -> None:
    fill(folder, "first")
    with (
        pytest.raises((KeyboardInterrupt, FieldError)),
        staged_folder(folder, OWN, marker="whole") as stage,
    ):
        (stage / "a").write_text("second")
        raise error
    assert held(folder) == results("first")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError) as caught, staged_folder(tmp_path / "out", OWN, marker="whole"):
        pass
    assert str(caught.value) == (
        f"{tmp_path / 'out'}: is a file, a folder is to be written\n  fix: name another folder"
    )


def test_a_refusal_names_the_file_where_it_would_lie(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        with staged_folder(tmp_path / "out", OWN, marker="whole") as stage:
            (stage / "sub").mkdir()
            with atomic_write(stage / "sub"):
                pass
    assert str(caught.value).startswith(f"{tmp_path / 'out' / 'sub'}: is a folder")
    with pytest.raises(ResourceError, match="file name too long"):
        with staged_folder(tmp_path / ("x" * 300), OWN, marker="whole"):
            pass


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = [{here!r}]
from test_outputs import fill
print("ready", flush=True)
for i in range(10**6):
    fill(Path("out"), "one" if i % 2 else "two")
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
@pytest.mark.parametrize("kill", ["SIGKILL", "SIGTERM"])
def test_killed_at_any_moment_the_results_are_of_one_run(kill: str, tmp_path: Path) -> None:
    """Twelve runs that write all the time, each killed somewhere."""
    code = CHILD.format(here=str(Path(__file__).parent))
    draw = random.Random(0)
    for _ in range(12 if kill == "SIGKILL" else 3):
        with subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(draw.uniform(0.05, 0.3))
            process.send_signal(getattr(signal, kill))
            process.wait()
        if (tmp_path / "out").exists():
            found = held(tmp_path / "out")
            assert found in (results("one"), results("two"))
    fill(tmp_path / "out", "three")  # sweeps what was left
    assert held(tmp_path / "out") == results("three")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_change_of_names_that_was_killed_half_done_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a system cannot exchange folders there is a moment without one."""
    folder = tmp_path / "out"
    fill(folder, "first")
    folder.rename(tmp_path / ".out-0123456789ab.old")
    fill(folder, "second")
    assert held(folder) == results("second")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_output_that_is_an_input_is_refused(tmp_path: Path) -> None:
    net, other = tmp_path / "net", tmp_path / "other"
    net.touch()
    other.symlink_to(net)
    os.link(net, tmp_path / "hard")
    for name in ("net", "other", "hard"):
        with pytest.raises(UsageError) as caught:
            keep_inputs([None, tmp_path / name], [None, tmp_path / "missing", net])
        assert str(caught.value) == (
            f"output {str(tmp_path / name)!r} is an input\n  fix: name another file"
        )
    keep_inputs([tmp_path / "new", None], [net, "\0", "x" * 300])
