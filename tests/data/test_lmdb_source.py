"""An LMDB is open once per process, however many sources and threads share it."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from adaption.data import lmdb_source
from adaption.data.lmdb_source import LmdbSource

EXAMPLE = Path(__file__).resolve().parents[2] / "models/lenet_digits/digits_test_lmdb"


def test_sources_come_and_go_in_many_threads() -> None:
    """The last source of one thread ends while another opens the same LMDB."""

    def open_and_drop(_: int) -> int:
        source = LmdbSource(EXAMPLE)
        other = source.as_color(True)
        del source
        next(other.records())
        return len(other)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(open_and_drop, range(800))) == {360}
    gc.collect()
    assert EXAMPLE.resolve() / "data.mdb" not in lmdb_source._opened
