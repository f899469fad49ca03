from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from adaption.errors import AdaptionError
from tests.layers.snippets import error_of, net_of

OUTPUT = 'type: "HDF5Output" bottom: "x" bottom: "y" hdf5_output_param { file_name: "%s" }'
X, Y = np.arange(6).reshape(3, 2), np.array([4, 5, 6])


def test_data_sets_have_four_axes_as_the_original_writes_them(tmp_path: Path, shared: Path) -> None:
    golden = np.load(shared / "golden" / "data_layers" / "hdf5_output.npz", allow_pickle=False)
    data, label = golden["file.data"], golden["file.label"]
    path = tmp_path / "out.h5"
    net_of(OUTPUT % path, {"x": data[..., 0], "y": label[:, 0, 0, 0]}).forward()
    with h5py.File(path) as file:
        assert sorted(file) == ["data", "label"]
        for name, want in (("data", data), ("label", label)):
            assert file[name].dtype == np.float32
            np.testing.assert_array_equal(file[name], want)


def test_later_passes_add_their_samples(tmp_path: Path) -> None:
    net = net_of(OUTPUT % (tmp_path / "out.h5"), {"x": X, "y": Y})
    net.forward()
    net.forward({"x": X[:1] + 10, "y": Y[:1] + 10})
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["data"][..., 0, 0], [*X, X[0] + 10])
        np.testing.assert_array_equal(file["label"][:, 0, 0, 0], [4, 5, 6, 14])


def test_a_new_net_makes_the_file_anew(tmp_path: Path) -> None:
    for _ in range(2):
        net_of(OUTPUT % (tmp_path / "out.h5"), {"x": X, "y": Y}).forward()
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["label"].shape == (3, 1, 1, 1)


def test_the_original_stops_at_the_second_pass(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    net = net_of(OUTPUT % path, {"x": X, "y": Y}, original_semantics=True)
    net.forward()
    with pytest.raises(AdaptionError) as caught:
        net.forward()
    assert str(caught.value) == (
        f'layer "L" (HDF5Output): writes {str(path)!r} a second time, allowed: one forward pass\n'
        "  fix: run without original_semantics to add samples in each pass"
    )


def test_other_files_are_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(AdaptionError, match="is to be replaced by an HDF5 file but is none"):
        net_of(OUTPUT % path, {"x": X, "y": Y}).forward()
    assert path.read_text() == "mine"


def test_errors() -> None:
    assert error_of(OUTPUT % "", (3,), (3,), tops=0) == (
        "layer \"L\" (HDF5Output): hdf5_output_param.file_name is '', allowed: a path ending in .h5"
    )
    assert error_of(OUTPUT % "out.h5", (3, 2), (2,), tops=0) == (
        "bottoms have shapes (3, 2) and (2,), allowed: at most 4 axes, and as many samples"
    )
