"""pycaffe's Net between nets and files: share_with, save_hdf5, load_hdf5, set_input_arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adaption.pycaffe as caffe
from adaption.errors import DataError, FileFormatError, UsageError, WeightsError
from adaption.io.kinds import kind_of
from tests.net.nets import data, euclidean, inner_product, layer, lp_inner_product

X = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)


def write(folder: Path, name: str, text: str) -> str:
    file = folder / f"{name}.prototxt"
    file.write_text(text)
    return str(file)


@pytest.fixture
def path(tmp_path: Path) -> str:
    batch_norm = layer("BatchNorm", "bn", "q")
    text = data(4, 3) + inner_product("ip", "data", 5) + lp_inner_product("q", "ip") + batch_norm
    return write(tmp_path, "net", text + "force_backward: true\n")


# -- share_with ----------------------------------------------------------------------------------


def test_shared_weights_are_one(path: str) -> None:
    one, two = caffe.Net(path, caffe.TRAIN), caffe.Net(path, caffe.TEST)
    two.share_with(one)
    for name in ("ip", "q"):
        for a, b in zip(one.params[name], two.params[name], strict=True):
            assert np.shares_memory(a.data, b.data)
    one.forward(data=X)  # in TRAIN, it adds to the statistics of bn
    a, b = one.params["bn"][2].data, two.params["bn"][2].data
    assert a[0] == b[0] == 1


@pytest.mark.parametrize("writer", [0, 1])
def test_a_write_to_either_net_reaches_both(path: str, writer: int) -> None:
    """Also the rounded weights, which a net keeps as long as its own blobs stay the same."""
    nets = [caffe.Net(path, caffe.TEST), caffe.Net(path, caffe.TEST)]
    nets[1].share_with(nets[0])
    for net in nets:
        net.params["bn"][2].data[...] = 1
        net.forward(data=X)
    for name in ("ip", "q"):
        nets[writer].params[name][0].data[...] *= -0.5
    alone = caffe.Net(path, caffe.TEST)
    for name, blobs in alone.params.items():
        for own, blob in zip(blobs, nets[writer].params[name], strict=True):
            own.data[...] = blob.data
    want = alone.forward(data=X)["bn"]
    for net in nets:
        np.testing.assert_allclose(net.forward(data=X)["bn"], want, rtol=1e-6)


def test_diffs_stay_apart(path: str) -> None:
    one, two = caffe.Net(path, caffe.TRAIN), caffe.Net(path, caffe.TRAIN)
    two.share_with(one)
    two.forward(data=X)
    two.backward(bn=np.random.default_rng(2).normal(size=(4, 3)))
    assert two.params["ip"][0].diff.any()
    assert not one.params["ip"][0].diff.any()


def test_layers_of_other_names_are_left_alone(path: str, tmp_path: Path) -> None:
    small = caffe.Net(write(tmp_path, "small", data(4, 3) + inner_product("ip", "data", 5)), 1)
    whole = caffe.Net(path, caffe.TEST)
    before = whole.params["q"][0].data.copy()
    whole.share_with(small)
    assert np.shares_memory(whole.params["ip"][0].data, small.params["ip"][0].data)
    np.testing.assert_array_equal(whole.params["q"][0].data, before)


def test_layers_that_differ_are_refused(path: str, tmp_path: Path) -> None:
    other = caffe.Net(write(tmp_path, "other", data(4, 3) + inner_product("ip", "data", 6)), 1)
    net = caffe.Net(path, caffe.TEST)
    with pytest.raises(WeightsError) as caught:
        net.share_with(other)
    assert str(caught.value) == (
        f'{path}: blobs to share differ: "ip" ([(5, 3), (5,)] here, [(6, 3), (6,)] there)\n'
        "  fix: share between nets whose layers of one name are alike"
    )


def test_parameters_shared_inside_a_net_stay_shared(tmp_path: Path) -> None:
    """`param { name }` in both nets, between layers of different shape."""

    def bias(name: str, bottom: str, outputs: int) -> str:
        share = 'param { name: "w" share_mode: PERMISSIVE }'
        return inner_product(name, bottom, outputs, share, "bias_term: false")

    text = data(1, 2) + data(1, 3, name="b") + bias("one", "data", 3) + bias("two", "b", 2)
    file = write(tmp_path, "shared", text)
    source, target = caffe.Net(file, caffe.TEST), caffe.Net(file, caffe.TEST)
    target.share_with(source)
    source.params["one"][0].data[...] = 7
    for blobs in target.params.values():
        np.testing.assert_array_equal(blobs[0].data, np.full(blobs[0].shape, 7))


# -- HDF5 ----------------------------------------------------------------------------------------


def test_save_hdf5_and_load_hdf5(path: str, tmp_path: Path) -> None:
    net, twin = caffe.Net(path, caffe.TEST), caffe.Net(path, caffe.TEST)
    file = tmp_path / "weights.dat"  # HDF5 whatever the name says
    net.save_hdf5(file)
    assert kind_of(file) == "hdf5"
    twin.load_hdf5(file)
    for name, blobs in net.params.items():
        for got, want in zip(twin.params[name], blobs, strict=True):
            np.testing.assert_array_equal(got.data, want.data)


def test_load_hdf5_of_a_caffemodel(path: str, tmp_path: Path) -> None:
    net = caffe.Net(path, caffe.TEST)
    file = tmp_path / "net.caffemodel"
    net.save(file)
    with pytest.raises(FileFormatError) as caught:
        net.load_hdf5(file)
    assert "HDF5 weights" in str(caught.value) and "copy_from" in str(caught.value)


# -- MemoryData ----------------------------------------------------------------------------------


@pytest.fixture
def memory(tmp_path: Path) -> caffe.Net:
    param = "memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 }"
    return caffe.Net(
        write(tmp_path, "memory", layer("MemoryData", "d", "", "data label", param)), caffe.TEST
    )


def test_set_input_arrays(memory: caffe.Net) -> None:
    images = np.arange(24, dtype=np.float32).reshape(4, 1, 2, 3)
    labels = np.arange(4, dtype=np.float32)
    memory.set_input_arrays(images, labels)
    for start in (0, 2, 0):
        made = memory.forward()
        np.testing.assert_array_equal(made["data"], images[start : start + 2])
        np.testing.assert_array_equal(made["label"].ravel(), labels[start : start + 2])


def test_set_input_arrays_names_the_layer(memory: caffe.Net) -> None:
    with pytest.raises(DataError, match=r'layer "d" \(MemoryData\): data holds 3 samples'):
        memory.set_input_arrays(np.zeros((3, 1, 2, 3)), np.zeros(3))


# -- forward_backward_all ------------------------------------------------------------------------


def test_forward_backward_all_with_a_loss(tmp_path: Path) -> None:
    """One value of the loss per batch; pycaffe fails on blobs without axes."""
    text = data(2, 3) + data(2, 5, name="t") + inner_product("ip", "data", 5)
    net = caffe.Net(write(tmp_path, "loss", text + euclidean("loss", "ip t")), caffe.TRAIN)
    x = np.random.default_rng(3).normal(size=(5, 3))
    out, diff = net.forward_backward_all(diffs=["ip"], data=x, t=np.zeros((5, 5)))
    assert out["loss"].shape == (3,)
    assert diff["ip"].shape == (5, 5) and diff["ip"].any()


@pytest.mark.parametrize(
    ("arrays", "found"), [({}, "[]"), ({"dta": X}, "['dta']")], ids=["none", "unknown"]
)
def test_forward_backward_all_of_wrong_names(path: str, arrays: dict[str, Any], found: str) -> None:
    with pytest.raises(UsageError) as caught:
        caffe.Net(path, caffe.TEST).forward_backward_all(**arrays)
    assert str(caught.value) == (
        f"forward_backward_all is given {found}\n  fix: the inputs are ['data'], the outputs ['bn']"
    )
