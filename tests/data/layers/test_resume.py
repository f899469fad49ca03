"""Data layers go on from a saved state exactly, in any number of threads and processes."""

from __future__ import annotations

import gc
import importlib.util
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import lmdb
import numpy as np
import pytest
import torch
from google.protobuf import text_format
from PIL import Image

from adaption.data import feed
from adaption.data.datum import DatumSource
from adaption.data.lmdb_source import LmdbSource
from adaption.errors import AdaptionError, DataError
from adaption.graph import NetState, build_spec
from adaption.layers.base import Progress
from adaption.net.net import Net
from adaption.proto import caffe_pb2

HAS_LEVELDB = importlib.util.find_spec("plyvel") is not None
SIZE = 7  # samples, so that batches of 3 meet the end of the data everywhere


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same seven images 6x5 in every kind of store."""
    made = tmp_path_factory.mktemp("data")
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, 6, 5, 3), np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(made / f"{i}.png")
    (made / "list.txt").write_text("".join(f"{made}/{i}.png {i}\n" for i in range(SIZE)))
    raw = [
        caffe_pb2.Datum(
            channels=3, height=6, width=5, data=p.transpose(2, 0, 1).tobytes(), label=i
        ).SerializeToString()
        for i, p in enumerate(pixels)
    ]
    encoded = [
        caffe_pb2.Datum(
            encoded=True, data=(made / f"{i}.png").read_bytes(), label=i
        ).SerializeToString()
        for i in range(SIZE)
    ]
    for name, records in (("raw", raw), ("encoded", encoded)):
        with lmdb.open(str(made / name), map_size=1 << 20) as env, env.begin(write=True) as store:
            for i, record in enumerate(records):
                store.put(b"%08d" % i, record)
    if HAS_LEVELDB:
        import plyvel

        with closing(plyvel.DB(str(made / "leveldb"), create_if_missing=True)) as db:
            for i, record in enumerate(raw):
                db.put(b"%08d" % i, record)
    for name, rows in (("a", slice(0, 4)), ("b", slice(4, 5)), ("c", slice(5, 7))):
        with h5py.File(made / f"{name}.h5", "w") as file:
            file["data"] = pixels[rows].transpose(0, 3, 1, 2)
            file["label"] = np.arange(SIZE)[rows]
    (made / "h5.txt").write_text("".join(f"{made}/{name}.h5\n" for name in "abc"))
    boxes = "1 0.9 0 0 2 3\n2 0.8 1 1 4 5\n1 1 2 0 3 2\n0 0.1 1 2 3 3\n0 0 0 0 4 4\n0 0.2 2 2 4 5\n"
    (made / "windows.txt").write_text(
        "".join(f"# {i}\n{made}/{i}.png\n3\n6\n5\n6\n{boxes}" for i in range(SIZE))
    )
    return made


RANDOM = "transform_param { mirror: true crop_size: 3 scale: 0.5 mean_value: 3 }"
LAYERS = {
    "Data raw": 'type: "Data" data_param { source: "raw" batch_size: 3 }',
    "Data raw random": f'type: "Data" {RANDOM} data_param {{'
    ' source: "raw" batch_size: 3 rand_skip: 5 }',
    "Data encoded random": f'type: "Data" {RANDOM} data_param {{'
    ' source: "encoded" batch_size: 3 prefetch: 2 }',
    "Data LevelDB": f'type: "Data" {RANDOM} data_param {{ source: "leveldb" batch_size: 3 }}',
    "ImageData": 'type: "ImageData" image_data_param { source: "list.txt" batch_size: 3 }',
    "ImageData random": f'type: "ImageData" {RANDOM} image_data_param {{'
    ' source: "list.txt" batch_size: 3 shuffle: true rand_skip: 5 }',
    "HDF5Data": 'type: "HDF5Data" hdf5_data_param { source: "h5.txt" batch_size: 3 }',
    "HDF5Data random": 'type: "HDF5Data" hdf5_data_param {'
    ' source: "h5.txt" batch_size: 3 shuffle: true }',
    "WindowData": 'type: "WindowData" transform_param { mirror: true crop_size: 4 }'
    ' window_data_param { source: "windows.txt" batch_size: 3 fg_fraction: 0.5 }',
}
CASES = {
    name: pytest.param(
        text,
        id=name,
        marks=pytest.mark.skipif(
            "leveldb" in text and not HAS_LEVELDB, reason="the extra leveldb is not installed"
        ),
    )
    for name, text in LAYERS.items()
}
ORDERED = [CASES[name] for name in LAYERS if name != "WindowData"]  # it draws its samples


@pytest.fixture(params=CASES.values())
def layer(request: pytest.FixtureRequest, at_home: None) -> str:
    text: str = request.param
    return text


@pytest.fixture
def at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def net(layer: str, phase: str = "TRAIN", seed: int = 1) -> Net:
    text = f'layer {{ name: "d" top: "data" top: "label" {layer} }}'
    message = text_format.Parse(text, caffe_pb2.NetParameter())
    return Net(build_spec(message, NetState(phase)), phase=phase, seed=seed)


def batches(made: Net, count: int) -> list[tuple[bytes, list[float]]]:
    found = []
    for _ in range(count):
        made.forward()
        found.append((made.blobs["data"].data.tobytes(), made.blobs["label"].data.tolist()))
    return found


def state_of(made: Net) -> dict[str, Any]:
    node = made.nodes[0]
    state: dict[str, Any] = json.loads(json.dumps(node.layer.save_state(node.runtime)))
    return state


def resumed(layer: str, state: dict[str, Any], seed: int = 99) -> Net:
    made = net(layer, seed=seed)
    node = made.nodes[0]
    node.layer.load_state(node.runtime, state)
    return made


def test_goes_on_from_any_batch(layer: str) -> None:
    whole = net(layer)
    states = [state_of(whole)]
    want = []
    for _ in range(8):
        want += batches(whole, 1)
        states.append(state_of(whole))
    assert states[0] == {}
    assert len({data for data, _ in want}) > 3
    for done in range(1, 8):
        made = resumed(layer, states[done])
        assert state_of(made) == states[done]
        assert batches(made, 8 - done) == want[done:]
        assert state_of(made) == states[8]


def test_goes_on_after_many_passes(layer: str) -> None:
    far = net(layer)
    batches(far, 1)
    state = {**state_of(far), "samples": 3 * 14 * 100 + 3}
    whole = batches(resumed(layer, {**state, "samples": 3 * 14 * 100}), 3)
    assert batches(resumed(layer, state), 2) == whole[1:]


def test_an_empty_state_is_the_start(layer: str) -> None:
    made = net(layer)
    batches(made, 2)
    node = made.nodes[0]
    node.layer.load_state(node.runtime, {})
    made.manual_seed(1)
    assert batches(made, 2) == batches(net(layer), 2)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_threads_change_nothing(layer: str, phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for workers in (0, 1, 4):
        for kind in feed.FedLayer.__subclasses__():
            monkeypatch.setattr(kind, "workers", lambda self, n=workers: n)
        found.append(batches(net(layer, phase), 12))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("name", "batch_size", "is_made_ahead"),
    [
        ("Data raw", 3, False),
        ("Data raw", 3000, True),  # over a MiB of values
        ("HDF5Data", 3, False),
        ("Data encoded random", 3, True),
        ("ImageData", 3, True),
    ],
)
def test_what_is_made_ahead(name: str, batch_size: int, is_made_ahead: bool, at_home: None) -> None:
    gc.collect()
    before = data_threads()
    made = net(LAYERS[name].replace("batch_size: 3", f"batch_size: {batch_size}"))
    made.forward()
    assert bool(data_threads() - before) == is_made_ahead


def test_prefetch_0_makes_nothing_ahead(at_home: None) -> None:
    gc.collect()
    before = data_threads()
    made = net(LAYERS["Data encoded random"].replace("prefetch: 2", "prefetch: 0"))
    made.forward()
    assert data_threads() <= before


def test_no_draw_from_the_nets_generator_after_the_first(layer: str) -> None:
    made = net(layer)
    batches(made, 1)
    before = made.generator.get_state()
    batches(made, 4)
    assert torch.equal(made.generator.get_state(), before)


def in_process(monkeypatch: pytest.MonkeyPatch, rank: int, count: int) -> None:
    """As if this were one of several processes, all of which drew the same seed."""
    for name, value in (("get_rank", rank), ("get_world_size", count), ("get_backend", "gloo")):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "broadcast", lambda tensor, src: None)


@pytest.mark.parametrize("text", ORDERED)
def test_processes_share_what_one_would_read(
    text: str, at_home: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sample by sample, crops and mirrors too; a state saved by one fits all, in any number."""
    alone = _samples(net(text), 16)
    parts = []
    for rank in range(2):
        in_process(monkeypatch, rank, 2)
        made = net(text)
        parts.append(_samples(made, 4))
        state = state_of(made)
    assert state["samples"] == 24
    for rank in range(4):
        in_process(monkeypatch, rank, 4)
        parts.append(_samples(resumed(text, state), 2))
    assert parts[0] == alone[0:24:2]
    assert parts[1] == alone[1:24:2]
    for rank in range(4):
        assert parts[2 + rank] == alone[24 + rank : 48 : 4]


