"""LMDBs of Datum written and read back, and the script that does it."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adaption.data import lmdb_writer, open_source
from adaption.data.lmdb_source import LmdbSource
from adaption.data.lmdb_writer import DatumForm, datum_records, mean_image, write_lmdb
from adaption.data.resize import resize
from adaption.errors import AdaptionError
from adaption.io.blobproto import read_mean
from adaption.proto import caffe_pb2

COUNT = 5


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Five images and their list; the fourth is damaged."""
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 6, 8, 3), np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes(b"no image")
    (tmp_path / "list.txt").write_text("".join(f"{i}.png {10 + i}\n" for i in range(COUNT)))
    return tmp_path


def datums(path: Path) -> dict[str, caffe_pb2.Datum]:
    found = {}
    for key, value in LmdbSource(path).records():
        found[key.decode()] = caffe_pb2.Datum.FromString(value)
    return found


def test_keys_and_values_are_those_of_convert_imageset(images: Path) -> None:
    source = open_source(images / "list.txt")
    assert write_lmdb(images / "db", datum_records(source)) == 4
    found = datums(images / "db")
    assert list(found) == [f"0000000{i}_{i}.png" for i in (0, 1, 2, 4)]
    first = found["00000000_0.png"]
    bgr = np.asarray(Image.open(images / "0.png"))[..., ::-1].transpose(2, 0, 1)
    assert (first.channels, first.height, first.width, first.label) == (3, 6, 8, 10)
    assert first.data == bgr.tobytes() and not first.encoded
    assert source.skipped == [("3.png", "is no image that Pillow knows")]


@pytest.mark.parametrize("path", ["list.txt", "db"], ids=["from a list", "from another LMDB"])
def test_what_is_written_is_read(path: str, images: Path) -> None:
    write_lmdb(images / "db", datum_records(open_source(images / "list.txt")))
    source = open_source(images / path)
    write_lmdb(images / "again", datum_records(source))
    want = [(s.label, s.image.tobytes()) for s in source]
    assert [(s.label, s.image.tobytes()) for s in open_source(images / "again")] == want


def test_floats_stay_floats(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 2, 4, 5)).astype(np.float32)
    np.savez(tmp_path / "a.npz", data=values, label=[1, 2, 3])
    write_lmdb(tmp_path / "db", datum_records(open_source(tmp_path / "a.npz")))
    found = open_source(tmp_path / "db")
    assert np.array_equal(np.stack([s.image for s in found]), values)
    assert list(datums(tmp_path / "db")) == ["00000000", "00000001", "00000002"]


def test_shuffled_by_a_seed(images: Path) -> None:
    def labels(seed: int) -> list[int | None]:
        path = images / f"db{seed}{len(list(images.iterdir()))}"
        write_lmdb(path, datum_records(open_source(images / "list.txt"), shuffle_seed=seed))
        return [s.label for s in open_source(path)]

    assert sorted(labels(1), key=str) == [10, 11, 12, 14]
    assert labels(1) == labels(1)
    assert len({tuple(labels(seed)) for seed in range(5)}) > 1


def test_gray_resized_and_rgb(images: Path) -> None:
    gray = open_source(images / "list.txt", is_color=False)
    write_lmdb(images / "gray", datum_records(gray, DatumForm(size=(4, 5))))
    first = open_source(images / "gray")[0].image
    assert np.array_equal(first, resize(gray[0].image, 4, 5)) and first.shape == (1, 4, 5)
    color = open_source(images / "list.txt")
    write_lmdb(images / "rgb", datum_records(color, DatumForm(channel_order="RGB")))
    assert np.array_equal(open_source(images / "rgb")[0].image, color[0].image[::-1])


def test_encoded_images_are_the_bytes_of_their_files(images: Path) -> None:
    records = datum_records(open_source(images / "list.txt"), DatumForm(encoding="same"))
    write_lmdb(images / "db", records)
    found = datums(images / "db")["00000001_1.png"]
    assert found.encoded and found.label == 11
    assert found.data == (images / "1.png").read_bytes()


