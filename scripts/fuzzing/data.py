"""Data: arrays, stores, images, lists."""

from __future__ import annotations

import contextlib
import gzip
import io
import random
import struct
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fuzzing.base import of_bytes, of_message, of_text, register
from fuzzing.corpus import Corpus
from fuzzing.made import LENET
from fuzzing.mutate import damage, damage_text


def _npy_seeds(corpus: Corpus) -> list[bytes]:
    made = []
    arrays = [
        np.arange(12.0, dtype="f4").reshape(3, 2, 2),
        np.arange(3),
        np.ones((2, 3), "f2", "F"),
    ]
    for array in [*arrays, np.zeros((), "u1"), np.zeros((2, 0, 3), ">i8")]:
        out = io.BytesIO()
        np.save(out, array)
        made.append(out.getvalue())
    return made


def _npy(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    content = draw.choice(seeds)
    if draw.random() < 0.5:  # the header, which is Python text
        (length,) = struct.unpack("<H", content[8:10])
        head = damage_text(draw, content[10 : 10 + length].decode("latin-1"))
        raw = head.encode("latin-1", "replace")[:65000]
        return content[:8] + struct.pack("<H", len(raw)) + raw + content[10 + length :]
    return damage(draw, content, seeds)


@register("npy", "f.npy", _npy_seeds, _npy)
def npy(path: Path) -> None:
    from adaption.errors import AdaptionError
    from adaption.io.blobproto import read_blob
    from adaption.io.npy import read_npy

    with contextlib.suppress(AdaptionError):
        read_blob(path)
    read_npy(path)


def _npz(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A zip archive of whole and damaged arrays, odd or damaged itself."""
    out = io.BytesIO()
    way = draw.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    )
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", way) as archive:
        warnings.simplefilter("ignore")
        for _ in range(draw.choice((0, 1, 1, 2, 3))):
            name = draw.choice(
                ("data.npy", "label.npy", "offsets.npy", "x.npy", "x.txt", "/a.npy", "")
            )
            content = _npy(draw, seeds) if draw.random() < 0.3 else draw.choice(seeds)
            archive.writestr(name or "data.npy", content)
    content = out.getvalue()
    return damage(draw, content) if draw.random() < 0.7 else content


@register("npz", "f.npz", _npy_seeds, _npz)
def npz(path: Path) -> None:
    _read_source(path)


def _read_source(path: Path, most: int = 20) -> None:
    """Open data of any kind and read some of its samples, as the verbs do."""
    from adaption.data import open_source
    from adaption.errors import DataError

    source = open_source(path)
    len(source)
    for count, _ in enumerate(source):
        if count >= most:
            break
    for index in (0, len(source) - 1):
        with contextlib.suppress(DataError):
            source[index]


def _idx_seeds(corpus: Corpus) -> list[bytes]:
    images = b"\0\0\x08\x03" + struct.pack(">3I", 3, 4, 5) + bytes(range(60))
    return [images, gzip.compress(images), b"\0\0\x08\x01" + struct.pack(">I", 3) + b"\1\2\3"]


def _idx(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    content = damage(draw, draw.choice(seeds[::2]), seeds)
    if draw.random() < 0.5:
        content = gzip.compress(content)
    return damage(draw, content, seeds) if draw.random() < 0.3 else content


@register("idx", "images-idx3-ubyte", _idx_seeds, _idx)
def idx(path: Path) -> None:
    _read_source(path)


def _datums(corpus: Corpus) -> list[bytes]:
    from adaption.data.lmdb_source import LmdbSource

    records = LmdbSource(LENET / "digits_test_lmdb").records()
    encoded = [_encoded_datum(image) for image in _images(corpus)[:4]]
    return [next(records)[1] for _ in range(3)] + encoded


def _encoded_datum(image: bytes) -> bytes:
    from adaption.proto import caffe_pb2

    return caffe_pb2.Datum(data=image, encoded=True, label=1).SerializeToString()


@register("datum", "f.datum", _datums, of_message)
def datum(path: Path) -> None:
    from adaption.data.datum import datum_batch, datum_sample
    from adaption.errors import DataError

    record = path.read_bytes()
    with contextlib.suppress(DataError):
        datum_batch([(b"k", record), (b"l", record)])
    datum_sample("k", record)


def _lmdbs(corpus: Corpus) -> list[bytes]:
    content = (LENET / "digits_test_lmdb" / "data.mdb").read_bytes()
    import lmdb

    made = [content]
    for sizes in ((30, 60), (5000, 3)):
        with lmdb.open("seed.mdb", subdir=False, map_size=1 << 22, lock=False) as env:
            with env.begin(write=True) as transaction:
                for i in range(sizes[1]):
                    transaction.put(b"%05d" % i, bytes(sizes[0]))
        made.append(Path("seed.mdb").read_bytes())
        Path("seed.mdb").unlink()
    return made


def _lmdb(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Damage where it hurts: the heads of pages and of nodes."""
    content = bytearray(draw.choice(seeds))
    if draw.random() < 0.1:
        return damage(draw, bytes(content))
    for _ in range(draw.choice((1, 2, 4))):
        page = draw.randrange(len(content) // 4096) * 4096
        at = page + draw.choice((draw.randrange(32), draw.randrange(200), draw.randrange(4096)))
        width = draw.choice((1, 2, 4, 8))
        value = draw.choice((0, 1, 2, 255, 4096, draw.randrange(1 << 16), (1 << 64) - 1))
        content[at : at + width] = struct.pack("<Q", value)[:width]
    return bytes(content[: len(content)])


@register("lmdb", "data.mdb", _lmdbs, _lmdb, cheap=False)
def lmdb_file(path: Path) -> None:
    _read_source(path, most=400)


def _leveldb_seed(corpus: Corpus) -> list[bytes]:
    from tempfile import TemporaryDirectory

    import plyvel

    with TemporaryDirectory() as folder:
        db = plyvel.DB(folder, create_if_missing=True)
        for i, record in enumerate(_datums(corpus)):
            db.put(b"%03d" % i, record)
        db.compact_range()
        db.close()
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for file in sorted(Path(folder).iterdir()):
                if file.name not in ("LOCK", "LOG", "LOG.old"):
                    archive.write(file, file.name)
    return [out.getvalue()]


def _leveldb(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """The files of a folder in an archive, one of them damaged."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(seeds[0])) as whole, zipfile.ZipFile(out, "w") as archive:
        names = whole.namelist()
        chosen = draw.choice(names)
        for name in names:
            content = whole.read(name)
            archive.writestr(name, damage(draw, content) if name == chosen else content)
    return out.getvalue()


@register("leveldb", "f.leveldb.zip", _leveldb_seed, _leveldb, cheap=False, needs="plyvel")
def leveldb(path: Path) -> None:
    import shutil

    folder = path.with_name("leveldb")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    try:
        _read_source(folder)
    finally:
        shutil.rmtree(folder)


def _h5_data(corpus: Corpus) -> list[bytes]:
    import h5py

    made = []
    for settings in ({}, {"chunks": (2, 3, 2), "compression": "gzip"}, {"chunks": (1, 3, 2)}):
        with h5py.File("seed.h5", "w") as file:
            file.create_dataset("data", data=np.arange(24, dtype="f4").reshape(4, 3, 2), **settings)
            file["label"] = np.arange(4.0)
        made.append(Path("seed.h5").read_bytes())
        Path("seed.h5").unlink()
    return made


@register("data.h5", "f.h5", _h5_data, of_bytes, cheap=False)
def data_h5(path: Path) -> None:
    from adaption.data.layers.hdf5_data import _read
    from adaption.errors import AdaptionError

    with contextlib.suppress(AdaptionError):
        _read(str(path), ["data", "label"], values=True)
    _read_source(path)


def _images(corpus: Corpus) -> list[bytes]:
    from PIL import Image

    made = []
    pixels = np.random.default_rng(0).integers(0, 255, (12, 9, 3)).astype(np.uint8)
    picture = Image.fromarray(pixels)
    for kind, mode in (
        *(
            ("PNG", "RGB"),
            ("PNG", "P"),
            ("PNG", "LA"),
            ("JPEG", "RGB"),
            ("JPEG", "L"),
            ("BMP", "RGB"),
        ),
        *(
            ("GIF", "P"),
            ("TIFF", "RGB"),
            ("WEBP", "RGB"),
            ("PPM", "L"),
            ("PNG", "I;16"),
            ("PNG", "1"),
        ),
    ):
        out = io.BytesIO()
        with contextlib.suppress(OSError, KeyError, ValueError):
            picture.convert(mode).save(out, kind)
            made.append(out.getvalue())
    return made


@register("image", "f.img", _images, of_bytes, cheap=False)
def image(path: Path) -> None:
    from adaption.data.decode import decode_image
    from adaption.errors import DataError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for is_color in (True, False):
            with contextlib.suppress(DataError):
                decode_image(path.read_bytes(), is_color)
        decode_image(path, None)


def _lists(corpus: Corpus) -> list[bytes]:
    """Lists, and in the working directory some of what they name."""
    picture, table = _images(corpus)[0], _h5_data(corpus)[0]
    for stem in "ab":
        Path(f"{stem}.png").write_bytes(picture)
        Path(f"{stem}.h5").write_bytes(table)
    return [b"a.png 0\nb.png 1\n", b"a.h5\nb.h5\n", b"x\ny\n", b"f.txt 3\n"]


@register("list", "f.txt", _lists, of_text)
def image_list(path: Path) -> None:
    from adaption.data.images import read_list
    from adaption.errors import AdaptionError

    with contextlib.suppress(AdaptionError):
        read_list(path)
    _read_source(path)


WINDOWS = (
    b"# 0\na.png\n3\n10\n10\n2\n1 0.9 0 0 4 4\n0 0.1 2 2 8 8\n"
    b"# 1\nb.png\n3\n9\n9\n1\n2 0.7 1 1 5 5\n"
)


@register("windows", "f.windows", lambda c: [WINDOWS], of_text)
def windows(path: Path) -> None:
    from adaption.data.windows import cut, read_windows
    from adaption.errors import DataError

    found = read_windows(path)
    for window in [*found.foreground, *found.background][:5]:
        with contextlib.suppress(DataError):
            cut(np.zeros((3, 12, 12), np.uint8), window, 8, context_pad=2)
