"""source_part: the samples of a source that a data layer reads, of every kind of store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import lmdb
import numpy as np
import pytest
import torch
from google.protobuf import text_format
from PIL import Image

from adaption.data.feed import FedLayer
from adaption.errors import AdaptionError
from adaption.graph import NetState, build_spec
from adaption.net.net import Net
from adaption.proto import caffe_pb2

SIZE = 10
ROWS = (3, 1, 6)  # of the HDF5 files
KINDS = ("Data", "Data encoded", "HDF5Data", "ImageData")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten samples whose label is their number, in every kind of store."""
    folder = tmp_path_factory.mktemp("stores")
    for i in range(SIZE):
        Image.new("L", (2, 2), i).save(folder / f"{i}.png")
    (folder / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(SIZE)))
    raw = [
        caffe_pb2.Datum(channels=1, height=2, width=2, data=bytes([i] * 4), label=i)
        for i in range(SIZE)
    ]
    encoded = [
        caffe_pb2.Datum(encoded=True, data=(folder / f"{i}.png").read_bytes(), label=i)
        for i in range(SIZE)
    ]
    for name, records in (("raw", raw), ("encoded", encoded)):
        with lmdb.open(str(folder / name), map_size=1 << 20) as env, env.begin(write=True) as store:
            for i, record in enumerate(records):
                store.put(b"%08d" % i, record.SerializeToString())
    first = 0
    for i, count in enumerate(ROWS):
        with h5py.File(folder / f"{i}.h5", "w") as file:
            numbers = np.arange(first, first + count, dtype=np.float32)
            file["data"] = np.tile(numbers[:, None, None, None], (1, 1, 2, 2))
            file["label"] = numbers
        first += count
    (folder / "files.txt").write_text("".join(f"{i}.h5\n" for i in range(len(ROWS))))
    return folder


def text(kind: str, part: str, batch: int = 4, more: str = "") -> str:
    store = {"Data": "raw", "Data encoded": "encoded", "HDF5Data": "files.txt"}
    param = {"HDF5Data": "hdf5_data_param", "ImageData": "image_data_param"}
    extra = {"ImageData": "is_color: false", "HDF5Data": ""}.get(kind, "backend: LMDB")
    return (
        f'layer {{ name: "d" type: "{kind.split()[0]}" top: "data" top: "label"'
        f" {f'source_part {{ {part} }}' if part else ''} {param.get(kind, 'data_param')} {{"
        f' source: "{store.get(kind, "list.txt")}" batch_size: {batch} {extra} {more} }} }}'
    )


def net(prototxt: str, phase: str = "TEST", seed: int = 0) -> Net:
    message = text_format.Parse(prototxt, caffe_pb2.NetParameter())
    return Net(build_spec(message, NetState(phase)), phase=phase, seed=seed)


def seen(made: Net, passes: int) -> list[int]:
    found: list[int] = []
    for _ in range(passes):
        made.forward()
        labels = made.blobs["label"].data.ravel().astype(int).tolist()
        pixels = made.blobs["data"].data[:, 0, 0, 0].astype(int).tolist()
        assert pixels == labels
        found += labels
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("part", "numbers"),
    [
        pytest.param("", range(10), id="all"),
        pytest.param("limit: 7", range(7), id="the first"),
        pytest.param("skip: 7", range(7, 10), id="the last"),
        pytest.param("skip: 2 limit: 5", range(2, 7), id="between"),
        pytest.param("skip: 3 limit: 1", range(3, 4), id="one"),
    ],
)
def test_samples_of_a_part(
    kind: str, part: str, numbers: range, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stores)
    made = net(text(kind, part))
    assert not made.notices
    want = [numbers[i % len(numbers)] for i in range(24)]
    assert seen(made, 6) == want
    layer = made.nodes[0].layer
    assert isinstance(layer, FedLayer) and layer.epoch_size() == len(numbers)
    # Read once through, by calls that feed a net with its own data.
    passed = layer.one_pass()
    assert passed is not None
    source = passed[0]
    assert len(source) == len(numbers)
    assert [sample.label for sample in source] == list(numbers)
    assert [job.load().label for job in source.jobs(1)] == list(numbers[1:])
    assert source[-1].label == numbers[-1]
    with pytest.raises(IndexError):
        source[len(numbers)]


