"""What the goldens of the data layers leave open: randomness, files of images, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import lmdb
import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image

from adaption.errors import AdaptionError
from adaption.graph import NetState, build_spec
from adaption.net.net import Net
from adaption.proto import caffe_pb2


def net(text: str, phase: str = "TEST", seed: int = 0) -> Net:
    message = text_format.Parse(text, caffe_pb2.NetParameter())
    return Net(build_spec(message, NetState(phase)), phase=phase, seed=seed)


def labels(made: Net, passes: int) -> list[int]:
    found = []
    for _ in range(passes):
        made.forward()
        found += made.blobs["label"].data.ravel().astype(int).tolist()
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def images(folder: Path) -> Path:
    (folder / "img").mkdir()
    for i in range(6):
        Image.new("RGB", (6, 4), (i, 10, 20)).save(folder / "img" / f"{i}.png")
    (folder / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(6)))
    return folder


@pytest.fixture
def ten(folder: Path) -> Path:
    env = lmdb.open(str(folder / "db"), map_size=1 << 20)
    with env.begin(write=True) as transaction:
        for i in range(10):
            datum = caffe_pb2.Datum(
                channels=1, height=2, width=2, data=bytes([i, 1, 2, 3]), label=i
            )
            transaction.put(b"%02d" % i, datum.SerializeToString())
    env.close()
    return folder


def image_data(more: str = "", transform: str = "", size: int = 4) -> str:
    return (
        'layer { name: "d" type: "ImageData" top: "data" top: "label"'
        f" transform_param {{ {transform} }} image_data_param {{"
        f' source: "list.txt" root_folder: "img/" batch_size: {size} {more} }} }}'
    )


def data(more: str = "", transform: str = "", source: str = "db") -> str:
    return (
        'layer { name: "d" type: "Data" top: "data" top: "label"'
        f" transform_param {{ {transform} }} data_param {{"
        f' source: "{source}" batch_size: 4 backend: LMDB {more} }} }}'
    )


def test_image_data_wraps_around(images: Path) -> None:
    made = net(image_data())
    assert made.blobs["data"].shape == (4, 3, 4, 6)
    assert labels(made, 3) == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]
    assert made.blobs["data"].data[:, 2, 0, 0].tolist() == [2, 3, 4, 5]


def test_image_data_resizes_crops_and_turns_grey(images: Path) -> None:
    made = net(image_data("new_height: 8 new_width: 9 is_color: false", "crop_size: 7"))
    assert made.blobs["data"].shape == (4, 1, 7, 7)
    made.forward()
    assert np.unique(made.blobs["data"].data).tolist() == [8.0, 9.0]  # reds 0..3 turned grey


def test_image_data_shuffles_anew_every_round_and_by_the_seed(images: Path) -> None:
    text = image_data("shuffle: true", size=6)
    order = labels(net(text, seed=1), 3)
    rounds = [order[i : i + 6] for i in (0, 6, 12)]
    assert all(sorted(r) == list(range(6)) for r in rounds)
    assert rounds[0] != rounds[1]
    assert labels(net(text, seed=1), 3) == order
    assert labels(net(text, seed=2), 3) != order


def test_image_data_skips_at_random(images: Path) -> None:
    starts = {labels(net(image_data("rand_skip: 3", size=1), seed=s), 1)[0] for s in range(30)}
    assert starts == {0, 1, 2}


def test_batches_of_one_may_change_shape(images: Path) -> None:
    Image.new("RGB", (2, 3)).save(images / "img" / "1.png")
    made = net(image_data(size=1))
    shapes = []
    for _ in range(3):
        made.forward()
        shapes.append(made.blobs["data"].shape)
    assert shapes == [(1, 3, 4, 6), (1, 3, 3, 2), (1, 3, 4, 6)]


def test_data_skips_at_random(ten: Path) -> None:
    starts = {labels(net(data("rand_skip: 3"), seed=s), 1)[0] for s in range(30)}
    assert starts == {0, 1, 2}


def test_two_nets_read_one_lmdb_each_from_its_start(ten: Path) -> None:
    first, second = net(data()), net(data())
    assert labels(first, 2) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert labels(second, 1) == [0, 1, 2, 3]


def test_random_crop_in_train_comes_from_the_seed(ten: Path) -> None:
    def corners(phase: str, seed: int) -> list[float]:
        made = net(data(transform="crop_size: 1"), phase, seed)
        found: list[float] = []
        for _ in range(5):
            made.forward()
            found += made.blobs["data"].data.ravel().tolist()
        return found

    assert corners("TEST", 0) == [i % 10 for i in range(20)]
    assert corners("TRAIN", 0) == corners("TRAIN", 0) != corners("TRAIN", 1)
    assert {1.0, 2.0, 3.0} < set(corners("TRAIN", 0))


def test_data_without_labels_top(ten: Path) -> None:
    made = net(data().replace('top: "label"', ""))
    assert list(made.forward()) == ["data"]


def test_training_processes_share_the_records(ten: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    assert labels(net(data(), "TRAIN"), 2) == [1, 4, 7, 0, 3, 6, 9, 2]
    assert labels(net(data(), "TEST"), 1) == [0, 1, 2, 3]


def put_h5(path: str, first: int, count: int, **more: Any) -> None:
    with h5py.File(path, "w") as file:
        file["label"] = np.arange(first, first + count, dtype=np.float64)
        for name, value in more.items():
            file[name] = value


HDF5 = (
    'layer { name: "d" type: "HDF5Data" top: "label" hdf5_data_param { source: "all.txt"'
    " batch_size: 4 shuffle: %s } }"
)


def test_hdf5_shuffles_files_and_rows(folder: Path) -> None:
    for i in range(3):
        put_h5(f"{i}.h5", 10 * i, 4)
    Path("all.txt").write_text("0.h5\n1.h5\n2.h5\n")
    order = labels(net(HDF5 % "true", seed=3), 6)
    everything = [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]
    assert sorted(order[:12]) == sorted(order[12:]) == everything
    assert order[:12] != order[12:]
    assert order[:12] != everything
    assert all(len({v // 10 for v in order[i : i + 4]}) == 1 for i in range(0, 24, 4))  # by file
    assert labels(net(HDF5 % "true", seed=3), 6) == order


def test_hdf5_rows_are_shared_by_training_processes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    put_h5("0.h5", 0, 3)
    put_h5("1.h5", 3, 4)
    Path("all.txt").write_text("0.h5 1.h5")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 2)
    assert labels(net(HDF5 % "false", "TRAIN"), 2) == [2, 6, 3, 0, 4, 1, 5, 2]


def test_dummy_data(folder: Path) -> None:
    made = net(
        'layer { name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {'
        " shape { dim: 2 dim: 3 } shape { dim: 500 }"
        ' data_filler { value: 4 } data_filler { type: "gaussian" std: 2 } } }'
    )
    made.forward()
    first = made.blobs["b"].data.copy()
    assert made.blobs["a"].data.tolist() == [[4.0] * 3] * 2
    assert 1.7 < first.std() < 2.3
    made.blobs["a"].data[...] = 7
    made.forward()
    assert made.blobs["a"].data.tolist() == [[7.0] * 3] * 2  # a constant is filled only once
    assert not np.array_equal(made.blobs["b"].data, first)


def test_constant_dummy_data_is_there_before_the_first_pass(folder: Path) -> None:
    made = net(
        'layer { name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {'
        ' shape { dim: 2 } data_filler { value: 3 } data_filler { type: "gaussian" } } }'
    )
    assert made.blobs["a"].data.tolist() == [3, 3] and made.blobs["b"].data.tolist() == [0, 0]
    made.blobs["a"].data[0] = 5  # what is written stays, as in Caffe
    made.forward()
    assert made.blobs["a"].data.tolist() == [5, 3] and made.blobs["b"].data.all()


def test_dummy_data_with_legacy_dimensions_and_one_for_all(folder: Path) -> None:
    made = net(
        'layer { name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {'
        " num: 5 channels: 1 channels: 2 height: 3 width: 4 } }"
    )
    made.forward()
    assert made.blobs["a"].shape == (5, 1, 3, 4)
    assert made.blobs["b"].data.shape == (5, 2, 3, 4)
    assert not made.blobs["b"].data.any()


MEMORY = (
    'layer { name: "d" type: "MemoryData" top: "data" top: "label"'
    " memory_data_param { batch_size: 2 channels: 1 height: 1 width: 3 } }"
)


def test_memory_data_keeps_the_callers_arrays_as_they_are() -> None:
    made = net(MEMORY)
    node = made.nodes[0]
    data = np.arange(12, dtype=np.float32).reshape(4, 1, 1, 3)
    node.layer.set_input_arrays(node.runtime, data, np.arange(4, dtype=np.float32))
    assert labels(made, 4) == [0, 1, 2, 3, 0, 1, 2, 3]
    made.blobs["data"].data[...] = -1
    assert data.ravel().tolist() == list(range(12))
    data += 100
    made.forward()
    assert made.blobs["data"].data.ravel().tolist() == [100, 101, 102, 103, 104, 105]


@pytest.mark.parametrize(
    ("shape", "count", "message"),
    [
        ((4, 1, 3), 4, "data has shape (4, 1, 3), the layer takes (n, 1, 1, 3)"),
        (
            (3, 1, 1, 3),
            3,
            "data holds 3 samples, a multiple of batch_size (2) is needed",
        ),
        ((4, 1, 1, 3), 3, "labels holds 3 values for 4 samples"),
    ],
)
def test_memory_data_refuses(shape: tuple[int, ...], count: int, message: str) -> None:
    node = net(MEMORY).nodes[0]
    with pytest.raises(AdaptionError) as caught:
        node.layer.set_input_arrays(node.runtime, np.zeros(shape), np.zeros(count))
    assert str(caught.value) == message


def with_list(text: str) -> None:
    Path("list.txt").write_text(text)


def with_h5(text: str, **more: Any) -> None:
    put_h5("0.h5", 0, 3, **more)
    Path("all.txt").write_text(text)


@pytest.mark.parametrize(
    ("prepare", "text", "message"),
    [
        pytest.param(
            None,
            data(source="nowhere"),
            'nowhere: layer "d" (Data): no such file or folder\n  fix: correct data_param.source;'
            " it is relative to the working directory, {p}",
            id="Data: no such folder",
        ),
        pytest.param(
            lambda: with_list("a.png 1\n"),
            data(source="lst.txt"),
            'lst.txt: layer "d" (Data): no such file or folder\n  fix: did you mean list.txt?'
            " correct data_param.source; it is relative to the working directory, {p}",
            id="Data: nearly the folder",
        ),
        pytest.param(
            None,
            data(source="."),
            '.: layer "d" (Data): is no LMDB and no LevelDB\n  fix: make one with convert_imageset,'
            " or use an ImageData or HDF5Data layer",
            id="Data: another folder",
        ),
        pytest.param(
            None,
            data(source=""),
            "layer \"d\" (Data): data_param.source is '', allowed: the path of the data",
            id="Data: no source",
        ),
        pytest.param(
            None,
            data().replace("batch_size: 4", ""),
            'layer "d" (Data): data_param.batch_size is 0, allowed: 1 or more',
            id="Data: no batch size",
        ),
        pytest.param(
            lambda: with_list("a.png\n"),
            image_data(),
            'list.txt: layer "d" (ImageData): lists no files with labels\n  fix: write `file label`'
            " on every line, label 0 where there are no classes",
            id="ImageData: no labels",
        ),
        pytest.param(
            lambda: with_list("a.png 1\n"),
            image_data(),
            'img/a.png: layer "d" (ImageData): no such file',
            id="ImageData: no such image",
        ),
        pytest.param(
            None,
            image_data("new_height: 3"),
            'layer "d" (ImageData): image_data_param.new_width is 0, allowed: 1 or more beside'
            " new_height",
            id="ImageData: one side",
        ),
        pytest.param(
            lambda: with_h5("0.h5 "),
            HDF5.replace('"label"', '"data"') % "false",
            "0.h5: layer \"d\" (HDF5Data): holds no data set 'data' for the top of that name; it"
            " holds label\n  fix: name the data sets as the tops",
            id="HDF5Data: data set",
        ),
        pytest.param(
            lambda: with_h5("", data=[1, 2]),
            HDF5 % "false",
            'all.txt: layer "d" (HDF5Data): lists no HDF5 files\n  fix: write one file name per'
            " line",
            id="HDF5Data: empty list",
        ),
        pytest.param(
            lambda: with_h5("0.h5", data=[1, 2]),
            HDF5.replace('top: "label"', 'top: "label" top: "data"') % "false",
            '0.h5: layer "d" (HDF5Data): the data sets have different numbers of rows: label 3,'
            " data 2",
            id="HDF5Data: rows",
        ),
        pytest.param(
            lambda: with_h5("1.h5"),
            HDF5 % "false",
            '1.h5: layer "d" (HDF5Data): no such file\n  fix: did you mean 0.h5? paths in the list'
            " are relative to the working directory",
            id="HDF5Data: file",
        ),
        pytest.param(
            lambda: with_h5("0.h5"),
            (HDF5 % "false").replace("hdf5_data_param", "transform_param {} hdf5_data_param"),
            'layer "d" (HDF5Data): has a transform_param, but HDF5Data does not transform data\n'
            "  fix: remove it, and store the data as the net takes it",
            id="HDF5Data: transform",
        ),
        pytest.param(
            None,
            'layer { name: "d" type: "DummyData" top: "a" top: "b" top: "c" dummy_data_param {'
            " shape { dim: 1 } shape { dim: 2 } } }",
            "layer \"d\" (DummyData): dummy_data_param.shape is '2 times', allowed: one, or one per"
            " top (3)",
            id="DummyData: shapes",
        ),
        pytest.param(
            None,
            MEMORY.replace("height: 1", ""),
            'layer "d" (MemoryData): memory_data_param.height is 0, allowed: 1 or more',
            id="MemoryData: height",
        ),
    ],
)
def test_bad_layer(prepare: Any, text: str, message: str, folder: Path) -> None:
    if prepare is not None:
        prepare()
    with pytest.raises(AdaptionError) as caught:
        net(text)
    assert str(caught.value) == message.format(p=folder)


def test_bad_image_in_a_batch(images: Path) -> None:
    made = net(image_data())
    (images / "img" / "2.png").write_text("x")
    with pytest.raises(AdaptionError) as caught:
        made.forward()
    assert str(caught.value) == ('img/2.png: layer "d" (ImageData): is no image that Pillow knows')


def test_images_of_different_size_in_a_batch(images: Path) -> None:
    Image.new("RGB", (2, 3)).save(images / "img" / "1.png")
    with pytest.raises(AdaptionError) as caught:
        net(image_data()).forward()
    assert str(caught.value) == (
        "layer \"d\" (ImageData): sample 'img/1.png' has shape (3, 3, 2), the first of its batch"
        " (3, 4, 6)\n  fix: resize the images to one size, or crop them with"
        " transform_param.crop_size"
    )


def test_memory_data_without_arrays() -> None:
    with pytest.raises(AdaptionError) as caught:
        net(MEMORY).forward()
    assert str(caught.value) == (
        'layer "d" (MemoryData): has no data yet\n'
        "  fix: call set_input_arrays(data, labels) before forward"
    )