def _samples(made: Net, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        made.forward()
        found += [row.tobytes() for row in made.blobs["data"].data]
    return found


def test_windows_of_processes_differ(at_home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = []
    for rank in range(2):
        in_process(monkeypatch, rank, 2)
        parts.append(_samples(net(LAYERS["WindowData"]), 4))
    assert parts[0] != parts[1]


@pytest.mark.parametrize("text", ORDERED)
def test_progress_counts_samples_and_passes(text: str, at_home: None) -> None:
    made = net(text)
    node = made.nodes[0]
    assert node.layer.progress(node.runtime) == Progress(0, SIZE)
    batches(made, 3)
    assert node.layer.progress(node.runtime) == Progress(9, SIZE)
    assert Progress(9, SIZE).epochs == 9 / 7


def test_window_data_has_no_passes(at_home: None) -> None:
    node = net(LAYERS["WindowData"]).nodes[0]
    assert node.layer.progress(node.runtime) is None


def test_memory_data_goes_on_in_the_arrays_set_before(at_home: None) -> None:
    text = 'type: "MemoryData" memory_data_param { batch_size: 2 channels: 1 height: 1 width: 3 }'
    arrays = np.arange(18, dtype=np.float32).reshape(6, 1, 1, 3), np.arange(6)
    made = net(text)
    node = made.nodes[0]
    assert node.layer.progress(node.runtime) is None
    node.layer.set_input_arrays(node.runtime, *arrays)
    batches(made, 4)
    again = net(text)
    node = again.nodes[0]
    node.layer.set_input_arrays(node.runtime, *arrays)
    node.layer.load_state(node.runtime, state_of(made))
    assert node.layer.progress(node.runtime) == Progress(8, 6)
    assert batches(again, 3) == batches(made, 3)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"seed": 3}, "samples of the saved state is None, allowed: a whole number from 0 on"),
        (
            {"seed": 3, "samples": -1},
            "samples of the saved state is -1, allowed: a whole number from 0 on",
        ),
        (
            {"seed": "x", "samples": 1},
            "seed of the saved state is 'x', allowed: a whole number from 0 on",
        ),
    ],
)
def test_bad_state(state: dict[str, Any], message: str, at_home: None) -> None:
    node = net(LAYERS["Data raw"]).nodes[0]
    with pytest.raises(AdaptionError) as caught:
        node.layer.load_state(node.runtime, state)
    assert str(caught.value) == message


