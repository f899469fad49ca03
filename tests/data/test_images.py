"""images.py: folders and lists of image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adaption.data import open_source
from adaption.data.images import Entry, read_list
from adaption.errors import AdaptionError, DataError


def put(path: Path, value: int = 0, size: tuple[int, int] = (3, 2)) -> Path:
    """A PNG of one colour, (red, green, blue) = (value, value + 1, value + 2)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value + 1, value + 2)).save(path)
    return path


def test_flat_folder(tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", ".hidden.png"):
        put(tmp_path / name, ord(name[0]))
    (tmp_path / "notes.md").write_text("x")
    source = open_source(tmp_path)
    assert (source.kind, len(source), source.has_labels) == ("folder", 2, False)
    assert [s.name for s in source] == ["a.PNG", "b.png"]
    assert source[0].label is None
    assert source[0].image.tolist() == [[[99] * 3] * 2, [[98] * 3] * 2, [[97] * 3] * 2]
    assert [s.name for s in source] == ["a.PNG", "b.png"]  # again


def test_class_folders(tmp_path: Path) -> None:
    for name in ("dog/1.png", "cat/2.png", "cat/more/3.png"):
        put(tmp_path / name)
    (tmp_path / "empty").mkdir()
    source = open_source(tmp_path)
    assert source.class_names == ("cat", "dog")
    assert [(s.name, s.label) for s in source] == [
        ("cat/2.png", 0),
        ("cat/more/3.png", 0),
        ("dog/1.png", 1),
    ]


def test_list_with_labels_and_blanks_in_names(tmp_path: Path) -> None:
    put(tmp_path / "one file.png", 5)
    put(tmp_path / "two.png")
    (tmp_path / "val.txt").write_text("one file.png 7\r\n\n two.png\t12\n")
    source = open_source(tmp_path / "val.txt")
    assert source.kind == "list"
    assert [(s.name, s.label) for s in source] == [("one file.png", 7), ("two.png", 12)]


def test_list_without_labels(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "l.txt").write_text("a.png\n")
    assert [s.label for s in open_source(tmp_path / "l.txt")] == [None]


def test_list_paths_start_at_its_folder_the_working_folder_or_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "images" / "a.png", 1)
    listed = tmp_path / "lists" / "val.txt"
    listed.parent.mkdir()
    listed.write_text("/a.png 0\n")
    assert len(list(open_source(listed, root=tmp_path / "images"))) == 1
    listed.write_text("images/a.png 0\n")
    monkeypatch.chdir(tmp_path)
    assert len(list(open_source(listed))) == 1
    listed.write_text(f"{tmp_path}/images/a.png 0\n")
    monkeypatch.chdir(tmp_path / "images")
    assert len(list(open_source(listed))) == 1


def test_a_list_beside_flat_images_is_named_not_guessed(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "val.txt").write_text("a.png 3\n")
    source = open_source(tmp_path)
    assert not source.has_labels
    assert source.notes == [
        f"{tmp_path} also holds val.txt, which lists files with labels; to use the labels give"
        f" {tmp_path}/val.txt as data"
    ]


