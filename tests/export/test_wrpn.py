"""WRPN's export: integer sums, one float32 scale per layer, the same codes everywhere (WR-7)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from adaption.compare.between import check_between
from adaption.compare.float_check import check_float
from adaption.compare.named_backends import backend_of
from adaption.errors import LayerError
from adaption.exact import ExactNet
from adaption.exact.program import Product
from adaption.export.onnx import export_onnx
from adaption.export.onnx.qonnx import DOMAIN
from adaption.export.package import export_integer
from adaption.export.targets import export_net
from adaption.io import prototxt
from adaption.io.caffemodel import read_weights
from adaption.net import Net
from adaption.numerics import BinaryWeight, Wrpn
from tests.export.nets import net_of, run_model, samples
from tests.export.test_qonnx import Quant
from tests.export.wrpn_nets import (
    ENTRY,
    EXCEPTIONS,
    FIRST,
    NETS,
    THIN,
    act,
    conv,
    ip,
    norm,
    weight,
)

ALL = {**NETS, **{name: text for name, (text, _) in EXCEPTIONS.items()}}


def wrpn_net(text: str, seed: int = 0) -> Net:
    """The net, with weights of WRPN layers uniform in -1..1."""
    net = net_of(text, seed=seed)
    rng = np.random.default_rng(seed)
    for node in net.nodes:
        if isinstance(node.formats.weight, Wrpn | BinaryWeight):
            blob = node.masters[0]
            blob.write(rng.uniform(-1, 1, blob.shape).astype(np.float32))
    return net


def inputs_of(net: Net, count: int = 3) -> dict[str, np.ndarray]:
    return samples(net, count)


# -- every form has the same codes -----------------------------------------------------------------


@pytest.mark.parametrize("text", NETS.values(), ids=list(NETS))
def test_integer_onnx_equals_exact_arithmetic_in_every_bit(text: str, tmp_path: Path) -> None:
    net = wrpn_net(text)
    exact = ExactNet(net)
    assert not exact.program.exceptions
    report = export_onnx(net, tmp_path / "net.onnx", style="integer")
    x = inputs_of(net)
    between = check_between(net, "exact", tmp_path / "net.onnx", x)
    assert between.ok and not any(top.differing for top in between.tops)
    assert sum(top.is_promised for top in between.tops) >= 1
    found, want = run_model(report.path, x), exact.run(x).outputs
    assert found.keys() == want.keys()
    for blob, values in want.items():
        np.testing.assert_array_equal(found[blob], values.numpy(), blob)


@pytest.mark.parametrize(("text", "names"), EXCEPTIONS.values(), ids=list(EXCEPTIONS))
def test_layers_whose_last_bits_may_differ_are_named(
    text: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    net = wrpn_net(text)
    assert ExactNet(net).program.exceptions == names
    export_onnx(net, tmp_path / "net.onnx", style="integer")
    between = check_between(net, "exact", tmp_path / "net.onnx", inputs_of(net))
    assert between.ok
    listed = ", ".join(f'"{name}"' for name in names)
    assert between.promise == f"both are exact: codes must be equal before layers {listed}"
    promised = [top.layer for top in between.tops if top.is_promised]
    behind = [m for m in (top.layer for top in between.tops)]
    assert all(behind.index(p) < behind.index(names[0]) for p in promised)


@pytest.mark.parametrize("text", ALL.values(), ids=list(ALL))
def test_simulation_has_these_codes_too(text: str, tmp_path: Path) -> None:
    """Within what float32 allows: sums in another order, scales that are rounded."""
    if "accumulator" in text:
        pytest.skip("the simulation has no accumulator")
    net = wrpn_net(text)
    between = check_between(net, "exact", "lp", inputs_of(net, 20))
    points = [top for top in between.tops if top.format is not None]
    assert points and sum(t.differing for t in points) <= 1e-4 * sum(t.count for t in points)
    for top in between.tops:
        if top.format is None:
            assert top.mean_error < 1e-5


# -- the arithmetic itself -------------------------------------------------------------------------


def test_sums_are_integers_and_scaled_once() -> None:
    """S = sum of i_w i_a, y = S · float32(1 / (n_w n_a)), then bias and batch norm in float32."""
    net = wrpn_net(ENTRY + conv("c1", "c0", THIN, weight(4)) + norm("c1") + act("a1", "c1"))
    x = inputs_of(net, 5)
    exact = ExactNet(net)
    run = exact.run(x)
    (product,) = exact.program.of_kind(Product)
    node = next(n for n in net.nodes if n.spec.name == "c1")
    w, b = (t.numpy() for t in node.quantized_blobs())
    codes_w = np.rint(w * 7).astype(int).reshape(4, 4)
    np.testing.assert_array_equal(product.weight.reshape(4, 4), codes_w)
    codes_a = run.codes[product.inputs[0]].numpy()
    assert codes_a.min() == 0 and codes_a.max() == 15
    sums = np.einsum("ok,nkhw->nohw", codes_w, codes_a)
    np.testing.assert_array_equal(run.codes[product.outputs[0]].numpy(), sums)
    # spec 9.1.4: the same as the sum of the real products
    real = np.einsum("ok,nkhw->nohw", codes_w / 7, codes_a / 15)
    np.testing.assert_allclose(sums / 105, real, atol=1e-12)
    f = np.float32
    y = sums.astype(f) * f(1 / 105) + b[:, None, None]
    bn = next(n for n in net.nodes if n.spec.name == "c1_bn")
    mean, variance, factor = (t.numpy().astype(float) for t in bn.quantized_blobs())
    inverse = 1 / np.sqrt(variance / factor + 1e-5)
    y = y * f(inverse)[:, None, None] + f(-mean / factor * inverse)[:, None, None]
    scale = next(n for n in net.nodes if n.spec.name == "c1_scale")
    gamma, beta = (t.numpy()[:, None, None] for t in scale.quantized_blobs())
    y = y * gamma + beta
    want = np.rint(np.clip(y * f(15), 0, 15))
    np.testing.assert_array_equal(run.codes[exact.program.tops[-1].value or ""].numpy(), want)


def test_one_bit_is_scaled_by_the_mean_magnitude() -> None:
    text = ENTRY + conv("c1", "c0", THIN, weight(1, "per_filter: true"))
    net = wrpn_net(text)
    exact = ExactNet(net)
    (product,) = exact.program.of_kind(Product)
    master = net.params["c1"][0].data
    np.testing.assert_array_equal(product.weight, np.where(master < 0, -1, 1))
    (scale,) = [op.scale for op in exact.program.ops if type(op).__name__ == "ScaleSums"]
    mean = np.abs(np.asarray(master)).mean((1, 2, 3))
    assert scale.dtype == np.float32 and scale.shape == (4, 1, 1)
    np.testing.assert_allclose(scale.ravel(), mean / 15, rtol=1e-7)


def test_float_sums_are_those_of_float64() -> None:
    """Layers with float weights add in float64, and round once."""
    net = wrpn_net(NETS["float layer of groups, strides, dilation"])
    x = inputs_of(net)
    run = ExactNet(net).run(x)
    lp64 = backend_of("lp64", net, {}).run(x).values["c0", "c0"]
    value = next(t.value for t in run.program.tops if t.layer == "c0") or ""
    # a rounding of the sum, one of the bias' addition
    np.testing.assert_allclose(run.value(value).numpy(), lp64, rtol=2.0**-22, atol=1e-7)


# -- float and qonnx -------------------------------------------------------------------------------


class BipolarQuant(OpRun):
    """qonnx/custom_op/general/bipolar_quant.py."""

    op_domain = DOMAIN

    def _run(self, x: Any, scale: Any) -> tuple[Any]:
        return (np.where(x >= 0, scale, -scale).astype(np.float32),)


CHAIN = (
    ENTRY
    + conv("c1", "c0", "num_output: 8 kernel_size: 3 pad: 1", weight(4))
    + norm("c1")
    + act("a1", "c1")
    + conv("c2", "c1", "num_output: 8 kernel_size: 3 pad: 1", weight(2))
    + norm("c2")
    + act("a2", "c2", 2)
    + conv("c3", "c2", "num_output: 8 kernel_size: 3 pad: 1", weight(1))
    + norm("c3")
    + act("a3", "c3", 4)
    + ip("ip", "c3")
)


@pytest.mark.parametrize("text", ALL.values(), ids=list(ALL))
def test_float_file_is_as_close_as_float32_allows(text: str, tmp_path: Path) -> None:
    if "accumulator" in text:
        pytest.skip("style float has no accumulator")
    net = wrpn_net(text)
    export_onnx(net, tmp_path / "net.onnx")
    report = check_float(net, tmp_path / "net.onnx", inputs_of(net))
    assert report.ok, report


def test_sums_of_72_products_are_within_two_ulp(tmp_path: Path) -> None:
    """Scales 1/n are no floats. Longer sums are off by more: their order counts, too."""
    net = wrpn_net(CHAIN)
    export_onnx(net, tmp_path / "net.onnx")
    report = check_float(net, tmp_path / "net.onnx", inputs_of(net, 10))
    found = {b.layer: b.own_error_ulp for b in report.blobs if b.layer in ("c1", "c2", "c3")}
    assert len(found) == 3 and 0 < max(found.values()) <= 2
    assert f"up to {max(b.own_error_ulp for b in report.blobs):.3g} ulp" in report.detail
    assert report.to_dict()["blobs"][0]["own_error_ulp"] == report.blobs[0].own_error_ulp
    assert report.flips == 0


@pytest.mark.parametrize("style", ["float", "qonnx"])
def test_share_of_equal_codes(style: str, tmp_path: Path) -> None:
    """At least 99.99 % of codes of 40 samples are those of the simulation."""
    net = wrpn_net(CHAIN)
    report = export_onnx(net, tmp_path / "net.onnx", style=style)
    model = onnx.load(report.path)
    tops = {name: report.values[name][0] for name in ("a0", "a1", "a2", "a3")}
    for top in tops.values():
        if top not in [o.name for o in model.graph.output]:
            model.graph.output.append(onnx.helper.make_tensor_value_info(top, 1, None))
    x = samples(net, 40)
    if style == "qonnx":
        names = [o.name for o in model.graph.output]
        made = ReferenceEvaluator(model, new_ops=[Quant, BipolarQuant]).run(None, x)
        found = dict(zip(names, made, strict=True))
    else:
        onnx.save(model, tmp_path / "more.onnx")
        found = run_model(tmp_path / "more.onnx", x)
    want = backend_of("lp", net, {}).run(x).values
    total = differing = 0
    for layer, n in (("a0", 15), ("a1", 15), ("a2", 3), ("a3", 15)):
        blob = next(node.spec.tops[0] for node in net.nodes if node.spec.name == layer)
        codes = [np.rint(v * n) for v in (found[tops[layer]], want[layer, blob])]
        total, differing = total + codes[0].size, differing + int((codes[0] != codes[1]).sum())
    assert total > 80_000 and differing <= 1e-4 * total
    kinds = [n.op_type for n in model.graph.node if n.domain == DOMAIN]
    if style == "qonnx":
        assert kinds.count("BipolarQuant") == 1 and kinds.count("Quant") == 6


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_qonnx_states_weights_that_its_operators_leave(bits: int, tmp_path: Path) -> None:
    """But for the last bit of i · float32(1/n) against i / n."""
    for more in ("", "per_filter: true") if bits == 1 else ("",):
        net = wrpn_net(ENTRY + conv("c1", "c0", THIN, weight(bits, more)))
        export_onnx(net, tmp_path / "net.onnx", style="qonnx")
        model = onnx.load(tmp_path / "net.onnx")
        made = next(n for n in model.graph.node if n.domain == DOMAIN and n.input[0] == "c1/blob0")
        model.graph.output.append(onnx.helper.make_tensor_value_info(made.output[0], 1, None))
        names = [o.name for o in model.graph.output]
        values = ReferenceEvaluator(model, new_ops=[Quant, BipolarQuant]).run(None, samples(net))
        found = dict(zip(names, values, strict=True))[made.output[0]]
        want = next(n for n in net.nodes if n.spec.name == "c1").quantized_blobs()[0].numpy()
        np.testing.assert_allclose(found, want, rtol=2.0**-23)


# -- what refuses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FIRST + conv("c1", "c0", THIN, weight(4)),
         'layer "c1" (Convolution): weight format W4 has the scale 1/7'),
        (FIRST + conv("c1", "c0", THIN, weight(2)),
         'layer "c1" (Convolution): weight format W2 has the scale 1/1'),
        (FIRST + conv("c1", "c0", THIN, weight(1)),
         'layer "c1" (Convolution): weight format W1 has the scale the mean magnitude'),
        (ENTRY, 'layer "a0" (LPAct): activation format A4 has the scale 1/15'),
    ],
)  # fmt: skip
def test_qdq_refuses_and_names_the_scale(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(LayerError) as caught:
        export_onnx(wrpn_net(text), tmp_path / "net.onnx", style="qdq")
    assert message in str(caught.value) and "powers of two" in str(caught.value)
    assert not (tmp_path / "net.onnx").exists()


def files(text: str, folder: Path) -> tuple[Path, Path]:
    (folder / "net.prototxt").write_text(text, encoding="utf-8")
    net = wrpn_net(text)
    net.save(folder / "net.caffemodel")
    return folder / "net.prototxt", folder / "net.caffemodel"


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        (ENTRY, "has format A4 with the scale 1/15"),
        (FIRST.replace("pad: 1 }", f"pad: 1 }} {weight(4)}"), "has format W4 with the scale 1/7"),
        (FIRST.replace("pad: 1 }", f"pad: 1 }} {weight(1)}"),
         "has format W1 with the scale the mean magnitude of the layer"),
    ],
)  # fmt: skip
def test_nullhop_refuses_and_names_the_scale(text: str, scale: str, tmp_path: Path) -> None:
    text = text.split('layer { name: "c0_bn"')[0] + (act("a0", "c0") if "A4" in scale else "")
    with pytest.raises(LayerError, match=f"{scale}, allowed: fixed point"):
        export_net(*files(text, tmp_path), to="nullhop", out=tmp_path / "net.cnn")
    assert not (tmp_path / "net.cnn").exists()


# -- codes, scales, values -------------------------------------------------------------------------


def test_npz_holds_codes_and_float32_scales(tmp_path: Path) -> None:
    net = wrpn_net(CHAIN)
    export_integer(net, tmp_path / "net.npz")
    held = np.load(tmp_path / "net.npz", allow_pickle=False)
    manifest = json.loads(str(held["manifest"]))
    for name, n, n_a in (("c1", 7, 15), ("c2", 1, 15)):
        values = next(x for x in net.nodes if x.spec.name == name).quantized_blobs()[0].numpy()
        codes = held[f"{name}/weight"]
        assert codes.dtype == np.int8
        np.testing.assert_array_equal((codes / np.float32(n)).astype(np.float32), values)
        assert held[f"{name}/scale"].dtype == np.float32
        assert held[f"{name}/scale"] == np.float32(1 / (n * n_a))
    assert set(np.unique(held["c3/weight"])) == {-1, 1}
    magnitude = np.abs(net.params["c3"][0].data).mean()
    assert held["c3/scale"] == pytest.approx(magnitude / 3, rel=1e-6)
    assert held["c0/weight"].dtype == np.float32
    np.testing.assert_array_equal(held["c0/weight"], net.params["c0"][0].data)
    stated = {c["name"]: c for o in manifest["operations"] for c in o["constants"]}
    assert stated["c1/weight"]["divisor"] == 7 and stated["c1/weight"]["q"] == "Q4.0 / 7"
    assert stated["c1/scale"] == {
        "name": "c1/scale", "kind": "scale", "shape": [], "type": "float32",
        "layout": "broadcasts against the blob",
    }  # fmt: skip
    quantize = [o for o in manifest["operations"] if o["operation"] == "Quantize"]
    assert [o["divisor"] for o in quantize] == [15, 15, 3, 15]


def test_caffemodel_holds_the_values_and_the_clip(tmp_path: Path) -> None:
    """Under plain types: i / n, and Clip layers where the clip was an LPAct."""
    net_path, weights = files(CHAIN, tmp_path)
    made = export_net(net_path, weights, to="caffemodel", out=tmp_path / "baked.caffemodel")
    net = Net(net_path, weights)
    baked = {layer.name: layer for layer in read_weights(tmp_path / "baked.caffemodel").layers}
    for node in net.nodes:
        if node.masters:
            for blob, want in zip(baked[node.spec.name].blobs, node.quantized_blobs(), strict=True):
                np.testing.assert_array_equal(blob.array(), want.numpy())
    document = prototxt.read(tmp_path / "baked.prototxt")
    kinds = [layer.block.first("type").string for layer in document.root.all("layer")]  # type: ignore[union-attr]
    assert kinds.count("Clip") == 4 and "LPAct" not in kinds
    assert any("plain Caffe rounds no results: 4 activation points" in note for note in made.notes)
    plain = Net(tmp_path / "baked.prototxt", tmp_path / "baked.caffemodel")
    x = samples(net, 4)
    plain.forward(x)
    want = backend_of("baked", net, {}).run(x).values["ip", "ip"]
    np.testing.assert_allclose(plain.blobs["ip"].data, want, rtol=1e-5, atol=1e-5)
    codes = backend_of("lp", net, {}).run(x).values["a0", "c0"]
    # rounding apart, it is the net: half a step of 1/15 in the first activations
    assert np.abs(plain.blobs["ip"].data).max() > 0 and codes.max() == 1


def test_formats_wait_on_the_float_backend() -> None:
    """Nothing rounded, but clipped: the clip is the activation function."""
    net = wrpn_net(CHAIN)
    values = backend_of("float", net, {}).run(samples(net, 4)).values["a1", "c1"]
    assert values.min() == 0 and values.max() == 1 and len(np.unique(values)) > 100
