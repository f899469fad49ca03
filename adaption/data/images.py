"""Image files as a source: a list of files, a folder, a folder of class folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

from adaption.data.base import Job, Sample, Source, index_in
from adaption.data.decode import decode_image
from adaption.data.resize import resize
from adaption.errors import AdaptionError, DataError, FileFormatError
from adaption.io.files import read_bytes, read_text
from adaption.io.kinds import is_plain_file, is_there

__all__ = ["Entry", "ImageSource", "open_folder", "open_list", "read_list"]

_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .png .bmp .dib .ppm .pgm .pbm .pnm .tif .tiff .webp .jp2 .gif".split()
)
_LONGEST_LABEL = 18  # digits; labels are 64 bit integers
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


class Entry(NamedTuple):
    """One line of an image list."""

    file: str
    label: int | None


class ImageSource(Source):
    """Image files in a fixed order.

    Args:
        root: folder that relative paths start from.
        is_color: as `decode_image`; None means colour until `as_color` says otherwise.
        size: (height, width) that every image is resized to while it is read, as Caffe's
            new_height and new_width.
    """

    is_decoded = True

    def __init__(
        self,
        path: Path,
        kind: str,
        entries: Sequence[Entry],
        root: Path = Path(),
        *,
        is_color: bool | None = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(path)
        self.kind = kind
        self.entries = entries
        self.root = root
        self.is_color = is_color
        self.size = size
        self.has_labels = bool(entries) and entries[0].label is not None

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        return self.load(index_in(index, len(self)))

    def jobs(self, skip: int = 0) -> Iterator[Job]:
        return map(self.job, range(skip, len(self)))

    def job(self, index: int) -> Job:
        return Job(self.entries[index].file, partial(self.load, index))

    def load(self, index: int) -> Sample:
        """Read one image. Raises: DataError naming the file."""
        file, label = self.entries[index]
        path = self.root / file
        try:
            image = decode_image(path, True if self.is_color is None else self.is_color)
        except DataError as error:
            raise error.at(file=path) from None
        if self.size is not None:
            image = resize(image, *self.size)
        return Sample(image, label, file)

    def encoded(self, index: int) -> bytes:
        """The bytes of an image file. Raises: DataError."""
        path = self.root / self.entries[index].file
        try:
            return read_bytes(path, "an image")
        except FileFormatError as error:
            raise DataError(error.fact, error.fix, file=path) from None

    def as_color(self, is_color: bool) -> Self:
        return self if self.is_color is not None else self._with_color(is_color)


def read_list(path: str | os.PathLike[str]) -> list[Entry]:
    """The lines of an image list, `file label`: the label is what follows the last blank.

    A list without any labels gives None for all of them.
    Raises: DataError naming the line when only some lines have a label; FileFormatError when the
        file cannot be read as text.
    """
    fix = "give a text file of `file label` lines"
    text = read_text(path, "an image list", errors="surrogateescape", fix=fix)
    entries: list[Entry] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        entry = _entry(line.strip())
        if entries and (entry.label is None) != (entries[0].label is None):
            has, had = ("no", "one") if entry.label is None else ("a", "none")
            raise DataError(
                f"{line.strip()!r} has {has} label, the lines before have {had}",
                "write `file label` on every line, the label a whole number, or no label at all",
                file=path,
                line=number,
            )
        entries.append(entry)
    return entries


def _entry(line: str) -> Entry:
    file, _, last = line.replace("\t", " ").rpartition(" ")
    if file and last.removeprefix("-").isdecimal() and len(last) < _LONGEST_LABEL:
        return Entry(line[: len(file)].rstrip(), int(last))
    return Entry(line, None)


def open_list(
    path: Path, *, root: str | os.PathLike[str] | None, is_color: bool | None
) -> ImageSource:
    """The source of an image list.

    Args:
        root: folder that the files are relative to; by default the list's own folder if the
            first files exist there, else the working directory.
    Raises: DataError when the list is empty or no file in it exists.
    """
    entries = read_list(path)
    if not entries:
        raise DataError("lists no files", "write one `file label` per line", file=path)
    roots = [path.parent, Path()]
    if root is not None:
        entries = [Entry(_below_root(e.file), e.label) for e in entries]
        roots = [Path(root)]
    first = entries[:20]
    for candidate in roots:
        if any(is_plain_file(candidate / e.file) for e in first):
            return ImageSource(path, "list", entries, candidate, is_color=is_color)
    tried = " or ".join(dict.fromkeys(repr(str(r)) for r in roots))
    raise DataError(
        f"none of the first {len(first)} files it lists exists in {tried}; the first is"
        f" {first[0].file!r}",
        "name the folder of the images with --root, or give a list of `file label` lines",
        file=path,
    )


def _below_root(file: str) -> str:
    """Lists made for Caffe's root_folder, which is put in front, may start with a slash."""
    if file.startswith("/") and not is_there(file):
        return file.lstrip("/")
    return file


