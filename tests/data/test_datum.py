"""datum.py, lmdb_source.py, leveldb_source.py: stores of Datum."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from adaption.data import lmdb_writer, open_source
from adaption.data.datum import datum_sample
from adaption.errors import DataError, MissingExtraError
from adaption.proto import caffe_pb2


def raw(value: int, label: int | None = None, shape: tuple[int, int, int] = (2, 1, 3)) -> bytes:
    datum = caffe_pb2.Datum(channels=shape[0], height=shape[1], width=shape[2])
    datum.data = bytes([value]) * int(np.prod(shape))
    if label is not None:
        datum.label = label
    return datum.SerializeToString()


def jpeg(mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (5, 4)).save(stream, "JPEG")
    return caffe_pb2.Datum(data=stream.getvalue(), encoded=True, label=1).SerializeToString()


def write_lmdb(path: Path, records: dict[bytes, bytes]) -> Path:
    env = lmdb.open(str(path), map_size=1 << 20)
    with env.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key, value)
    env.close()
    return path


def test_lmdb_in_key_order(tmp_path: Path) -> None:
    path = write_lmdb(tmp_path / "db", {b"2": raw(5, 7), b"1": raw(4, 3), b"10": raw(6, 1)})
    source = open_source(path)
    assert (source.kind, len(source), source.has_labels) == ("lmdb", 3, True)
    assert not source.is_decoded
    assert [(s.name, s.label, int(s.image[0, 0, 0])) for s in source] == [
        ("1", 3, 4),
        ("10", 1, 6),
        ("2", 7, 5),
    ]
    assert source[-1].name == "2"
    assert source[0].image.shape == (2, 1, 3)
    with pytest.raises(IndexError):
        source[3]


def test_lmdb_from_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    path = write_lmdb(tmp_path / "db", {b"1": raw(4, 3)})
    (path / "lock.mdb").unlink()
    path.chmod(0o555)
    try:
        assert len(list(open_source(path))) == 1
        assert [p.name for p in path.iterdir()] == ["data.mdb"]
    finally:
        path.chmod(0o755)


def test_lmdb_opened_twice_and_by_its_data_file(tmp_path: Path) -> None:
    path = write_lmdb(tmp_path / "db", {b"1": raw(4, 3)})
    first, second = open_source(path), open_source(path)
    assert len(list(zip(first, second, strict=True))) == 1
    del first
    assert len(list(second)) == 1
    assert len(open_source(path / "data.mdb")) == 1


def test_float_data_and_no_label(tmp_path: Path) -> None:
    datum = caffe_pb2.Datum(channels=1, height=1, width=2, float_data=[0.5, -1.0])
    source = open_source(write_lmdb(tmp_path / "db", {b"1": datum.SerializeToString()}))
    assert not source.has_labels
    assert source[0].image.dtype == np.float32
    assert source[0].image.tolist() == [[[0.5, -1.0]]]


def test_encoded(tmp_path: Path) -> None:
    source = open_source(write_lmdb(tmp_path / "db", {b"1": jpeg(), b"2": jpeg("L")}))
    assert source.is_decoded
    assert [s.image.shape for s in source] == [(3, 4, 5), (1, 4, 5)]
    assert [s.image.shape for s in source.as_color(True)] == [(3, 4, 5), (3, 4, 5)]
    assert [s.image.shape for s in source.as_color(False)] == [(1, 4, 5), (1, 4, 5)]


def test_bad_records_are_skipped(tmp_path: Path) -> None:
    records = {b"1": raw(1, 0), b"2": b"\xff\xff", b"3": caffe_pb2.Datum().SerializeToString()}
    source = open_source(write_lmdb(tmp_path / "db", records))
    assert [s.name for s in source] == ["1"]
    assert source.skipped[0].reason.startswith("record '2' is no Datum: ")
    assert source.skipped[1] == ("3", "record '3' is no Datum with values")


def test_sizes_that_do_not_fit() -> None:
    record = caffe_pb2.Datum(channels=1, height=2, width=2, data=b"abc").SerializeToString()
    with pytest.raises(DataError) as caught:
        datum_sample("k", record)
    assert str(caught.value) == "record 'k' holds 3 values for channels, height, width (1, 2, 2)"


def test_empty_lmdb(tmp_path: Path) -> None:
    path = write_lmdb(tmp_path / "db", {})
    with pytest.raises(DataError) as caught:
        open_source(path)
    assert str(caught.value) == (
        f"{path}: holds no samples\n  fix: give data with at least one sample"
    )


def test_damaged_lmdb(tmp_path: Path) -> None:
    path = write_lmdb(tmp_path / "db", {b"1": raw(1, 0)})
    (path / "data.mdb").write_bytes((path / "data.mdb").read_bytes()[:30])
    with pytest.raises(DataError, match="is truncated: 30 bytes found"):
        open_source(path)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def hide(package: str) -> None:
        monkeypatch.setitem(__import__("sys").modules, package, None)

    return hide


def test_without_lmdb_installed(tmp_path: Path, without: Callable[[str], None]) -> None:
    path = write_lmdb(tmp_path / "db", {b"1": raw(1, 0)})
    without("lmdb")
    assert len(open_source(path)) == 1  # only to write one takes the library
    with pytest.raises(MissingExtraError) as caught:
        lmdb_writer.write_lmdb(tmp_path / "other", [])
    assert str(caught.value) == (
        "LMDB needs the package 'lmdb', which is not installed\n  fix: pip install 'adaption[lmdb]'"
    )


def test_without_plyvel_installed(shared: Path, without: Callable[[str], None]) -> None:
    without("plyvel")
    with pytest.raises(MissingExtraError) as caught:
        open_source(shared / "golden" / "data_layers" / "small_leveldb")
    assert str(caught.value) == (
        "LevelDB needs the package 'plyvel', which is not installed\n"
        "  fix: pip install 'adaption[leveldb]'"
    )


def test_leveldb_is_left_untouched(tmp_path: Path) -> None:
    plyvel = pytest.importorskip("plyvel")
    path = tmp_path / "db"
    db = plyvel.DB(str(path), create_if_missing=True)
    db.put(b"2", raw(5, 7))
    db.put(b"1", raw(4, 3))
    db.close()
    before = {p.name: p.read_bytes() for p in path.iterdir()}
    source = open_source(path)
    assert (source.kind, len(source)) == ("leveldb", 2)
    assert [(s.name, s.label) for s in source] == [("1", 3), ("2", 7)]
    assert source[1].name == "2"
    assert source.as_color(True)[0].name == "1"
    assert {p.name: p.read_bytes() for p in path.iterdir()} == before


def _leveldb(path: Path, count: int = 40) -> Path:
    """A LevelDB whose records all lie in tables."""
    plyvel = pytest.importorskip("plyvel")
    db = plyvel.DB(str(path), create_if_missing=True, compression=None, max_file_size=1 << 20)
    for number in range(count):
        db.put(b"%04d" % number, raw(number % 256, number, (1, 64, 64)))
    db.compact_range()
    db.close()
    return path


def test_a_leveldb_cut_short_while_it_is_open(tmp_path: Path) -> None:
    """LevelDB maps its tables: the bus error of one that is cut short ended the process."""
    path = _leveldb(tmp_path / "db")
    source = open_source(path)
    assert source[0].label == 0
    for table in path.glob("*.ldb"):
        with table.open("r+b") as file:
            file.truncate(100)
    with pytest.raises(DataError, match="the LevelDB cannot be read: ") as caught:
        list(source)
    assert str(caught.value).splitlines() == [
        f"{path}: the LevelDB cannot be read: it is damaged, or was changed meanwhile",
        "  fix: check that the folder was copied whole, and that nothing changes it",
    ]


@pytest.mark.parametrize("which", [0, -1])
def test_a_leveldb_with_a_damaged_block(tmp_path: Path, which: int) -> None:
    """Damage in the last table was taken for the end of the data, other damage for pixels."""
    path = _leveldb(tmp_path / "db", 2000)
    tables = sorted(path.glob("*.ldb"))
    assert len(tables) > 1
    content = bytearray(tables[which].read_bytes())
    content[len(content) // 2] ^= 1
    tables[which].write_bytes(content)
    with pytest.raises(DataError, match=r"the LevelDB cannot be read: .*checksum mismatch"):
        list(open_source(path))


@pytest.mark.parametrize(("count", "message"), [(40, "holds no samples"), (2000, "IO error")])
def test_a_leveldb_with_tables_cut_short(tmp_path: Path, count: int, message: str) -> None:
    path = _leveldb(tmp_path / "db", count)
    last = max(path.glob("*.ldb"))
    last.write_bytes(last.read_bytes()[:100])
    with pytest.raises(DataError, match=message):
        list(open_source(path))


def test_passes_over_a_leveldb_do_not_disturb_each_other(tmp_path: Path) -> None:
    source = open_source(_leveldb(tmp_path / "db"))
    first = iter(source)
    next(first)
    for _ in range(3):  # given up before its end
        next(iter(source))
    assert [sample.label for sample in first] == list(range(1, 40))
    assert [sample.label for sample in source] == list(range(40))
