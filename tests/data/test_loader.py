"""loader.py: samples as batches of a net's input blobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adaption.data import Batches, Transform, open_source
from adaption.errors import AdaptionError


def image_folder(path: Path, count: int, size: tuple[int, int] = (4, 3)) -> Path:
    path.mkdir(exist_ok=True)
    for i in range(count):
        Image.new("RGB", size, (i, 10, 20)).save(path / f"{i:02d}.png")
    return path


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("workers", [0, 3])
def test_order_partial_batch_and_a_second_pass(tmp_path: Path, workers: int) -> None:
    source = open_source(image_folder(tmp_path, 11))
    batches = Batches(source, None, 4, {"data": (1, 3, 3, 4)}, workers=workers)
    assert (len(batches), batches.samples, batches.has_labels) == (3, 11, False)
    for _ in range(2):
        found = list(batches)
        assert [len(b.names) for b in found] == [4, 4, 3]
        assert [n for b in found for n in b.names] == [f"{i:02d}.png" for i in range(11)]
        reds = np.concatenate([b.blobs["data"][:, 2, 0, 0] for b in found])
        assert reds.tolist() == list(range(11))
        assert found[0].labels is None
        assert found[2].blobs["data"].shape == (3, 3, 3, 4)
        assert found[2].blobs["data"].dtype == np.float32


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1]), (4, [4]), (5, [4, 1]), (99, [4, 4, 3])])
def test_limit(tmp_path: Path, limit: int, sizes: list[int]) -> None:
    source = open_source(image_folder(tmp_path, 11))
    batches = Batches(source, None, 4, {"data": (1, 3, 3, 4)}, limit=limit)
    assert [len(b.names) for b in batches] == sizes
    assert len(batches) == len(sizes)


def test_leaving_early_is_harmless(tmp_path: Path) -> None:
    batches = Batches(open_source(image_folder(tmp_path, 11)), None, 2, {"d": (1, 3, 3, 4)})
    for _ in range(3):
        assert next(iter(batches)).names == ["00.png", "01.png"]


def test_skipped_samples_make_room_for_the_next(tmp_path: Path) -> None:
    image_folder(tmp_path, 5)
    (tmp_path / "01.png").write_text("x")
    source = open_source(tmp_path)
    batches = Batches(source, None, 3, {"data": (1, 3, 3, 4)}, limit=4)
    assert [b.names for b in batches] == [["00.png", "02.png", "03.png"], ["04.png"]]
    assert [s.name for s in source.skipped] == ["01.png"]
    assert batches.source.skipped == source.skipped


def test_grey_nets_get_grey_images(tmp_path: Path) -> None:
    source = open_source(image_folder(tmp_path, 1))
    batch = next(iter(Batches(source, None, 1, {"data": (1, 1, 3, 4)})))
    # (20 * 1868 + 10 * 9617 + 0 * 4899 + 8192) >> 14
    assert batch.blobs["data"].ravel().tolist() == [8.0] * 12


def test_transform_and_labels(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        image_folder(tmp_path / name, 2, (6, 5))
    transform = Transform(crop_size=4, mean_value=(20, 10, 0), scale=2)
    batches = Batches(open_source(tmp_path), transform, 9, {"data": (1, 3, 4, 4)})
    (batch,) = batches
    assert batch.labels is not None
    assert batch.labels.dtype == np.int64
    assert batch.labels.tolist() == [0, 0, 1, 1]
    assert batch.blobs["data"][:, :, 0, 0].tolist() == [[0, 0, 0], [0, 0, 2]] * 2


def test_mirror_is_the_same_on_every_pass_and_with_any_number_of_threads(tmp_path: Path) -> None:
    for i in range(12):
        Image.fromarray(np.array([[0, i + 1]], np.uint8)).save(tmp_path / f"{i:02d}.png")
    source = open_source(tmp_path)
    passes = [
        np.concatenate(
            [b.blobs["d"] for b in Batches(source, t, 5, {"d": (1, 1, 1, 2)}, workers=w)]
        )
        for t, w in [(Transform(mirror=True), 0), (Transform(mirror=True), 4)]
    ]
    assert np.array_equal(*passes)
    other = Batches(source, Transform(mirror=True), 12, {"d": (1, 1, 1, 2)}, seed=-1)
    assert not np.array_equal(next(iter(other)).blobs["d"], passes[0])
    flipped = (passes[0][:, 0, 0, 0] > 0).sum()
    assert 0 < flipped < 12


def test_a_net_with_a_label_input(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        image_folder(tmp_path / name, 1)
    inputs = {"data": (1, 3, 3, 4), "label": (1, 1, 1, 1)}
    (batch,) = Batches(open_source(tmp_path), None, 5, inputs)
    assert batch.blobs["label"].tolist() == [[[[0.0]]], [[[1.0]]]]


def test_arrays_pass_through_unchanged(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(5, 3, 2, 2))
    info = np.ones((5, 3))
    source = open_source(npz(tmp_path / "d.npz", data=data, im_info=info, label=np.arange(5)))
    inputs = {"data": (1, 3, 2, 2), "im_info": (1, 3)}
    batches = Batches(source, None, 3, inputs)
    found = list(batches)
    assert np.array_equal(np.concatenate([b.blobs["data"] for b in found]), data.astype(np.float32))
    assert found[1].labels is not None
    assert found[1].labels.tolist() == [3, 4]
    (scaled,) = Batches(source, Transform(scale=2), 5, inputs)
    assert np.array_equal(scaled.blobs["data"], data.astype(np.float32) * 2)
    assert np.array_equal(scaled.blobs["im_info"], info)


def test_one_array_fills_one_input_whatever_its_name(tmp_path: Path) -> None:
    path = npz(tmp_path / "d.npz", x=np.ones((2, 3)))
    batches = Batches(open_source(path), None, 2, {"data": (1, 3)})
    assert next(iter(batches)).blobs["data"].shape == (2, 3)
    assert batches.notes == [f'array "x" of {path} fills the input "data"']


def test_unused_arrays_are_named(tmp_path: Path) -> None:
    path = npz(tmp_path / "d.npz", data=np.ones((2, 3)), labels=np.ones(2))
    assert Batches(open_source(path), None, 2, {"data": (1, 3)}).notes == [
        f"{path}: the net has no input for labels; left out (class indices are read from 'label')"
    ]


def test_an_image_as_a_vector(tmp_path: Path) -> None:
    batches = Batches(open_source(image_folder(tmp_path, 1)), None, 2, {"data": (1, 36)})
    assert next(iter(batches)).blobs["data"].shape == (1, 36)


def test_label_maps_fill_a_label_input(tmp_path: Path) -> None:
    path = npz(tmp_path / "d.npz", data=np.ones((2, 3)), label=np.ones((2, 4, 4)))
    batches = Batches(open_source(path), None, 2, {"data": (1, 3), "label": (1, 4, 4)})
    (batch,) = batches
    assert batch.labels is None
    assert batch.blobs["label"].shape == (2, 4, 4)


@pytest.mark.parametrize(
    ("inputs", "transform", "message"),
    [
        pytest.param(
            {"data": (1, 3, 2, 2)},
            None,
            "{p}: sample '00.png' has shape 3x3x4, input \"data\" takes 3x2x2\n"
            "  fix: --crop 2 takes the centre, --resize 2x2 shrinks the whole image",
            id="too large",
        ),
        pytest.param(
            {"data": (1, 3, 6, 8)},
            None,
            "{p}: sample '00.png' has shape 3x3x4, input \"data\" takes 3x6x8\n"
            "  fix: --resize 6x8 stretches the image, --resize 8 --crop 6x8 keeps its aspect"
            " ratio",
            id="too small",
        ),
        pytest.param(
            {"data": (1, 2, 3, 4)},
            None,
            "{p}: sample '00.png' has shape 3x3x4, input \"data\" takes 2x3x4\n"
            "  fix: give data with 2 channels",
            id="channels",
        ),
        pytest.param(
            {"data": (1, 3, 9, 9)},
            Transform(crop_size=9),
            "{p}: sample '00.png': crop_size is '9x9', allowed: at most 3x4, the size of the"
            " image\n  fix: resize the images to a larger size, or crop less",
            id="crop",
        ),
        pytest.param(
            {"data": (1, 3, 3, 4), "im_info": (1, 3)},
            None,
            "{p}: gives one image per sample, the net has the inputs data, im_info\n"
            "  fix: give an .npz file with one array per input blob",
            id="two inputs",
        ),
        pytest.param({}, None, "{p}: the net has no input blobs to fill from it", id="no inputs"),
    ],
)
def test_images_that_do_not_fit(
    inputs: dict[str, tuple[int, ...]], transform: Transform | None, message: str, tmp_path: Path
) -> None:
    source = open_source(image_folder(tmp_path, 3))
    with pytest.raises(AdaptionError) as caught:
        list(Batches(source, transform, 2, inputs))
    assert str(caught.value) == message.format(p=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0, allowed: 1 or more"),
        ({"batch_size": 1, "limit": 0}, "limit is 0, allowed: 1 or more"),
    ],
)
def test_bad_numbers(arguments: dict[str, int], message: str, tmp_path: Path) -> None:
    source = open_source(image_folder(tmp_path, 1))
    with pytest.raises(AdaptionError) as caught:
        Batches(source, None, inputs={"data": (1, 3, 3, 4)}, **arguments)
    assert str(caught.value) == message


def test_arrays_that_do_not_fit(tmp_path: Path) -> None:
    path = npz(tmp_path / "d.npz", a=np.ones((2, 3)), b=np.ones((2, 3)), label=[0, 1])
    with pytest.raises(AdaptionError) as caught:
        Batches(open_source(path), None, 1, {"data": (1, 3)})
    assert str(caught.value) == (
        f'{path}: holds no array for the input "data"; it holds a, b, label\n'
        "  fix: name the arrays as the net's inputs: data, and label"
    )
    path = npz(tmp_path / "e.npz", data=np.ones((2, 3)))
    with pytest.raises(AdaptionError) as caught:
        list(Batches(open_source(path), None, 1, {"data": (1, 4)}))
    assert str(caught.value) == (
        f"{path}: sample '0' has shape 3, input \"data\" takes 4\n  fix: store samples of shape 4"
    )


def test_every_image_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("x")
    with pytest.raises(AdaptionError, match="none of 1 sample could be read"):
        list(Batches(open_source(tmp_path), None, 1, {"data": (1, 3, 2, 2)}))
