"""open_source: any kind of data by its path."""

from __future__ import annotations

import os
from pathlib import Path

from adaption.data.arrays import open_hdf5_data, open_npz, read_hdf5_list
from adaption.data.base import Source
from adaption.data.idx import is_idx, open_idx
from adaption.data.images import open_folder, open_list
from adaption.data.leveldb_source import LevelDbSource, is_leveldb
from adaption.data.lmdb_source import LmdbSource, is_lmdb
from adaption.errors import DataError
from adaption.io.kinds import KINDS, is_plain_file, kind_of, near_file
from adaption.io.npy import is_npz

__all__ = ["open_source"]


def open_source(
    path: str | os.PathLike[str],
    *,
    is_color: bool | None = None,
    root: str | os.PathLike[str] | None = None,
) -> Source:
    """Open data of any kind, told by its content.

    Kinds: "folder" (images, or one folder of images per class), "list" (lines `file label`),
    "lmdb" and "leveldb" (of Datum), "hdf5" (a file, or a list of files), "npz" (arrays, or
    compressed images), "idx" (as MNIST comes; the labels beside the images are found by name).

    Args:
        is_color: decode images to 3 channels (True) or 1 (False); None lets `Batches` take what
            the net asks for, and means colour for image files and as stored for Datum otherwise.
        root: folder that the files of a list are relative to; by default the list's own folder
            if its files exist there, else the working directory.
    Raises: DataError or FileFormatError saying what was found and what to give instead;
        MissingExtraError when a kind needs a package that is not installed.
    """
    path = Path(path)
    if is_lmdb(path):
        return LmdbSource(path, is_color)
    kind = kind_of(path)
    if kind == "directory":
        if is_leveldb(path):
            return LevelDbSource(path, is_color)
        return open_folder(path, is_color=is_color)
    if kind == "hdf5":
        return open_hdf5_data(path, [path])
    if kind == "zip" and is_npz(path):
        source = open_npz(path)
        return source if is_color is None else source.as_color(is_color)
    if kind in ("gzip", "binary") and is_idx(path):
        return open_idx(path)
    if kind == "text":
        files = _listed_hdf5(path, root)
        if files:
            return open_hdf5_data(path, files)
        return open_list(path, root=root, is_color=is_color)
    raise _no_data(path, kind)


def _listed_hdf5(path: Path, root: str | os.PathLike[str] | None) -> list[Path]:
    """The HDF5 files that a text file lists; empty when it lists something else."""
    with path.open("rb") as stream:
        first = stream.readline(4096).split()
    if not first or not first[0].lower().endswith((b".h5", b".hdf5")):
        return []
    names = read_hdf5_list(path)
    roots = [path.parent, Path()] if root is None else [Path(root)]
    folder = next((r for r in roots if is_plain_file(r / names[0])), roots[0])
    return [folder / name for name in names]


def _no_data(path: Path, kind: str) -> DataError:
    what, own_fix = KINDS[kind]
    if kind == "image":
        return DataError("is one image, data is many", "give the folder that holds it", file=path)
    if kind == "missing":
        fix = near_file(path) or "check the path"
        return DataError("no such file or folder", fix, file=path)
    if kind == "npy":
        own_fix = "write it with numpy.savez, one array per input blob and optionally label"
    return DataError(
        f"this is {what}, not data",
        own_fix
        or "give a folder of images, a list of `file label` lines, an LMDB, a LevelDB, an HDF5 file"
        " or an .npz file",
        file=path,
    )
