"""The data layers against what the original Caffe gave for the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adaption.errors import MissingExtraError
from adaption.net.net import Net

CASES = [
    "hdf5_big_batch",
    "hdf5_multi_file",
    "leveldb_plain",
    "lmdb_crop_center",
    "lmdb_float_data",
    "lmdb_mean_file",
    "lmdb_mean_value_one",
    "lmdb_plain",
    "lmdb_scale",
    "lmdb_train",
    "memory_data",
]
LEFT_OUT = ["hdf5_output"]  # HDF5Output writes data, it is no data layer


def test_every_golden_case_is_in_the_list(shared: Path) -> None:
    folder = shared / "golden" / "data_layers"
    assert sorted(p.stem for p in folder.glob("*.npz")) == sorted(CASES + LEFT_OUT)


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared / "golden" / "data_layers")
    with np.load(f"{case}.npz") as file:
        want = {name: file[name] for name in file.files}
    meta: dict[str, Any] = json.loads(str(want["meta"]))
    try:
        net = Net(f"{case}.prototxt", phase=meta["phase"])
    except MissingExtraError as error:
        pytest.skip(str(error))
    if "mem.data" in want:
        node = net.nodes[0]
        node.layer.set_input_arrays(node.runtime, want["mem.data"], want["mem.label"])
    for k in range(meta["batches"]):
        net.forward()
        blobs = {key for key in want if key.startswith(f"batch.{k}.")}
        assert blobs
        for key in blobs:
            found = net.blobs[key.removeprefix(f"batch.{k}.")].data
            assert np.array_equal(found, want[key]), key
