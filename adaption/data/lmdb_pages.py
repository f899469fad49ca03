"""The records of an LMDB, read page by page.

The lmdb library maps the file and trusts what it finds there: a copy cut short, or one damaged
page, ends the process without a word. Caffe's data sets are plain: one B+ tree of keys and values,
written once. So its pages are read here, each with its bounds checked. Format: LMDB's mdb.c
(MDB_meta, MDB_page, MDB_node), data version 1 of 64-bit machines.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from adaption.errors import AdaptionError, DataError
from adaption.io.file_bytes import FileBytes

__all__ = ["LmdbPages", "is_lmdb_file"]

_MAGIC = 0xBEEFC0DE
_MAGIC_BYTES = struct.pack("<I", _MAGIC)
_VERSION = 1
_HEAD = 16  # bytes of a page before its nodes' offsets
_NODE = 8  # bytes of a node before its key
_BRANCH, _LEAF, _OVERFLOW, _META = 1, 2, 4, 8  # flags of a page
_BIG, _SUB, _DUPLICATES = 1, 2, 4  # flags of a node: value on pages of its own, a tree, several
_SORTED_DUPLICATES = 0x04  # flag of a tree
_OTHER_ORDER = 0x02 | 0x08  # flags of a tree: keys by their last byte, or as integers
_NOTHING = (1 << 64) - 1  # page number of an empty tree's root
_DEEPEST = 64  # a tree of more levels would not fit any disk

_PAGE = struct.Struct("<QHHHH")  # number, pad, flags, lower, upper
_LONG_PAGE = struct.Struct("<QHHI")  # number, pad, flags, count of pages
_META_HEAD = struct.Struct("<IIQQ")  # magic, version, address, map size
_TREE = struct.Struct("<IHHQQQQQ")  # pad, flags, depth, branch, leaf, overflow pages, entries, root
_META_TAIL = struct.Struct("<QQ")  # last page, transaction
_META_SIZE = _META_HEAD.size + 2 * _TREE.size + _META_TAIL.size
_NODE_HEAD = struct.Struct("<HHHH")  # low and high part of size or page, flags, size of the key

_FIX = "copy the whole data set again, or make it again with convert_imageset"


class _Meta(NamedTuple):
    page_size: int
    flags: int
    entries: int
    root: int
    last_page: int
    transaction: int


def is_lmdb_file(path: Path) -> bool:
    """Whether a file begins as an LMDB's data file."""
    with path.open("rb") as stream:
        return stream.read(_HEAD + 4)[_HEAD:] == _MAGIC_BYTES


