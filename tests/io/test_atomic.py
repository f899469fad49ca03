"""atomic_write: whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adaption.errors import AdaptionError, FileFormatError, ResourceError, UsageError
from adaption.io import atomic
from adaption.io.atomic import atomic_write, together


def test_new_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    with atomic_write(path) as out:
        out.write(b"abc")
        assert not path.exists()
    assert path.read_bytes() == b"abc"
    assert list(tmp_path.iterdir()) == [path]


def test_text_mode_keeps_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    with atomic_write(path, "w") as out:
        out.write("name: 'ü'\r\n")
    assert path.read_bytes() == "name: 'ü'\r\n".encode()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_error_leaves_the_old_file_and_nothing_else(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as out:
        out.write(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_rights_of_the_target_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with atomic_write(path) as out:
        out.write(b"new")
    assert path.stat().st_mode & 0o777 == 0o640
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    plain.touch()
    with atomic_write(ours) as out:
        out.write(b"new")
    assert ours.stat().st_mode == plain.stat().st_mode


def test_symbolic_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with atomic_write(link) as out:
        out.write(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


@pytest.mark.skipif(os.name == "nt", reason="no /dev/null")
def test_device_is_written_in_place() -> None:
    with atomic_write("/dev/null") as out:
        out.write(b"new")
    assert not Path("/dev/null").is_file()


def test_missing_folder_and_folder_as_target(tmp_path: Path) -> None:
    path = tmp_path / "no" / "net.caffemodel"
    with pytest.raises(UsageError) as caught, atomic_write(path):
        pass
    assert str(caught.value) == (
        f"{path}: the folder {str(path.parent)!r} does not exist\n  fix: mkdir -p {path.parent}"
    )
    with pytest.raises(UsageError) as caught, atomic_write(tmp_path):
        pass
    assert str(caught.value) == (
        f"{tmp_path}: is a folder, a file is to be written\n  fix: add a file name"
    )


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_killed_writer_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"old" * 1000)
    child = (
        "import sys\n"
        "from adaption.io.atomic import atomic_write\n"
        "with atomic_write(sys.argv[1]) as out:\n"
        "    out.write(b'new' * 100_000)\n"
        "    out.flush()\n"
        "    print('half', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", child, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert path.read_bytes() == b"old" * 1000
    with atomic_write(path) as out:  # what the killed one left is in nobody's way
        out.write(b"new")
    assert path.read_bytes() == b"new"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


CHILD = (
    "import sys\n"
    "from adaption.io.atomic import atomic_write\n"
    "with atomic_write(sys.argv[1]) as out:\n"
    "    out.write(b'new' * 100_000)\n"
    "    out.flush()\n"
    "    print('half', flush=True)\n"
    "    sys.stdin.read()\n"
)


def writer(path: Path) -> subprocess.Popen[bytes]:
    """A process that has written half of a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"half\n"
    return process


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_what_a_killed_writer_left_is_removed_and_a_living_one_keeps_its_file(
    tmp_path: Path,
) -> None:
    path, other = tmp_path / "net.caffemodel", tmp_path / "other"
    with writer(path) as killed, writer(path) as living:
        killed.kill()
        killed.wait()
        assert len(names(tmp_path)) == 2
        with atomic_write(other) as out:
            out.write(b"x")
        assert len(names(tmp_path)) == 2 and "other" in names(tmp_path)
        assert living.stdin is not None
        living.stdin.close()
        assert living.wait() == 0
    assert names(tmp_path) == ["net.caffemodel", "other"]


def test_files_of_users_are_not_swept(tmp_path: Path) -> None:
    kept = [".hidden", "a.tmp", ".net.123.tmp", ".net.0123456789ab", "net.0123456789ab.tmp"]
    for name in kept:
        (tmp_path / name).touch()
    with atomic_write(tmp_path / "f"):
        pass
    assert names(tmp_path) == sorted([*kept, "f"])


def test_together_all_appear_at_the_end_or_none(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"old")
    with together():
        with atomic_write(first) as out:
            out.write(b"new")
        with together(), atomic_write(second) as out:  # within another, the outer one counts
            out.write(b"new")
        assert first.read_bytes() == b"old" and not second.exists()
    assert first.read_bytes() == second.read_bytes() == b"new"
    with pytest.raises(ValueError), together():
        for path in (first, second):
            with atomic_write(path) as out:
                out.write(b"newer")
        raise ValueError
    assert first.read_bytes() == second.read_bytes() == b"new"
    assert names(tmp_path) == ["first", "second"]


def test_names_of_255_bytes_are_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "\u5377" * 85):  # the second: three bytes a letter
        with atomic_write(tmp_path / name, "w") as out:
            out.write("whole")
        assert (tmp_path / name).read_text() == "whole"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 256, "cannot be written: file name too long\n  fix: choose a shorter name"),
        ("a\0b", "is no name of a file\n  fix: leave out the NUL"),
    ],
)
def test_names_that_cannot_be(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(AdaptionError) as caught, atomic_write(tmp_path / name):
        pass
    assert str(caught.value).endswith(message)
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_error() -> None:
    with pytest.raises(ResourceError) as caught, atomic_write("/dev/full") as out:
        out.write(bytes(1 << 20))
    assert str(caught.value) == (
        "/dev/full: cannot be written: no space left on device\n"
        "  fix: free some space, or choose another folder"
    )


def test_errors_of_files_that_are_read_meanwhile_name_those(tmp_path: Path) -> None:
    with pytest.raises(ResourceError) as caught, atomic_write(tmp_path / "out"):
        (tmp_path / "missing").read_bytes()
    assert str(caught.value).startswith(f"{tmp_path / 'missing'}: no such file")
    with pytest.raises(FileFormatError), atomic_write(tmp_path / "out"):
        raise FileFormatError("bad")
    assert names(tmp_path) == []


def test_without_locks_nothing_of_others_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "fcntl", None)
    left = tmp_path / ".net.0123456789ab.tmp"
    left.touch()
    with atomic_write(tmp_path / "f"):
        pass
    assert left.exists()