def data_threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name == "adaption-data"}


@pytest.mark.parametrize("end", ["release", "collect", "error"])
def test_threads_end_with_the_net(end: str, at_home: None) -> None:
    gc.collect()
    before = data_threads()
    made = net(LAYERS["ImageData random"])
    made.forward()
    threads = data_threads() - before
    assert threads
    if end == "release":
        made.release()
    elif end == "collect":
        del made
        gc.collect()
    else:
        made.nodes[0].runtime.state["feed"]._next = _raise
        with pytest.raises(DataError):
            made.forward()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def _raise() -> Any:
    raise DataError("cannot be read")


def test_a_batch_that_failed_is_tried_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    Path("list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(SIZE)))
    want = batches(net(LAYERS["ImageData"]), 3)
    good = Path("4.png").read_bytes()
    Path("4.png").write_bytes(b"no image")
    made = net(LAYERS["ImageData"])
    found = batches(made, 1)
    for _ in range(2):
        with pytest.raises(AdaptionError, match=r'4.png: layer "d" \(ImageData\): is no image'):
            made.forward()
    Path("4.png").write_bytes(good)
    assert found + batches(made, 2) == want


def test_a_layer_without_state_refuses_one(at_home: None) -> None:
    text = 'type: "DummyData" dummy_data_param { shape { dim: 1 } }'
    node = net(text).nodes[0]
    assert node.layer.save_state(node.runtime) == {}
    node.layer.load_state(node.runtime, {})
    with pytest.raises(AdaptionError) as caught:
        node.layer.load_state(node.runtime, {"seed": 1})
    assert str(caught.value) == "has no state, but seed was saved for it"


def test_records_are_found_without_walking_every_pass(
    at_home: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    _count_passes(monkeypatch, passes)
    made = resumed(LAYERS["Data raw"], {"seed": 0, "samples": 7 * 1000 + 2})
    made.forward()
    assert made.blobs["label"].data.tolist() == [2, 3, 4]
    assert [skip for skip in passes if skip][:2] == [7002, 2]


def _count_passes(monkeypatch: pytest.MonkeyPatch, passes: list[int]) -> None:
    original = LmdbSource.records

    def counted(self: DatumSource, skip: int = 0, step: int = 1) -> Iterator[Any]:
        passes.append(skip)
        return original(self, skip, step)

    monkeypatch.setattr(LmdbSource, "records", counted)
