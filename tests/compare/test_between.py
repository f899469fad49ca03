"""Any two backends held against each other, layer by layer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from adaption.cli.main import main
from adaption.compare.backends import Arithmetic, Array, Key, Trace
from adaption.compare.between import check_between
from adaption.compare.float_check import check_float
from adaption.compare.named_backends import BACKENDS
from adaption.errors import UsageError
from adaption.exact.inputs import format_of_data
from adaption.export.onnx import export_onnx
from adaption.net import Net
from adaption.numerics import FixedPoint
from tests.exact.exact_nets import CONV, DATA, ENTRY, NETS, Q8, act, lp
from tests.export.nets import layer, net_of

TEXT = DATA + NETS["residual sum of two scales"] + layer("prob", "d", "prob", 'type: "Softmax"')
INPUT = {"data": np.float32(np.random.default_rng(5).normal(size=(2, 3, 6, 6)))}


def test_exact_and_integer_onnx_are_promised_equal(tmp_path: Path) -> None:
    net, path = net_of(TEXT), tmp_path / "m.onnx"
    export_onnx(net, path, style="integer")
    report = check_between(net, "exact", path, INPUT)
    assert report.ok
    assert [t.layer for t in report.tops if t.is_promised] == [
        t.layer for t in report.tops if t.type != "Softmax"
    ]
    assert "that must be equal are bit-equal" in report.detail
    assert report.tops[1].ties is not None or report.tops[2].ties is not None


def test_float64_simulation_and_exact_are_promised_equal_at_points() -> None:
    report = check_between(net_of(TEXT), "lp64", "exact", INPUT)
    assert report.ok
    assert {t.layer for t in report.tops if t.is_promised} == {"in", "a", "b", "e"}
    assert all(t.max_error_lsb == 0.0 for t in report.tops if t.is_promised)


class OneLsbOff:
    """A device with a defect: one code of layer "b" is one too many."""

    name = "device"
    arithmetic = Arithmetic("exact")

    def __init__(self, net: Net) -> None:
        self._exact = BACKENDS["exact"](net, {})

    def run(self, inputs: Mapping[str, Array]) -> Trace:
        made = self._exact.run(inputs)
        values: dict[Key, Array] = {key: x.copy() for key, x in made.values.items()}
        values["b", "c"].flat[3] += 2.0**-7
        return Trace(values, made.codes)


def test_first_differing_layer_is_named() -> None:
    net = net_of(TEXT)
    report = check_between(net, OneLsbOff(net), "exact", INPUT)
    assert not report.ok
    first = report.first_difference
    assert first is not None
    assert (first.layer, first.differing, first.max_error_lsb) == ("b", 1, 1.0)
    assert report.problems == (
        'layer "b" (LPAct): "c" differs in 1 of 288 values, by up to 0.00781',
    )
    assert "device and exact do NOT agree" in str(report)
    tolerant = check_between(net, OneLsbOff(net), "exact", INPUT, tolerance=1.0)
    assert tolerant.ok
    strict = check_between(net, OneLsbOff(net), "exact", INPUT, tolerance=0.5)
    assert strict.problems == ('layer "b" (LPAct): "c" differs by up to 1 LSB, allowed 0.5',)


def with_one_weight_changed(path: Path) -> None:
    model = onnx.load(path)
    tensor = next(
        t for t in model.graph.initializer if t.name.startswith("c/") and len(t.dims) == 4
    )
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] ^= 64
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, path)


def test_qdq_is_promised_equal_to_exact_arithmetic_that_rounds_alike(tmp_path: Path) -> None:
    net, path = net_of(TEXT), tmp_path / "m.onnx"
    export_onnx(net, path, style="qdq")
    report = check_between(net, "exact-half-even", path, INPUT)
    assert report.ok
    points = {t.layer for t in report.tops if t.format is not None}
    assert {t.layer for t in report.tops if t.is_promised} >= points >= {"in", "a", "b", "e"}
    assert "all codes must be equal" in report.detail
    assert sum(t.ties or 0 for t in report.tops) >= sum(t.parted or 0 for t in report.tops) > 0
    assert "of them rounded otherwise than the net does" in report.detail
    other = check_between(net, "exact", path, INPUT)
    assert other.ok and not any(t.is_promised for t in other.tops)
    assert "they take ties, or biases off the grid, otherwise" in other.detail
    with_one_weight_changed(path)
    broken = check_between(net, "exact-half-even", path, INPUT)
    assert not broken.ok
    assert broken.first_difference is not None and broken.first_difference.layer == "b"


def test_codes_from_an_exception_on_are_not_promised(tmp_path: Path) -> None:
    """Exact arithmetic shifts every product of "c", which has no form in ONNX."""
    stated = (
        "precision_param { accumulator { kind: FIXED word_length: 10 frac_length: 6"
        " per_product: true } }"
    )
    text = ENTRY + CONV + act("a", "conv", 5, 3)
    text += lp("c", "conv", "c", "num_output: 4 kernel_size: 1", f"{Q8} {stated}")
    net, path = net_of(DATA + text + act("b", "c", 4, 4)), tmp_path / "m.onnx"
    export_onnx(net, path, style="qdq")
    report = check_between(net, "exact-half-even", path, INPUT)
    assert report.ok
    assert {t.layer for t in report.tops if t.is_promised} == {"in", "a"}
    assert 'codes must be equal before layers "b"' in report.detail


def test_a_file_that_does_not_say_how_it_is_exact_is_not_judged(tmp_path: Path) -> None:
    net, path = net_of(TEXT), tmp_path / "m.onnx"
    export_onnx(net, path, style="qdq")
    model = onnx.load(path)
    kept = [p for p in model.metadata_props if p.key != "adaption.arithmetic"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, path)
    report = check_between(net, "exact-half-even", path, INPUT)
    assert report.ok and not any(t.is_promised for t in report.tops)


@pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler is installed"
)
def test_c_program_is_promised_equal() -> None:
    report = check_between(net_of(TEXT), "exact", "c", INPUT)
    assert report.ok, report.detail
    assert sum(t.is_promised for t in report.tops) == len(report.tops) >= 8


def test_c_program_without_a_compiler_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(UsageError, match=r"^false -std=c99 .* failed"):
        check_between(net_of(TEXT), "exact", "c", INPUT)


def test_float_and_baked_round_less_than_lp() -> None:
    net = net_of(TEXT)
    gaps = {
        name: check_between(net, "lp", name, INPUT).tops[1].max_error
        for name in ("lp64", "baked", "float")
    }
    assert gaps["lp64"] < 1e-5 < gaps["baked"] < gaps["float"]
    # The net's own rounded blobs are as they were.
    assert check_between(net, "lp64", "exact", INPUT).ok


def test_inputs_are_rounded_for_both_sides(tmp_path: Path) -> None:
    net, path = net_of(DATA + CONV + act("a", "conv", 4, 4)), tmp_path / "m.onnx"
    formats = {"data": FixedPoint.q("Q3.4")}
    export_onnx(net, path, style="integer", input_formats=formats)
    # The file says what its input is rounded to.
    report = check_between(net, "exact", path, INPUT)
    assert report.ok and dict(report.input_formats) == formats
    assert check_between(net, "lp64", path, INPUT).ok
    export_onnx(net, path, style="float", input_formats=formats)
    assert check_float(net, path, INPUT).ok


def test_recorded_blobs_and_random_inputs(tmp_path: Path) -> None:
    net = net_of(TEXT)
    recorded = tmp_path / "device.npz"
    made = BACKENDS["exact"](net, {}).run(INPUT)
    np.savez(recorded, conv=made.values["a", "conv"], d=made.values["e", "d"])
    report = check_between(net, "exact", recorded, INPUT, tolerance=0)
    assert report.ok and [t.blob for t in report.tops] == ["conv", "d"]
    assert check_between(net, "exact", "lp64").ok


def test_accumulators_are_reported_and_wide_ones_named(tmp_path: Path) -> None:
    wide = "lpfp_param { bd: 2 ad: 19 }"
    text = layer("in", "data", "data", 'type: "LPAct" lpfp_param { bd: 3 ad: 13 }')
    net = net_of(DATA + text + lp("w", "data", "w", "num_output: 2 kernel_size: 3", wide))
    report = check_between(net, "lp64", "exact", INPUT)
    (row,) = report.to_dict()["exact"]["accumulators"]
    assert row["bits"] >= row["measured_bits"] > 25
    assert "sums may need more than 32 bits in: w" in str(report)
    made = export_onnx(net, tmp_path / "m.onnx", style="integer")
    note = f'sums may need more than 32 bits, and are int64, in: "w" ({row["bits"]})'
    assert note in made.notes


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    net = net_of(TEXT)
    with pytest.raises(UsageError, match="'exakt' is nothing to compare with, allowed: float, lp"):
        check_between(net, "exakt", "lp", INPUT)
    with pytest.raises(UsageError, match="no values are given for input 'data'"):
        check_between(net, "exact", "lp", {})
    np.savez(tmp_path / "x.npz", other=np.zeros(3))
    with pytest.raises(UsageError, match="have no blob in common"):
        check_between(net, "exact", tmp_path / "x.npz", INPUT)


@pytest.mark.parametrize(
    ("values", "want"),
    [
        pytest.param([0, 255], "Q9.0", id="pixels"),
        pytest.param([0.0, 255 / 256], "Q1.8", id="pixels scaled"),
        pytest.param([-0.5, 0.1], "Q1.15", id="off every grid"),
        pytest.param([-123.7, 255.0], "Q9.7", id="pixels less a mean"),
        pytest.param([0.0], "Q2.0", id="zeros"),
    ],
)
def test_format_of_data(values: list[float], want: str) -> None:
    assert str(format_of_data(np.float32(values))) == want


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    text = TEXT.replace("dim: 1 dim: 3", "dim: 2 dim: 3")
    definition, weights, data = (tmp_path / n for n in ("n.prototxt", "n.caffemodel", "x.npy"))
    definition.write_text(text)
    net = net_of(text)
    net.save(weights)
    np.save(data, INPUT["data"])
    return str(definition), str(weights), str(data)


def test_verb(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, weights, data = files
    file = str(tmp_path / "m.onnx")
    assert main(["export", net, weights, "--to", "onnx", "--style", "integer", "-o", file]) == 0
    assert main(["verify", net, weights, file, "--data", data]) == 0
    assert "exact and m.onnx (integer) agree" in capsys.readouterr().out
    assert main(["export", net, weights, "--to", "onnx", "--style", "qdq", "-o", file]) == 0
    assert main(["verify", net, weights, file, "--data", data]) == 0
    assert "exact-half-even and m.onnx (qdq) agree" in capsys.readouterr().out
    with_one_weight_changed(Path(file))
    assert main(["verify", net, weights, file, "--data", data]) == 1
    assert main(["export", net, weights, "--to", "onnx", "--style", "integer", "-o", file]) == 0
    assert main(["verify", net, weights, "exact", "--data", data]) == 0
    assert "lp64 and exact agree" in capsys.readouterr().out
    assert main(["verify", net, weights, "float", file, "--data", data, "--tolerance", "0"]) == 1
    assert main(["verify", net, weights, "exakt", "--data", data]) == 2
    assert main(["verify", net, weights, "exact", "--input-format", "auto"]) == 2
    assert "--input-format auto needs data" in capsys.readouterr().err


def test_verb_takes_an_input_format(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, weights, data = files
    text = Path(net).read_text().replace(ENTRY, "")
    Path(net).write_text(text)
    assert main(["verify", net, weights, "exact", "--data", data]) == 2
    assert "no number format is stated between the net's input" in capsys.readouterr().err
    for given in ("auto", "data=Q3.5"):
        flags = ["--data", data, "--input-format", given]
        assert main(["verify", net, weights, "lp64", "exact", *flags]) == 0
    assert "input 'data' rounded to Q3.5" in capsys.readouterr().out


def test_opencv_without_opencv_or_with_it(files: tuple[str, str, str]) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip(f"OpenCV {cv2.__version__} reads no Caffe files")
    net = Net(files[0], files[1])
    report = check_between(net, "baked", "opencv", INPUT)
    assert [t.blob for t in report.tops] == ["prob"]
    # Two float32 implementations that sum in different orders.
    assert report.tops[0].max_error < 1e-5