def open_folder(path: Path, *, is_color: bool | None) -> ImageSource:
    """The source of a folder of images, or of a folder with one folder of images per class.

    Classes are numbered in the order of their sorted names.
    Raises: DataError when there are no images, or images and class folders side by side.
    """
    files, folders = _contents(path)
    flat = _images(files)
    classes = {d.name: _images(_walk(d)) for d in folders}
    classes = {name: found for name, found in classes.items() if found}
    if flat and classes:
        raise DataError(
            f"holds images ({flat[0].name}) and folders of images ({next(iter(classes))})",
            "keep one of the two, or give a list of `file label` lines",
            file=path,
        )
    lists = [f.name for f in files if _is_list(f)]
    if not flat and not classes:
        raise _no_images(path, files, lists)
    if classes:
        return _class_folders(path, classes, is_color)
    entries = [Entry(f.name, None) for f in flat]
    source = ImageSource(path, "folder", entries, path, is_color=is_color)
    if lists:
        source.notes.append(
            f"{path} also holds {lists[0]}, which lists files with labels; to use the labels give"
            f" {path / lists[0]} as data"
        )
    return source


def _class_folders(
    path: Path, classes: dict[str, list[Path]], is_color: bool | None
) -> ImageSource:
    names = list(classes)
    deep = [name for name in names if all(f.parent != path / name for f in classes[name])]
    if deep and len(names) == 1:
        raise DataError(
            f"holds one folder, {deep[0]!r}, whose images lie in folders of its own",
            f"give {path / deep[0]} as data",
            file=path,
        )
    if _SPLITS.issuperset(name.lower() for name in names):
        raise DataError(
            f"holds the folders {', '.join(names)}, which look like parts of a data set, not"
            " like classes",
            f"give one of them, as in {path / names[-1]}",
            file=path,
        )
    entries = [
        Entry(os.fspath(f.relative_to(path)), label)
        for label, name in enumerate(names)
        for f in classes[name]
    ]
    source = ImageSource(path, "folder", entries, path, is_color=is_color)
    source.class_names = tuple(names)
    return source


def _no_images(path: Path, files: list[Path], lists: list[str]) -> AdaptionError:
    if lists:
        return DataError(
            f"holds no images, but {lists[0]}, a list of files",
            f"give {path / lists[0]} as data, with --root where its paths need a folder",
            file=path,
        )
    what = f"{len(files)} other files" if files else "no files"
    return DataError(
        f"holds no images ({what})",
        "give a folder of images, a folder with one folder per class, a list of `file label`"
        " lines, an LMDB, a LevelDB, an HDF5 file or an .npz file",
        file=path,
    )


def _contents(path: Path) -> tuple[list[Path], list[Path]]:
    """Files and folders of a folder by name, hidden ones and archive leftovers apart."""
    try:
        found = sorted(path.iterdir())
    except OSError as error:
        raise DataError(f"cannot be listed: {error.strerror}", file=path) from None
    found = [p for p in found if not p.name.startswith(".") and p.name != "__MACOSX"]
    return [p for p in found if p.is_file()], [p for p in found if p.is_dir()]


def _walk(folder: Path) -> Iterator[Path]:
    files, folders = _contents(folder)
    yield from files
    for inner in folders:
        yield from _walk(inner)


def _images(files: Sequence[Path] | Iterator[Path]) -> list[Path]:
    return [f for f in files if f.suffix.lower() in _SUFFIXES]


def _is_list(file: Path) -> bool:
    """Whether a text file starts like a Caffe image list."""
    if file.suffix.lower() not in (".txt", ".lst", ".list"):
        return False
    try:
        with file.open("rb") as stream:
            head = stream.readline(4096).decode("utf-8", "replace").strip()
    except OSError:  # what cannot be read is not proposed either
        return False
    entry = _entry(head)
    return entry.label is not None and Path(entry.file).suffix.lower() in _SUFFIXES