@pytest.mark.parametrize("kind", KINDS)
def test_processes_share_a_part(kind: str, stores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stores)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        want = [2 + (rank + 3 * i) % 5 for i in range(12)]
        assert seen(net(text(kind, "skip: 2 limit: 5"), "TRAIN"), 3) == want


@pytest.mark.parametrize("kind", ["HDF5Data", "ImageData"])
def test_shuffling_stays_within_a_part(
    kind: str, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stores)
    order = seen(net(text(kind, "skip: 2 limit: 6", 6, "shuffle: true"), seed=1), 4)
    rounds = [order[i : i + 6] for i in range(0, 24, 6)]
    assert all(sorted(r) == list(range(2, 8)) for r in rounds)
    assert len({tuple(r) for r in rounds}) > 1


@pytest.mark.parametrize("kind", ["Data", "ImageData"])
def test_a_random_start_lies_within_a_part(
    kind: str, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stores)
    text_of = text(kind, "skip: 2 limit: 6", 1, "rand_skip: 3")
    starts = {seen(net(text_of, seed=s), 1)[0] for s in range(30)}
    assert starts == {2, 3, 4}


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_goes_on_from_a_saved_state(
    kind: str, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stores)
    more = "shuffle: true" if kind in ("HDF5Data", "ImageData") else ""
    prototxt = text(kind, "skip: 1 limit: 7", 4, more)
    whole = net(prototxt, seed=2)
    seen(whole, 3)
    node = whole.nodes[0]
    state = node.layer.save_state(node.runtime)
    want = seen(whole, 5)
    again = net(prototxt, seed=9)
    again.nodes[0].layer.load_state(again.nodes[0].runtime, state)
    assert seen(again, 5) == want


@pytest.mark.parametrize(
    ("prototxt", "message"),
    [
        pytest.param(
            text("Data", "skip: 10"),
            'layer "d" (Data): source_part.skip is 10, allowed: 0..9, of 10 samples',
            id="nothing left",
        ),
        pytest.param(
            text("ImageData", "limit: 11"),
            'layer "d" (ImageData): source_part.limit is 11, allowed: 1..10, the samples there are',
            id="more than there are",
        ),
        pytest.param(
            text("HDF5Data", "skip: 4 limit: 7"),
            'layer "d" (HDF5Data): source_part.limit is 7, allowed: 1..6, the samples there are'
            " behind the first 4",
            id="more than there are behind",
        ),
        pytest.param(
            text("Data", "limit: 0"),
            'layer "d" (Data): source_part.limit is 0, allowed: 1..10, the samples there are',
            id="none",
        ),
        pytest.param(
            'layer { name: "d" type: "Input" top: "data" source_part { limit: 3 } }',
            "layer \"d\" (Input): source_part is 'set', allowed: layers of type Data, HDF5Data,"
            " ImageData\n  fix: remove it",
            id="no source",
        ),
    ],
)
def test_parts_that_are_refused(
    prototxt: str, message: str, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stores)
    with pytest.raises(AdaptionError) as caught:
        seen(net(prototxt), 1)
    assert str(caught.value) == message


def test_a_part_keeps_what_its_source_says(stores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stores)
    made: Any = net(text("Data encoded", "skip: 7")).nodes[0].layer
    source, _ = made.one_pass()
    assert (source.kind, source.is_decoded, source.has_labels) == ("lmdb", True, True)
    assert source.path == Path("encoded")
    assert source.as_color(True)[0].image.shape == (3, 2, 2)
    assert source.as_color(True).as_color(False)[0].image.shape == (3, 2, 2)
