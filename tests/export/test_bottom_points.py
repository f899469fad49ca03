"""Bottoms that a layer rounds for itself, in every form that a net is exported to.

The nets are S-DFP nets of many shapes, frozen: each weight layer reads 8-bit codes of its own
making. Exact arithmetic, ONNX in integers and in QDQ form, and the C program compute the same.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import adaption
from adaption.cli.main import main
from adaption.compare.between import check_between
from adaption.compare.float_check import check_float
from adaption.errors import LayerError
from adaption.exact import ExactNet
from adaption.exact.float_ops import FloatProduct
from adaption.exact.program import Product
from adaption.export.onnx import export_onnx
from adaption.io.netfile import read_net
from adaption.job import freeze
from adaption.net import Net, Point
from adaption.numerics import DynamicFixed, FixedPoint
from tests.export.nets import run_model
from tests.export.test_c_program import tool
from tests.net.nets import data, inner_product, net_of
from tests.net.nets import layer as net_layer
from tests.recipes.test_sdfp import DATA, END, NETS, conv, dense, layer, net_file, solver_of
from tests.solver.runs import write_rows

SHAPES = {"data": (10, 1, 6, 6), "label": (10,)}
X = {"data": np.random.default_rng(5).normal(size=(60, 1, 6, 6)).astype(np.float32) * 2}
INNER = {
    # A table takes 16 bits; TanH on an unrounded sum has no integer form.
    **{
        name: text.replace("TanH", "ReLU")
        for name, text in NETS.items()
        if name not in ("LP layers", "own formats")
    },
    "residual": DATA
    + conv("c0", "data")
    + conv("c1", "c0")
    + layer("ReLU", "r1", "c1", "c1")
    + conv("c2", "c1")
    + layer("Eltwise", "sum", 'c2" bottom: "c0', "sum")
    + layer("PReLU", "r2", "sum", "sum")
    + layer("Pooling", "max", "sum", "max", "pooling_param { kernel_size: 2 stride: 2 }")
    + conv("c3", "max")
    + dense("mid", "c3")
    + dense("last", "mid")
    + END,
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_rows(tmp_path, 45)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frozen(
    text: str, first_last: str = "quantized", bits: int | None = None, **choices: Any
) -> Net:
    """A net after a few steps of S-DFP in 8 bits, frozen."""
    net = net_file(text, "low.prototxt")
    choices = {"bits": 8, "first_last": first_last, "bias_gradient": 0, **choices}
    adaption.write_net(adaption.rewrite(net, recipe="sdfp", **choices), net)
    solver = solver_of(net)
    solver.step(6)
    solver.net.save("w.caffemodel")
    made = freeze(net, "w.caffemodel", out="out", bits=bits, quiet=True)
    return Net(made.net, made.weights, input_shapes=SHAPES)


@pytest.mark.parametrize("name", INNER)
def test_all_exact_forms_are_equal_bit_for_bit(name: str, here: Path) -> None:
    net = frozen(INNER[name])
    for style in ("integer", "qdq"):
        export_onnx(net, f"{style}.onnx", style=style)
    forms = ["exact-half-even", "integer.onnx", "qdq.onnx"]
    forms += ["c"] if shutil.which("cc") or shutil.which("gcc") else []
    for form in forms:
        report = check_between(net, "exact", form, X)
        assert report.ok, (form, report.problems)
        assert report.tops and all(top.max_error == 0 for top in report.tops), (form, str(report))
        assert report.tops[-1].blob == "last"
    # What the file promises is checked, too.
    report = check_between(net, "exact-half-even", "qdq.onnx", X)
    assert report.ok and "all codes must be equal" in report.promise


@pytest.mark.parametrize("bits", [8, 16])
def test_so_are_nets_whose_ends_were_float(bits: int, here: Path) -> None:
    """--bits gives the first and the last layer formats, too."""
    net = frozen(INNER["batch norm and in place"], "float", bits)
    for style in ("integer", "qdq"):
        export_onnx(net, f"{style}.onnx", style=style)
    for form in ("integer.onnx", "qdq.onnx", "c"):
        if form == "c" and not (shutil.which("cc") or shutil.which("gcc")):
            continue
        report = check_between(net, "exact", form, X)
        codes = [top for top in report.tops if top.layer != "last"]
        assert report.ok and codes and all(top.max_error == 0 for top in codes), (form, str(report))
    # Outputs are float32, which holds 24 bits of the last sums.
    want = ExactNet(net).run(X).outputs["last"].numpy()
    for style in ("integer", "qdq"):
        np.testing.assert_array_equal(run_model(Path(f"{style}.onnx"), X)["last"], want)


def test_float_ends_run_in_float_in_every_form(here: Path) -> None:
    """Codes begin behind the first layer and end before the last."""
    net = frozen(INNER["batch norm and in place"], "float")
    program = ExactNet(net).program
    assert [op.layer for op in program.of_kind(Product)] == ["c2", "mid"]
    floats = [op.layer for op in program.of_kind(FloatProduct)]
    assert floats == ["c1", "last"]
    assert 'layer "last" runs in float32: its weights are float' in program.notes
    want = ExactNet(net).run(X).outputs["last"].numpy()
    for style in ("integer", "qdq", "float"):
        export_onnx(net, f"{style}.onnx", style=style)
        got = run_model(Path(f"{style}.onnx"), X)["last"]
        # A sum of another order may move a value of "c1" across a tie: a code, here and there.
        assert (np.abs(got - want) > 1e-5).mean() < 0.02
        assert np.abs(got - want).max() < 0.05
    assert check_between(net, "exact", "integer.onnx", X).ok
    assert check_between(net, "exact-half-even", "qdq.onnx", X).ok
    adaption.export_integer(net, "codes.npz")
    with np.load("codes.npz") as made:
        assert {made[f"{name}/weight"].dtype for name in floats} == {np.dtype(np.float32)}


def test_float_ends_run_in_float_in_the_c_program(here: Path) -> None:
    tool("cc", "gcc", "clang")
    net = frozen(INNER["batch norm and in place"], "float")
    assert check_between(net, "exact", "c", X).ok


@pytest.mark.parametrize("name", INNER)
def test_style_float_rounds_as_the_simulation_does(name: str, here: Path) -> None:
    net = frozen(INNER[name])
    export_onnx(net, "float.onnx")
    report = check_float(net, "float.onnx", X)
    assert report.ok, report.problems


def test_qonnx_has_a_quant_for_each_reader(here: Path) -> None:
    net = frozen(INNER["residual"])
    export_onnx(net, "q.onnx", style="qonnx")
    model = onnx.load("q.onnx")
    held = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    quants = [n for n in model.graph.node if n.op_type == "Quant"]
    found = {}
    for node in quants:
        a = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
        if node.input[0] not in held:
            found[node.name.split("/")[0]] = (
                float(held[node.input[1]]), float(held[node.input[3]]), a["signed"], a["narrow"],
                a["rounding_mode"],
            )  # fmt: skip
    bottoms = {p.layer: f for p, f in net.plan.items() if p.kind == "bottom"}
    assert set(bottoms) == {"c0", "c1", "c2", "c3", "mid", "last"}
    want = {name: (f.lsb, 8.0, 1, 1, b"ROUND") for name, f in bottoms.items()}  # type: ignore[attr-defined]
    assert {name: found[name] for name in want} == want


def test_npz_says_what_each_layer_reads(here: Path) -> None:
    net = frozen(INNER["residual"])
    adaption.export_integer(net, "codes.npz")
    with np.load("codes.npz", allow_pickle=False) as file:
        manifest = json.loads(str(file["manifest"]))
        weight = file["c1/weight"]
    grid = net.plan[Point("c1", "weight")]
    assert isinstance(grid, FixedPoint)
    assert np.array_equal(
        weight * grid.lsb, net.nodes[net.index("c1")].quantized_blobs()[0].numpy()
    )
    makers = {o: op for op in manifest["operations"] for o in op["outputs"]}
    products = [op for op in manifest["operations"] if op["operation"] == "Product"]
    assert len(products) == 6
    for op in products:
        before = makers[op["inputs"][0]]
        fmt = net.plan[Point(op["layer"], "bottom")]
        assert (
            before["operation"] in ("Round", "Quantize", "Table") and before["layer"] == op["layer"]
        )
        assert manifest["values"][op["inputs"][0]]["frac_length"] == fmt.frac_length  # type: ignore[attr-defined]


def test_one_blob_two_readers_two_grids(here: Path) -> None:
    """Each reader rounds its own view; a third reads the blob as it is."""
    text = data(2, 4) + net_layer("ReLU", "r", "data")
    text += inner_product("a", "r") + inner_product("b", "r") + net_layer("Power", "c", "r")
    net = net_of(text)
    net.set_plan(
        {
            Point(name, kind): FixedPoint(8, f, "half_even")
            for name, f in (("a", 5), ("b", 2))
            for kind in ("weight", "bottom", "bias")
        }
    )
    x = {"data": np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32) * 3}
    want = {name: top.numpy() for name, top in net.forward(x).items()}
    assert np.array_equal(want["c"], np.maximum(x["data"], 0))
    for style in ("float", "qdq", "integer"):
        export_onnx(net, f"{style}.onnx", style=style)
        for name, top in run_model(Path(f"{style}.onnx"), x).items():
            np.testing.assert_array_equal(top, want[name], err_msg=f"{style} {name}")


def test_layers_that_share_a_value_do_not_scale_it_twice(here: Path) -> None:
    """verify multiplied codes in double precision, read for ReLU, once more for the Dropout."""
    net = frozen(INNER["batch norm and in place"])
    export_onnx(net, "qdq.onnx", style="qdq")
    report = check_between(net, "exact-half-even", "qdq.onnx", X)
    shared = [top for top in report.tops if top.layer in ("r2", "drop")]
    assert len(shared) == 2 and report.ok and not any(top.max_error for top in shared)


def test_nullhop_has_no_such_point(here: Path) -> None:
    text = DATA + conv("c1", "data") + layer("ReLU", "r", "c1", "c1") + dense("last", "c1") + END
    net = frozen(text)
    net.save("f.caffemodel")
    with pytest.raises(LayerError, match=r"rounds its own view of its bottom .* NullHop cannot"):
        adaption.export_net("out/frozen.prototxt", "f.caffemodel", to="nullhop",
                            net_options={"input_shapes": SHAPES})  # fmt: skip


def test_caffemodel_says_what_it_leaves_out(here: Path) -> None:
    frozen(INNER["residual"])
    made = adaption.export_net("out/frozen.prototxt", "out/frozen.caffemodel", to="caffemodel",
                               out="baked.caffemodel")  # fmt: skip
    (note,) = made.notes
    assert note.startswith("plain Caffe rounds no results: 6 activation points are left out:")
    assert '"c1" (bottom, Q' in note
    assert "precision_param" not in read_net("baked.prototxt").text()


# -- formats that still move ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bottom", "weight", "activation"])
@pytest.mark.parametrize("style", ["float", "qdq", "integer", "qonnx", "exact"])
def test_formats_that_move_are_frozen_first(style: str, kind: str, tmp_path: Path) -> None:
    net = net_of(data(2, 4) + inner_product("ip", "data"))
    net.set_plan({Point("ip", kind): DynamicFixed(8, -1)})
    with pytest.raises(LayerError) as caught:
        if style == "exact":
            ExactNet(net)
        else:
            export_onnx(net, tmp_path / "net.onnx", style=style)
    assert str(caught.value).endswith(
        f'layer "ip" (InnerProduct): {kind} format DFP8-1 moves with the tensor\n'
        "  fix: make it static first: adaption freeze NET WEIGHTS -o DIR"
    )


def test_the_verb_exports_what_freeze_wrote(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frozen(INNER["residual"])
    files = ["out/frozen.prototxt", "out/frozen.caffemodel"]
    shape = ["--input", "data=10x1x6x6", "--input", "label=10"]
    np.save("x.npy", X["data"])
    for style in ("qdq", "integer"):
        assert main(["export", *files, "--to", "onnx", "--style", style, "-o", f"{style}.onnx",
                     *shape]) == 0  # fmt: skip
        assert main(["verify", *files, f"{style}.onnx", "--data", "x.npy", *shape]) == 0
    said = capsys.readouterr().out
    assert said.count("all bit-equal") == 2