class LmdbPages:
    """The key-value pairs of an LMDB's data file, in the order of the keys.

    The newest transaction counts that is whole at opening; nobody should write meanwhile.
    Raises: DataError when it is no such file, is truncated, or damaged; anywhere, where a damaged
        page is met.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        try:
            self._file = FileBytes(path)
        except AdaptionError as error:
            raise DataError(error.fact, error.fix, file=path) from None
        meta = self._newest_meta()
        self.entries = meta.entries
        self._page_size = meta.page_size
        self._pages = meta.last_page + 1
        self._root = meta.root
        self._flags = meta.flags
        size = self._pages * self._page_size
        if meta.root != _NOTHING and len(self._file) < size:
            raise DataError(
                f"is truncated: {len(self._file)} bytes found, {size} expected", _FIX, file=path
            )
        if meta.flags & _SORTED_DUPLICATES:
            raise DataError("holds several values per key, a data set has one", _FIX, file=path)

    def __len__(self) -> int:
        return self.entries

    def keys(self) -> Iterator[bytes]:
        """All keys in order."""
        for page, nodes in self._leaves():
            for at in nodes:
                yield self._key(page, at)

    def items(self, skip: int = 0, step: int = 1) -> Iterator[tuple[bytes, bytes] | None]:
        """Record `skip` and every `step`-th from there; None for each that is passed over."""
        for page, nodes in self._leaves():
            for at in nodes:
                if skip:  # the value of a record that is passed over is not touched
                    skip -= 1
                    yield None
                    continue
                yield self._key(page, at), self._value(page, at)
                skip = step - 1

    def get(self, key: bytes) -> bytes:
        """The value of a key. Raises: KeyError."""
        if self._flags & _OTHER_ORDER:
            found = (item[1] for item in self.items() if item is not None and item[0] == key)
            if (value := next(found, None)) is None:
                raise KeyError(key)
            return value
        number, depth = self._root, 0
        while number != _NOTHING:
            page, is_leaf = self._page(number, depth)
            nodes = self._nodes(page)
            # The first key of a branch stands for everything below it.
            at = bisect_left(nodes, key, 0 if is_leaf else 1, key=partial(self._key, page))
            is_there = at < len(nodes) and self._key(page, nodes[at]) == key
            if is_leaf:
                if not is_there:
                    break
                return self._value(page, nodes[at])
            if not nodes:
                raise self._damaged(number, "a branch leads nowhere")
            number, depth = self._child(page, nodes[at if is_there else at - 1]), depth + 1
        raise KeyError(key)

    def _leaves(self) -> Iterator[tuple[bytes, Sequence[int]]]:
        """The pages that hold records, and where in them each record's node begins."""
        if self._root == _NOTHING:
            return
        waiting = [(self._root, 0)]
        met = found = 0
        while waiting:
            number, depth = waiting.pop()
            met += 1
            if met > self._pages:
                raise self._damaged(number, "the tree runs in a circle")
            page, is_leaf = self._page(number, depth)
            nodes = self._nodes(page)
            if is_leaf:
                found += len(nodes)
                yield page, nodes
            else:
                waiting += [(self._child(page, at), depth + 1) for at in reversed(nodes)]
        if found != self.entries:
            raise self._damaged(self._root, f"{self.entries} records are said, {found} found")

    def _page(self, number: int, depth: int) -> tuple[bytes, bool]:
        """A page of the tree, and whether it is a leaf."""
        if depth > _DEEPEST:
            raise self._damaged(number, "the tree is too deep")
        page = self._read(number, 1, 0, self._page_size)
        own, _, flags, _, _ = _PAGE.unpack_from(page)
        if own != number or flags & (_BRANCH | _LEAF) not in (_BRANCH, _LEAF):
            raise self._damaged(number, f"its head says page {own} with flags {flags:#x}")
        return page, bool(flags & _LEAF)

    def _read(self, number: int, count: int, start: int, size: int) -> bytes:
        """Bytes of `count` pages from page `number` on."""
        if not 2 <= number < self._pages or count > self._pages - number:
            raise self._damaged(number, f"the file has {self._pages} pages")
        try:
            start += number * self._page_size
            return self._file[start : start + size]
        except AdaptionError as error:
            raise DataError(error.fact, error.fix, file=self.path) from None

    def _nodes(self, page: bytes) -> Sequence[int]:
        """Where each node begins in its page."""
        number, _, _, lower, upper = _PAGE.unpack_from(page)
        if not _HEAD <= lower <= upper <= self._page_size or lower % 2:
            raise self._damaged(number, f"its bounds are {lower} and {upper}")
        nodes = struct.unpack_from(f"<{(lower - _HEAD) // 2}H", page, _HEAD)
        if nodes and not (_HEAD <= min(nodes) and max(nodes) + _NODE <= self._page_size):
            raise self._damaged(number, f"its nodes begin at bytes {min(nodes)} to {max(nodes)}")
        return nodes

    def _key(self, page: bytes, at: int) -> bytes:
        size = _NODE_HEAD.unpack_from(page, at)[3]
        if at + _NODE + size > self._page_size:
            raise self._damaged(_PAGE.unpack_from(page)[0], f"a key has {size} bytes")
        return page[at + _NODE : at + _NODE + size]

    def _child(self, page: bytes, at: int) -> int:
        low, high, more, _ = _NODE_HEAD.unpack_from(page, at)
        return int(low | high << 16 | more << 32)

    def _value(self, page: bytes, at: int) -> bytes:
        low, high, flags, key_size = _NODE_HEAD.unpack_from(page, at)
        size = low | high << 16
        start = at + _NODE + key_size
        end = start + (8 if flags & _BIG else size)
        if flags & (_SUB | _DUPLICATES) or end > self._page_size:
            what = f"a record has {size} bytes and flags {flags:#x}"
            raise self._damaged(_PAGE.unpack_from(page)[0], what)
        if not flags & _BIG:
            return page[start:end]
        (first,) = struct.unpack_from("<Q", page, start)
        count = -(-(_HEAD + size) // self._page_size)
        own, _, flags, pages = _LONG_PAGE.unpack(self._read(first, count, 0, _HEAD))
        if own != first or not flags & _OVERFLOW or pages < count:
            raise self._damaged(first, f"its head says page {own}, {pages} pages, flags {flags:#x}")
        return self._read(first, count, _HEAD, size)

    def _newest_meta(self) -> _Meta:
        """Of the two meta pages, the one written last."""
        first = self._meta(0)
        second = self._meta(first.page_size)
        return max(first, second, key=lambda meta: meta.transaction)

    def _meta(self, start: int) -> _Meta:
        try:
            content = self._file[start : start + _HEAD + _META_SIZE]
        except AdaptionError as error:
            raise DataError(error.fact, error.fix, file=self.path) from None
        if len(content) < _HEAD + _META_SIZE:
            raise DataError(f"is truncated: {len(self._file)} bytes found", _FIX, file=self.path)
        flags = _PAGE.unpack_from(content)[2]
        magic, version, _, _ = _META_HEAD.unpack_from(content, _HEAD)
        if magic != _MAGIC or not flags & _META:
            raise DataError("is no LMDB, or damaged in its first pages", _FIX, file=self.path)
        if version != _VERSION:
            raise DataError(
                f"is an LMDB of version {version}, read here is {_VERSION}",
                "write it with an lmdb library of version 0.9",
                file=self.path,
            )
        at = _HEAD + _META_HEAD.size
        page_size = _TREE.unpack_from(content, at)[0]
        if not 256 <= page_size <= 65536 or page_size & (page_size - 1):
            raise DataError(f"is damaged: its pages have {page_size} bytes", _FIX, file=self.path)
        _, tree_flags, _, _, _, _, entries, root = _TREE.unpack_from(content, at + _TREE.size)
        last, transaction = _META_TAIL.unpack_from(content, at + 2 * _TREE.size)
        if entries > 1 << 48 or last > 1 << 48:
            raise DataError(
                f"is damaged: it counts {entries} records on {last} pages", _FIX, file=self.path
            )
        return _Meta(page_size, tree_flags, entries, root, last, transaction)

    def _damaged(self, page: int, what: str) -> DataError:
        return DataError(f"page {page} is damaged: {what}", _FIX, file=self.path)
