"""verify: one call for every comparison, one kind of report, and the names of version 0.1.0."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import adaption
from adaption.cli.main import main
from adaption.compare import BetweenReport, StepReport, VerifyReport, verify
from adaption.compare.float_report import FloatReport
from adaption.compare.recorded import RecordedReport
from adaption.data import Transform
from adaption.errors import UsageError
from adaption.export.onnx import export_onnx
from adaption.export.onnx.images import ImageInput
from adaption.net import Net
from adaption.numerics import FixedPoint
from tests.exact.exact_nets import DATA, NETS
from tests.export.nets import input_layer, layer, net_of

TEXT = DATA + NETS["residual sum of two scales"] + layer("prob", "d", "prob", 'type: "Softmax"')
INPUT = {"data": np.float32(np.random.default_rng(5).normal(size=(2, 3, 6, 6)))}
COMMON = ["what", "ok", "detail", "samples", "problems", "notes"]


def onnx_of(net: Net, folder: Path, style: str) -> Path:
    path = folder / f"{style}.onnx"
    export_onnx(net, path, style=style)
    return path


def recording_of(net: Net, folder: Path) -> Path:
    np.savez(folder / "r.npz", prob=net.forward(INPUT)["prob"].numpy())
    return folder / "r.npz"


@pytest.mark.parametrize(
    ("make", "kind", "what"),
    [
        pytest.param(
            lambda n, f: onnx_of(n, f, "float"), FloatReport, "onnxruntime against the low", id="f"
        ),
        pytest.param(
            lambda n, f: onnx_of(n, f, "integer"), BetweenReport, "exact against int", id="integer"
        ),
        pytest.param(
            lambda n, f: onnx_of(n, f, "qdq"), BetweenReport, "exact-half-even against q", id="qdq"
        ),
        pytest.param(recording_of, RecordedReport, "recorded blobs of", id="recording"),
        pytest.param(lambda n, f: "exact", BetweenReport, "lp64 against exact", id="exact"),
    ],
)
def test_a_alone_is_compared_with_what_it_should_equal(
    make: Callable[[Net, Path], Path | str],
    kind: type[VerifyReport],
    what: str,
    tmp_path: Path,
) -> None:
    net = net_of(TEXT)
    report = verify(net, make(net, tmp_path), inputs=INPUT)
    assert type(report) is kind and report.ok and report.samples == 2
    values = json.loads(json.dumps(report.to_dict()))
    assert list(values)[:6] == COMMON and values["what"].startswith(what)
    assert values["ok"] is True and values["detail"] == report.detail
    lines = str(report).splitlines()
    assert lines[0].startswith("layer") and lines[lines.index("") + 1] == report.verdict
    assert lines[lines.index("") + 2] == f"  {report.detail}"


def test_a_float_file_and_b_are_any_two_backends(tmp_path: Path) -> None:
    net = net_of(TEXT)
    report = verify(net, "lp", onnx_of(net, tmp_path, "float"), INPUT, tolerance=1.0)
    assert isinstance(report, BetweenReport) and report.what == "lp against float.onnx (float)"


def test_the_tolerance_decides_as_each_comparison_means_it(tmp_path: Path) -> None:
    net = net_of(TEXT)
    path, prob = tmp_path / "r.npz", net.forward(INPUT)["prob"].numpy()
    np.savez(path, prob=prob + np.float32(1e-3) * prob.max())
    assert not verify(net, path, inputs=INPUT).ok
    assert verify(net, path, inputs=INPUT, tolerance=2e-3).ok
    problem = verify(net, path, inputs=INPUT).problems[0]
    assert problem.startswith('"prob" differs: relative error 0.0') and "allowed 0.0002" in problem


def test_images_are_checked_in_the_same_call(tmp_path: Path) -> None:
    conv = 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 }'
    net = net_of(input_layer("data", 2, 3, 10, 12) + layer("c", "data", "c", conv))
    mean = Transform(mean_value=(104.0, 116.0, 122.0))
    export_onnx(net, tmp_path / "n.onnx", images=ImageInput(mean, "NCHW", "uint8", "BGR"))
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 10, 12)).astype(np.uint8)
    right = verify(net, tmp_path / "n.onnx", inputs={"data": images}, transform=mean)
    assert right.ok and [check.samples for check in right.preprocessing] == [3]
    assert "preprocessing of n.onnx:" in str(right)
    wrong = verify(
        net,
        tmp_path / "n.onnx",
        inputs={"data": images},
        transform=Transform(mean_value=(104.0, 116.0, 121.0)),
    )
    assert not wrong.problems and not wrong.ok
    floats = verify(net, tmp_path / "n.onnx", inputs={"data": images.astype(np.float32)})
    assert floats.ok and "its preprocessing is not checked" in floats.notes[-1]


def test_what_cannot_be_compared() -> None:
    net = net_of(TEXT)
    with pytest.raises(UsageError, match="recorded blobs need their inputs"):
        verify(net, "r.npz")
    with pytest.raises(UsageError, match="b, tolerance cannot be given with int32"):
        verify(net, "int32", "lp", tolerance=1.0)
    with pytest.raises(UsageError, match="preprocessing is for data"):
        verify(net, "lp64", transform=Transform(scale=2.0))
    with pytest.raises(UsageError, match="'exakt' is nothing to compare with"):
        verify(net, "exakt", inputs=INPUT)


def test_names_of_version_0_1_0_say_what_they_are_now(tmp_path: Path) -> None:
    net = net_of(TEXT)
    path = onnx_of(net, tmp_path, "float")
    with pytest.warns(DeprecationWarning, match=r"verify\(net, a, b\)") as caught:
        old = adaption.verify_between(net, "lp64", "exact", INPUT)
    assert caught[0].filename == __file__
    assert old.to_dict() == verify(net, "lp64", "exact", INPUT).to_dict()
    with pytest.warns(DeprecationWarning, match="inputs=inputs") as caught:
        by_place = verify(net, path, INPUT)  # type: ignore[arg-type]
    assert caught[0].filename == __file__
    assert by_place.to_dict() == verify(net, path, inputs=INPUT).to_dict()
    with (
        pytest.warns(DeprecationWarning, match='verify\\(net, "int32"\\)') as caught,
        pytest.raises(UsageError, match="no product of this net"),
    ):
        adaption.verify_step(net_of(input_layer("data", 1, 2)))
    assert caught[0].filename == __file__


def test_the_verb_says_what_the_call_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = net_of(TEXT)
    Path("n.prototxt").write_text(TEXT)
    net.save("n.caffemodel")
    np.savez("x.npz", **INPUT)
    words = ["verify", "n.prototxt", "n.caffemodel", "lp64", "exact", "--data", "x.npz"]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{verify(net, 'lp64', 'exact', INPUT)}\n"
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads(json.dumps(verify(net, "lp64", "exact", INPUT).to_dict()))


def test_reports_are_of_one_type() -> None:
    kinds = (FloatReport, BetweenReport, RecordedReport, StepReport)
    assert all(issubclass(kind, VerifyReport) for kind in kinds)
    assert not any("__str__" in vars(kind) or "to_dict" in vars(kind) for kind in kinds)


@pytest.mark.parametrize(
    ("make", "side"),
    [
        pytest.param(recording_of, "a recording alone", id="recording"),
        pytest.param(
            lambda n, f: onnx_of(n, f, "float"), "an ONNX file of style float alone", id="float"
        ),
    ],
)
def test_formats_of_inputs_need_a_side_that_rounds(
    make: Callable[[Net, Path], Path], side: str, tmp_path: Path
) -> None:
    net = net_of(TEXT)
    formats = {"data": FixedPoint(8, 4)}
    with pytest.raises(UsageError, match=f"--input-format.* cannot be given with {side}"):
        verify(net, make(net, tmp_path), inputs=INPUT, input_formats=formats)