@pytest.mark.parametrize(
    ("form", "is_color", "kind", "mode", "size"),
    [
        pytest.param(DatumForm((3, 4), "same"), None, "PNG", "RGB", (4, 3), id="resized"),
        pytest.param(DatumForm(None, "same"), False, "PNG", "L", (8, 6), id="gray"),
        pytest.param(DatumForm(None, "jpg"), None, "JPEG", "RGB", (8, 6), id="another form"),
    ],
)
def test_encoded_anew(
    form: DatumForm, is_color: bool | None, kind: str, mode: str, size: Any, images: Path
) -> None:
    source = open_source(images / "list.txt", is_color=is_color)
    write_lmdb(images / "db", datum_records(source, form))
    image = Image.open(io.BytesIO(datums(images / "db")["00000000_0.png"].data))
    assert (image.format, image.mode, image.size) == (kind, mode, size)
    if kind == "PNG":
        want = source[0].image if form.size is None else resize(source[0].image, *form.size)
        assert np.array_equal(open_source(images / "db")[0].image, want)


def test_the_map_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_writer, "_MAP_BYTES", 1 << 16)
    records = [(b"%08d" % i, bytes([i % 256]) * 3000) for i in range(1500)]
    assert write_lmdb(tmp_path / "db", iter(records)) == 1500
    assert list(LmdbSource(tmp_path / "db").records()) == records


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    def records() -> Iterator[tuple[bytes, bytes]]:
        yield b"1", b"x"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_lmdb(tmp_path / "db", records())
    with pytest.raises(AdaptionError, match=r"key b'1' comes twice"):
        write_lmdb(tmp_path / "db", [(b"1", b"x"), (b"1", b"y")])
    assert list(tmp_path.iterdir()) == []


def test_refusals(images: Path) -> None:
    (images / "db").mkdir()
    cases = [
        (lambda: write_lmdb(images / "db", []), f"{images / 'db'}: exists already"),
        (lambda: write_lmdb(images / "no" / "db", []), "its folder does not exist"),
        (lambda: DatumForm(encoding="gif"), "encoding is 'gif', allowed: '', 'same', 'jpg' or"),
        (
            lambda: DatumForm(encoding="jpg", channel_order="RGB"),
            "channel_order is 'RGB', allowed: 'BGR' beside an encoding",
        ),
        (
            lambda: DatumForm(encoding="jpg", pad=4),
            "pad is 4, allowed: 0 beside an encoding",
        ),
        (lambda: DatumForm(pad=-1), "pad is -1, allowed: 0 or more"),
    ]
    for call, text in cases:
        with pytest.raises(AdaptionError) as caught:
            call()
        assert text in str(caught.value)
    np.savez(images / "a.npz", data=np.zeros((2, 3)))
    with pytest.raises(AdaptionError, match="holds no compressed images"):
        list(datum_records(open_source(images / "a.npz"), DatumForm(encoding="same")))
    with pytest.raises(AdaptionError, match=r"sample '0' has shape \(3,\), a Datum has three axes"):
        list(datum_records(open_source(images / "a.npz")))


def test_zeros_around_an_image(images: Path) -> None:
    source = open_source(images / "list.txt")
    records = datum_records(source, DatumForm(pad=2, channel_order="RGB"))
    datum = caffe_pb2.Datum.FromString(next(iter(records))[1])
    assert (datum.height, datum.width) == (10, 12)
    found = np.frombuffer(datum.data, np.uint8).reshape(3, 10, 12)
    assert np.array_equal(found[:, 2:-2, 2:-2], source[0].image[::-1])
    assert found.astype(int).sum() == source[0].image.astype(int).sum()


def test_mean_image(images: Path) -> None:
    source = open_source(images / "list.txt")
    want = np.mean([s.image for s in source], axis=0, dtype=np.float64)
    assert np.allclose(mean_image(source), want, rtol=1e-6)  # rounded to float32
    Image.new("RGB", (2, 2)).save(images / "4.png")
    with pytest.raises(AdaptionError) as caught:
        mean_image(source)
    assert str(caught.value) == (
        "sample '4.png' has shape (3, 2, 2), the first (3, 6, 8)\n  fix: resize the images to one"
        " size"
    )


def script() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "scripts" / "make_lmdb.py"
    spec = importlib.util.spec_from_file_location("make_lmdb", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_script(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mean_file = str(images / "mean.binaryproto")
    args = [str(images / "list.txt"), str(images / "db"), "--mean", mean_file]
    assert script().main(args) == 0
    out = capsys.readouterr().out
    assert f"{images / 'db'}: 4 records" in out
    assert "left out 1 sample that could not be read; the first: 3.png: is no image" in out
    mean = read_mean(mean_file)
    assert np.array_equal(mean, mean_image(open_source(images / "db")))
    assert script().main(args) == 2
    assert "exists already" in capsys.readouterr().err
