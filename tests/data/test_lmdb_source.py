"""LMDBs read page by page: as the lmdb library reads them, and an error for every damage."""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from adaption.data.lmdb_pages import LmdbPages
from adaption.data.lmdb_source import LmdbSource
from adaption.errors import DataError

EXAMPLE = Path(__file__).resolve().parents[2] / "models/lenet_digits/digits_test_lmdb"
PAGE = 4096


def made(folder: Path, records: Mapping[bytes, bytes], **settings: Any) -> Path:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(folder), map_size=1 << 26, **settings) as environment:
        with environment.begin(write=True) as transaction:
            for key, value in records.items():
                transaction.put(key, value)
    return folder / "data.mdb"


def some(count: int, sizes: tuple[int, ...], seed: int = 0) -> dict[bytes, bytes]:
    draw = random.Random(seed)
    return {
        b"%08d%s" % (draw.randrange(10**8), b"k" * draw.randrange(200)): draw.randbytes(
            draw.choice(sizes)
        )
        for _ in range(count)
    }


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        pytest.param(1, (10,), id="one page"),
        pytest.param(3000, (0, 50, 800), id="several levels"),
        pytest.param(60, (2000, 5000, 70000), id="values on pages of their own"),
    ],
)
def test_reads_what_the_library_wrote(count: int, sizes: tuple[int, ...], tmp_path: Path) -> None:
    records = some(count, sizes)
    pages = LmdbPages(made(tmp_path, records))
    assert len(pages) == len(records)
    assert list(pages.items()) == sorted(records.items())
    assert list(pages.keys()) == sorted(records)
    for key, value in records.items():
        assert pages.get(key) == value
    for missing in (b"", b"00", b"z", next(iter(records)) + b"?"):
        with pytest.raises(KeyError):
            pages.get(missing)


def test_records_that_were_deleted_and_replaced(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    records = some(500, (20, 3000))
    made(tmp_path, records)
    with lmdb.open(str(tmp_path), map_size=1 << 26) as environment:
        for i, key in enumerate(sorted(records)):
            with environment.begin(write=True) as transaction:
                if i % 3 == 0:
                    transaction.delete(key)
                    del records[key]
                elif i % 3 == 1:
                    transaction.put(key, b"new")
                    records[key] = b"new"
    assert dict(filter(None, LmdbPages(tmp_path / "data.mdb").items())) == records


def test_keys_in_another_order(tmp_path: Path) -> None:
    """A tree may say that its keys are sorted by their last byte; nothing is searched by order."""
    records = some(300, (20,))
    file = made(tmp_path, records)
    content = bytearray(file.read_bytes())
    for meta in (0, PAGE):
        at = meta + 16 + 24 + 48 + 4  # head, MDB_meta up to the second tree, its pad
        content[at : at + 2] = struct.pack("<H", 2)
    file.write_bytes(content)
    pages = LmdbPages(file)
    assert all(pages.get(key) == value for key, value in records.items())
    with pytest.raises(KeyError):
        pages.get(b"no")


@pytest.mark.parametrize(("skip", "step"), [(0, 1), (3, 1), (0, 4), (5, 3), (1000, 2)])
def test_every_nth_record(skip: int, step: int) -> None:
    source = LmdbSource(EXAMPLE)
    everything = list(source.records())
    taken: list[tuple[bytes, bytes]] = []
    left = 0

    def take() -> Iterator[None]:
        nonlocal left
        left = yield from source.records(skip, step)  # type: ignore[misc]

    taken = list(take())  # type: ignore[arg-type]
    assert taken == everything[skip::step]
    # as many records of a pass that followed come before its first
    assert left == (skip - len(everything) if not taken else (skip - len(everything)) % step)


def test_sources_come_and_go_in_many_threads() -> None:
    def open_and_drop(_: int) -> int:
        source = LmdbSource(EXAMPLE)
        other = source.as_color(True)
        del source
        next(other.records())
        return len(other)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(open_and_drop, range(200))) == {360}


def copied(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "db")
    return tmp_path / "db" / "data.mdb"


def test_cut_short_before_it_is_opened(tmp_path: Path) -> None:
    file = copied(tmp_path)
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.truncate(size // 2)
    with pytest.raises(DataError) as caught:
        LmdbSource(tmp_path / "db")
    assert str(caught.value) == (
        f"{file}: is truncated: {size // 2} bytes found, {size} expected\n"
        "  fix: copy the whole data set again, or make it again with convert_imageset"
    )


def test_cut_short_or_written_while_it_is_read(tmp_path: Path) -> None:
    file = copied(tmp_path)
    source = LmdbSource(tmp_path / "db")
    records = source.records()
    next(records)
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.truncate(PAGE)
    with pytest.raises(DataError, match=f"has changed while it was read .it had {size} bytes, now"):
        list(records)
    with pytest.raises(DataError, match="has changed"):
        source.value(b"00000000")


def test_replaced_by_another_file_while_it_is_read(tmp_path: Path) -> None:
    file = copied(tmp_path)
    source = LmdbSource(tmp_path / "db")
    records = source.records()
    first = next(records)
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    other.replace(file)
    assert [first, *records] == list(LmdbSource(EXAMPLE).records())


def test_any_damaged_byte_is_an_error_or_does_no_harm(tmp_path: Path) -> None:
    """No page of the tree is trusted: 400 damages, each read to the end."""
    whole = (EXAMPLE / "data.mdb").read_bytes()
    draw = random.Random(1)
    file = tmp_path / "data.mdb"
    errors = 0
    for _ in range(400):
        damaged = bytearray(whole)
        # heads of pages and of nodes are where it hurts
        page = draw.randrange(len(whole) // PAGE) * PAGE
        for _ in range(draw.randint(1, 4)):
            at = page + draw.choice((draw.randrange(64), draw.randrange(PAGE)))
            damaged[at] = draw.randrange(256)
        file.write_bytes(damaged)
        try:
            pages = LmdbPages(file)
            for key in list(pages.keys())[::40]:
                pages.get(key)
            list(pages.items(1, 2))
        except (DataError, KeyError):
            errors += 1
    assert errors > 40
