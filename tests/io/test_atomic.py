"""atomic_write: whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adaption.errors import UsageError
from adaption.io.atomic import atomic_write


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