def test_unreadable_images_are_skipped_and_counted_once(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    (tmp_path / "val.txt").write_text("a.png 0\nb.png 1\ngone.png 2\n")
    source = open_source(tmp_path / "val.txt")
    for _ in range(2):
        assert [s.name for s in source] == ["a.png"]
    assert source.skipped == [
        ("b.png", "is no image that Pillow knows"),
        ("gone.png", "no such file"),
    ]
    with pytest.raises(DataError) as caught:
        source[1]
    assert str(caught.value) == f"{tmp_path}/b.png: is no image that Pillow knows"


def test_colour_is_asked_for_once(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    source = open_source(tmp_path)
    assert source.as_color(False)[0].image.shape == (1, 2, 3)
    assert source[0].image.shape == (3, 2, 3)
    assert open_source(tmp_path, is_color=True).as_color(False)[0].image.shape == (3, 2, 3)


def test_sample_images_of_a_published_set(shared: Path) -> None:
    source = open_source(shared / "data" / "imagenet_sample" / "val.txt")
    assert len(source) == 500
    first = source[0]
    assert (first.image.shape, first.label) == ((3, 256, 256), 1)


def two_kinds(path: Path) -> None:
    put(path / "a.png")
    put(path / "cat" / "b.png")


def only_a_list(path: Path) -> None:
    (path / "train.txt").write_text("n01/a.jpg 0\n")


def no_image(path: Path) -> None:
    (path / "a.doc").write_text("x")


def deep(path: Path) -> None:
    put(path / "val" / "cat" / "a.png")
    put(path / "val" / "dog" / "a.png")


def splits(path: Path) -> None:
    put(path / "train" / "a.png")
    put(path / "test" / "a.png")


KINDS_FIX = (
    "give a folder of images, a folder with one folder per class, a list of `file label` lines, an"
    " LMDB, a LevelDB, an HDF5 file or an .npz file"
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda path: None,
            f"{{p}}: holds no images (no files)\n  fix: {KINDS_FIX}",
            id="empty folder",
        ),
        pytest.param(
            no_image, f"{{p}}: holds no images (1 other files)\n  fix: {KINDS_FIX}", id="no image"
        ),
        pytest.param(
            only_a_list,
            "{p}: holds no images, but train.txt, a list of files\n"
            "  fix: give {p}/train.txt as data, with --root where its paths need a folder",
            id="only a list",
        ),
        pytest.param(
            two_kinds,
            "{p}: holds images (a.png) and folders of images (cat)\n"
            "  fix: keep one of the two, or give a list of `file label` lines",
            id="images and class folders",
        ),
        pytest.param(
            deep,
            "{p}: holds one folder, 'val', whose images lie in folders of its own\n"
            "  fix: give {p}/val as data",
            id="one folder too high",
        ),
        pytest.param(
            splits,
            "{p}: holds the folders test, train, which look like parts of a data set, not like"
            " classes\n  fix: give one of them, as in {p}/train",
            id="train and test",
        ),
    ],
)
def test_bad_folder(make: object, message: str, tmp_path: Path) -> None:
    make(tmp_path)  # type: ignore[operator]
    with pytest.raises(DataError) as caught:
        open_source(tmp_path)
    assert str(caught.value) == message.replace("{p}", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "a.png 1\nb.png\n",
            "{f}:2: 'b.png' has no label, the lines before have one\n  fix: write `file label` on"
            " every line, the label a whole number, or no label at all",
            id="a label is missing",
        ),
        pytest.param(
            "\n", "{f}: lists no files\n  fix: write one `file label` per line", id="blank"
        ),
        pytest.param(
            "a.png 1\nb.png 2\n",
            "{f}: none of the first 2 files it lists exists in '{p}' or '.'; the first is 'a.png'\n"
            "  fix: name the folder of the images with --root, or give a list of `file label`"
            " lines",
            id="files are not there",
        ),
    ],
)
def test_bad_list(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "l.txt"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        open_source(file)
    assert str(caught.value) == message.format(f=file, p=tmp_path)


def test_every_image_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("x")
    (tmp_path / "b.png").write_text("y")
    with pytest.raises(DataError) as caught:
        list(open_source(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: none of 2 samples could be read; the first, 'a.png': is no image that Pillow"
        " knows\n  fix: check that these are whole image files of a kind Pillow knows"
    )


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        pytest.param("none", None, "no such file or folder\n  fix: check the path", id="missing"),
        pytest.param(
            "a.png",
            b"\x89PNG\r\n\x1a\n",
            "is one image, data is many\n  fix: give the folder that holds it",
            id="one image",
        ),
        pytest.param(
            "a.npy",
            b"\x93NUMPY",
            "this is a numpy array, not data\n  fix: write it with numpy.savez, one array per input"
            " blob and optionally label",
            id="npy",
        ),
        pytest.param(
            "page",
            b"<!DOCTYPE html>",
            "this is an HTML page, not data\n  fix: the browser or script saved a web page in its"
            " place, download the raw file",
            id="html",
        ),
    ],
)
def test_no_data(name: str, data: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(AdaptionError) as caught:
        open_source(path)
    assert str(caught.value) == f"{path}: {message}"


def test_read_list_takes_negative_labels_and_keeps_order(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("b -1\na 0\n")
    assert read_list(tmp_path / "l") == [Entry("b", -1), Entry("a", 0)]


def test_reading_resizes_where_asked(tmp_path: Path) -> None:
    from adaption.data.images import ImageSource

    put(tmp_path / "a.png", 9, (8, 4))
    source = ImageSource(tmp_path, "list", [Entry("a.png", 0)], tmp_path, size=(5, 3))
    assert source[0].image.shape == (3, 5, 3)
    assert np.unique(source[0].image[2]).tolist() == [9]
