"""Weights into a net and out of it: by layer name, plain and low precision, binary and HDF5."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adaption.errors import FileFormatError, UsageError, WeightsError
from adaption.io.caffemodel import LayerWeights, WeightBlob, Weights, read_weights, write_weights
from adaption.net import Net
from tests.net.nets import data, inner_product, layer, lp_inner_product, net_of, normal

HP = data(4, 3) + inner_product("a", "data") + inner_product("b", "a", own="bias_term: false")
LP = HP.replace("InnerProduct", "LPInnerProduct").replace(
    "inner_product_param", "lpfp_param { bd: 2 ad: 2 round_bias: true } inner_product_param"
)
SUFFIXES = pytest.mark.parametrize("suffix", [".caffemodel", ".caffemodel.h5"])


def arrays(net: Net) -> dict[str, list[np.ndarray[Any, Any]]]:
    return {name: [blob.data.copy() for blob in blobs] for name, blobs in net.params.items()}


def assert_equal(one: Any, two: Any) -> None:
    assert one.keys() == two.keys()
    for name, blobs in one.items():
        for i, blob in enumerate(blobs):
            np.testing.assert_array_equal(blob, two[name][i], err_msg=f"{name} {i}")


@SUFFIXES
@pytest.mark.parametrize("text", [HP, LP])
@pytest.mark.parametrize("original", [False, True])
def test_save_and_load_is_the_identity(
    tmp_path: Path, text: str, suffix: str, original: bool
) -> None:
    path = tmp_path / f"net{suffix}"
    net = net_of(text, seed=1, original_semantics=original)
    for blobs in net.params.values():
        blobs[0].data[0, 0] = np.nextafter(np.float32(1), np.float32(2))
    net.save(path)
    twin = net_of(text, path, seed=2, original_semantics=original)
    assert_equal(arrays(twin), arrays(net))
    twin.save(tmp_path / f"again{suffix}")
    if suffix == ".caffemodel":
        assert (tmp_path / f"again{suffix}").read_bytes() == path.read_bytes()


@SUFFIXES
def test_plain_weights_into_low_precision_layers_and_back(tmp_path: Path, suffix: str) -> None:
    plain, low = tmp_path / f"hp{suffix}", tmp_path / f"lp{suffix}"
    hp = net_of(HP, seed=1)
    hp.save(plain)
    lp = net_of(LP, plain, seed=2)
    a, b = lp.params["a"], lp.params["b"]
    assert [len(a), len(b)] == [4, 2]
    for i, blob in enumerate(hp.params["a"]):
        np.testing.assert_array_equal(a[2 * i].data, blob.data)
    np.testing.assert_array_equal(b[0].data, hp.params["b"][0].data)
    lp.save(low)
    assert_equal(arrays(net_of(HP, low, seed=3)), arrays(hp))


def test_original_semantics_refuses_plain_weights(tmp_path: Path) -> None:
    net_of(HP).save(tmp_path / "hp.caffemodel")
    net_of(LP).save(tmp_path / "lp.caffemodel")
    for text, name, want in (
        (LP, "hp", '"a" (2 blobs in the file, 4 in the net); "b" (1 blobs in the file, 2'),
        (HP, "lp", '"a" (4 blobs in the file, 2 in the net); "b" (2 blobs in the file, 1'),
    ):
        with pytest.raises(WeightsError) as caught:
            net_of(text, tmp_path / f"{name}.caffemodel", original_semantics=True)
        assert want in str(caught.value)


def test_a_saved_rounded_blob_is_fresh(tmp_path: Path) -> None:
    """In the original it is the rounding of the weights before the last update."""
    net = net_of(LP)
    net.forward()
    net.params["a"][0].data[...] = 0.3
    net.params["a"][2].data[...] = -0.4
    net.save(tmp_path / "net.caffemodel")
    blobs = read_weights(tmp_path / "net.caffemodel").get("a")
    assert blobs is not None
    _, w, _, b = (blob.array() for blob in blobs.blobs)
    assert (w == 0.25).all() and (b == -0.5).all()


def test_a_saved_rounded_bias_is_the_bias_when_it_is_not_rounded() -> None:
    net = net_of(LP.replace("round_bias: true", ""))
    net.params["a"][2].data[...] = 0.3
    saved = {w.name: [b.array() for b in w.blobs] for w in net.weights()}
    assert (saved["a"][3] == np.float32(0.3)).all()


def test_saving_draws_no_random_numbers(tmp_path: Path) -> None:
    """A run with snapshots is the run without."""
    text = LP.replace("round_bias: true", "rounding_scheme: STOCHASTIC")
    plain, saving = (net_of(text, seed=3) for _ in range(2))
    x = normal(4, 3)
    for _ in range(3):
        saving.save(tmp_path / "net.caffemodel")
        assert torch.equal(plain.forward(data=x)["b"], saving.forward(data=x)["b"])


# -- by name -------------------------------------------------------------------------------------


def weights_of(**layers: list[Any]) -> Weights:
    made = [
        LayerWeights(name, "InnerProduct", [WeightBlob.of(np.asarray(b, np.float32)) for b in bs])
        for name, bs in layers.items()
    ]
    return Weights(made, name="other", file="other.caffemodel")


FITS_A = [np.full((3, 3), 7), np.full(3, 8)]


def test_layers_are_matched_by_name_and_the_rest_is_reported() -> None:
    net = net_of(HP + layer("ReLU", "relu", "b"))
    before = net.params["b"][0].data.copy()
    report = net.load(weights_of(z=FITS_A, a=FITS_A, relu=[], data=[]))
    assert (report.loaded, report.ignored, report.missing) == (["a"], ["z"], ["b"])
    assert str(report) == (
        "1 layers loaded, 1 of the file not in the net: z, 1 of the net not in the file: b"
    )
    assert (net.params["a"][0].data == 7).all() and (net.params["a"][1].data == 8).all()
    np.testing.assert_array_equal(net.params["b"][0].data, before)


def test_weights_of_another_net_give_one_error_and_write_nothing() -> None:
    net = net_of(LP)
    before = arrays(net)
    for original, a in ((False, "4"), (True, "4")):
        net.original_semantics = original
        with pytest.raises(WeightsError) as caught:
            net.load(weights_of(a=FITS_A[:1] * 3, b=[np.zeros((4, 3)), np.zeros((4, 3))]))
        assert str(caught.value) == (
            'other.caffemodel: weights do not fit the net: "a" (3 blobs in the file,'
            f' {a} in the net); "b" (blob 0 is 4x3 in the file, 3x3 in the net)\n'
            "  fix: give the caffemodel that belongs to this prototxt, or rename the layers"
            " that differ"
        )
    assert_equal(arrays(net), before)


def test_one_misfit_keeps_the_layers_that_fit_from_being_written() -> None:
    net = net_of(HP)
    before = arrays(net)
    with pytest.raises(WeightsError):
        net.load(weights_of(a=FITS_A, b=[np.zeros((4, 4))]))
    assert_equal(arrays(net), before)


def test_blobs_without_data_are_found_before_anything_is_written() -> None:
    net = net_of(HP)
    before = arrays(net)
    empty = LayerWeights("b", "InnerProduct", [WeightBlob((3, 3))])
    with pytest.raises(WeightsError) as caught:
        net.load(Weights([*weights_of(a=FITS_A).layers, empty], name="", file="f"))
    assert '"b" (blob 0 holds no data in the file)' in str(caught.value)
    assert_equal(arrays(net), before)


def test_many_misfits_are_counted() -> None:
    text = data(1, 2) + "".join(inner_product(f"l{i}", "data") for i in range(15))
    wrong = {f"l{i}": [np.zeros((3, 9)), np.zeros(3)] for i in range(15)}
    with pytest.raises(WeightsError) as caught:
        net_of(text, weights_of(**wrong))
    assert str(caught.value).splitlines()[0].endswith("; 3 more")
    assert str(caught.value).count("3x9") == 12


def test_weights_may_come_in_several_files() -> None:
    net = net_of(HP, [weights_of(a=FITS_A), weights_of(b=[np.full((3, 3), 9)])])
    assert net.params["a"][1].data[0] == 8 and net.params["b"][0].data[0, 0] == 9


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError) as caught:
        net_of(HP, tmp_path / "no.caffemodel")
    assert caught.value.file == tmp_path / "no.caffemodel"


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        ((1, 1, 3, 3), True),
        ((3, 3, 1, 1), False),
        ((1, 3, 3, 1), False),
    ],
)
def test_legacy_shapes_have_ones_in_front(shape: tuple[int, ...], fits: bool) -> None:
    """Source: Blob::ShapeEquals compares LegacyShape(-4 .. -1)."""
    blob = WeightBlob(shape, legacy=True, pieces=(np.full(9, 5, np.float32),))
    bias = WeightBlob.of(np.zeros(3, np.float32))
    weights = Weights([LayerWeights("a", "InnerProduct", [blob, bias])], name="", file="f")
    net = net_of(HP)
    if fits:
        net.load(weights)
        assert (net.params["a"][0].data == 5).all()
    else:
        with pytest.raises(WeightsError):
            net.load(weights)


def test_shapes_of_one_count_do_not_fit() -> None:
    with pytest.raises(WeightsError):
        net_of(HP, weights_of(a=[np.zeros((9, 1)), np.zeros(3)]))


def test_of_two_layers_of_one_name_the_first_is_loaded() -> None:
    """Source: Net::CopyTrainedLayersFrom."""
    text = (
        data(1, 3)
        + inner_product("a", "data")
        + inner_product("a", "a").replace('top: "a"', 'top: "y"')
    )
    net = net_of(text, weights_of(a=FITS_A))
    first, second = (node.blobs[0].data for node in net.nodes if node.blobs)
    assert (first == 7).all() and not (second == 7).any()


def test_held_views_and_parameters_show_loaded_weights() -> None:
    net = net_of(HP)
    view, parameter = net.params["a"][0].data, next(net.parameters())
    net.load(weights_of(a=FITS_A))
    assert (view == 7).all() and bool((parameter == 7).all())


def test_shared_parameters_are_saved_for_each_layer() -> None:
    spec = 'param { name: "w" } param { name: "b" }'
    text = data(1, 3) + inner_product("a", "data", 3, spec) + inner_product("b", "a", 3, spec)
    net = net_of(text)
    saved = {w.name: w.blobs[0].array() for w in net.weights() if w.blobs}
    np.testing.assert_array_equal(saved["a"], saved["b"])


def test_splits_are_not_saved_and_layers_without_blobs_are() -> None:
    net = net_of(HP + layer("ReLU", "r", "a") + layer("ReLU", "s", "a"))
    assert [(w.name, w.type) for w in net.weights()] == [
        ("data", "Input"),
        ("a", "InnerProduct"),
        ("b", "InnerProduct"),
        ("r", "ReLU"),
        ("s", "ReLU"),
    ]


@pytest.mark.parametrize("make", [inner_product, lp_inner_product])
def test_loading_into_a_net_without_bias(make: Callable[..., str]) -> None:
    """W and b are two blobs as W and its rounded copy are; shapes tell them apart."""
    text = data(1, 3) + make("a", "data").replace("num_output", "bias_term: false num_output")
    with pytest.raises(WeightsError):
        net_of(text, weights_of(a=FITS_A))
    assert (net_of(text, weights_of(a=FITS_A[:1])).params["a"][0].data == 7).all()


def test_a_written_file_loads_by_name_into_a_longer_net(tmp_path: Path) -> None:
    write_weights(tmp_path / "a.caffemodel", weights_of(a=FITS_A), name="a")
    report = net_of(HP).load(tmp_path / "a.caffemodel")
    assert (report.loaded, report.missing) == (["a"], ["b"])
    assert report.file is not None and Path(report.file).name == "a.caffemodel"


def test_a_released_net_frees_its_rounded_weights_at_once() -> None:
    net = net_of(data(2, 3) + lp_inner_product("ip", "data"))
    net.forward()
    rounded = weakref.ref(net.params["ip"][1])
    gc.disable()  # a cycle would keep it
    try:
        net.release()
        assert rounded() is None
    finally:
        gc.enable()


def test_a_state_dict_is_copied_into_the_blobs_and_never_replaces_them() -> None:
    net, other = net_of(LP), net_of(LP, seed=2)
    with pytest.raises(UsageError, match="leave assign out"):
        net.load_state_dict(other.state_dict(), assign=True)
    net.load_state_dict(other.state_dict())
    assert_equal(arrays(net), arrays(other))
