"""caffemodel_h5.py: weights in HDF5, and links that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adaption.errors import FileFormatError, WeightsError
from adaption.io.caffemodel import LayerWeights, WeightBlob, read_weights, write_weights
from adaption.io.file_bytes import FileValues
from tests.io.weight_files import layers, same


def test_hdf5_of_the_original(shared: Path) -> None:
    folder = shared / "models" / "cmsisnn_cifar10_m7"
    got = read_weights(folder / "float.caffemodel.h5")
    assert [blob.shape for blob in got.get("conv1").blobs] == [(32, 3, 5, 5), (32,)]  # type: ignore[union-attr]
    assert got.get("relu1").blobs == []  # type: ignore[union-attr]
    for name in ("sgd", "adam"):
        path = shared / "golden" / "solvers" / f"{name}_hdf5_snapshot_iter_5.caffemodel.h5"
        with np.load(path.with_name(f"{name}_hdf5_snapshot.npz")) as want:
            assert read_weights(path).get("ip1").blobs[0].shape == want["param.ip1.0"].shape  # type: ignore[union-attr]


def test_hdf5_write_read_is_the_identity(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    write_weights(path, layers())
    same(read_weights(path), layers(), types=False, legacy=False)
    with h5py.File(path) as file:
        assert sorted(file["data"]) == ["bn", "conv1", "data", "fire2", "prob"]
        assert list(file["data/conv1"]) == ["0", "1"]
        assert list(file["data/fire2/ü 1x1"]) == ["0"]
        assert file["data/conv1/0"].dtype == np.float32
    with pytest.raises(FileFormatError, match="holds no net definition"):
        read_weights(path).definition()


def test_hdf5_values_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel.h5"
    write_weights(path, layers())
    blob = read_weights(path).layers[1].blobs[0]
    assert isinstance(blob.pieces[0], FileValues) and not blob.array().flags.writeable


def test_hdf5_that_points_to_other_files_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        file.create_group("data/ip")["0"] = h5py.ExternalLink("/etc/passwd", "/x")
    with pytest.raises(FileFormatError) as caught:
        read_weights(path)
    assert str(caught.value) == (
        f"{path}: '/data/ip/0' points to another file, which is not followed\n"
        "  fix: write the arrays into one file"
    )
    with h5py.File(path, "w") as file:
        file.create_dataset("data/ip/0", (4,), "f4", external=[(str(path), 0, 16)])
    with pytest.raises(FileFormatError, match="points to another file"):
        read_weights(path)


@pytest.mark.parametrize("way", ["external link", "soft link through one", "virtual", "raw file"])
def test_hdf5_is_not_followed_out_of_the_file(way: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    other, path = tmp_path / "other.h5", tmp_path / "net.caffemodel.h5"
    with h5py.File(other, "w") as file:
        file["data/ip/0"] = np.full((2, 2), 7, "f4")
    with h5py.File(path, "w") as file:
        file["padding"] = np.full(1000, 1234.5, "f4")
        if way == "external link":
            file["data"] = h5py.ExternalLink("other.h5", "/data")
        elif way == "soft link through one":
            file["elsewhere"] = h5py.ExternalLink("other.h5", "/")
            file["data"] = h5py.SoftLink("/elsewhere/data")
        elif way == "virtual":
            layout = h5py.VirtualLayout((2, 2), "f4")
            layout[:] = h5py.VirtualSource("other.h5", "data/ip/0", (2, 2))
            file.create_virtual_dataset("data/ip/0", layout)
        else:
            file.create_dataset("data/ip/0", (4,), "f4", external=[(str(other), 0, 16)])
    with pytest.raises(FileFormatError, match="points to another file, which is not followed"):
        read_weights(path)


def test_hdf5_of_endless_links(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("data")
        for _ in range(40):  # two ways from each to the next: 2^40 groups by their paths
            inner = group.create_group("a")
            group["b"] = inner
            group = inner
    with pytest.raises(FileFormatError, match="is in the file by another name as well"):
        read_weights(path)


def test_hdf5_that_contains_itself(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("data/a")
        group["a"] = group
    with pytest.raises(FileFormatError, match="group 'a/a' is in the file by another name"):
        read_weights(path)


def test_hdf5_of_deep_groups(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        file["data/" + "a/" * 200 + "0"] = np.ones(3)
    with pytest.raises(FileFormatError, match="groups nest too deep at 'a/a/a/"):
        read_weights(path)


def test_hdf5_layer_by_two_names(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        file["data/ip/0"] = np.ones(3)
        file["data/same"] = file["data/ip"]  # a layer, which holds no groups
    assert [layer.name for layer in read_weights(path).layers] == ["ip", "same"]


def test_hdf5_shared_parameter_and_packed_data(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        file["data/ip/1"] = np.arange(3.0)  # double; blob 0 belongs to another layer
        file.create_dataset("data/ip2/0", data=np.ones((4, 4), ">f4"), compression="gzip")
    got = read_weights(path)
    assert [blob.has_data for blob in got.layers[0].blobs] == [False, True]
    np.testing.assert_array_equal(got.layers[0].blobs[1].array(), [0, 1, 2])
    np.testing.assert_array_equal(got.layers[1].blobs[0].array(), np.ones((4, 4)))
    write_weights(path, got)
    assert [blob.has_data for blob in read_weights(path).layers[0].blobs] == [False, True]


@pytest.mark.parametrize("name", ["/conv", "", "a//b", "a/", ".", "a/../b"])
def test_name_that_cannot_be_a_group(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel.h5"
    with pytest.raises(WeightsError) as caught:
        write_weights(path, [LayerWeights(name, "ReLU", [])])
    assert str(caught.value) == (
        f"the layer name {name!r} cannot be an HDF5 group\n"
        "  fix: write a .caffemodel instead of .h5"
    )
    assert not path.exists()


def test_layer_name_that_is_a_blob_of_another(tmp_path: Path) -> None:
    blob = WeightBlob.of([1.0])
    with pytest.raises(WeightsError, match=r'layer "a/0" \(B\): its name or blobs are taken by'):
        write_weights(
            tmp_path / "x.h5", [LayerWeights("a", "A", [blob]), LayerWeights("a/0", "B", [blob])]
        )
