"""The integer package: what npz and C program hold, and that the program's codes are exact."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from adaption.errors import AdaptionError, UsageError
from adaption.exact.options import ExactOptions
from adaption.exact.run import ExactNet
from adaption.export.package import export_integer
from adaption.graph import NetState, build_spec
from adaption.io.netfile import read_net
from adaption.net import Net
from adaption.numerics import FixedPoint
from adaption.precision.rewrite import rewrite, uniform_plan
from tests.export.nets import input_layer, layer, net_of, samples

LENET = Path(__file__).parents[2] / "models" / "lenet_digits"
PIXELS = FixedPoint(9, 8)
FLAGS = (
    "-std=c99 -O1 -Wall -Wextra -Wconversion -Wsign-conversion -pedantic -Werror"
    " -ffp-contract=off"
    " -fsanitize=address,undefined -fno-sanitize-recover=all -DADAPTION_TRACE"
).split()


def low_lenet(
    bits: int = 8,
    definition: Path = LENET / "deploy.prototxt",
    weights: Path = LENET / "lenet_digits.caffemodel",
) -> Net:
    file = read_net(definition)
    plan = uniform_plan(
        file,
        weight=FixedPoint(bits, bits - 1),
        activation=FixedPoint(bits, bits - 5),
        round_bias=True,
    )
    return Net(build_spec(rewrite(file, plan).message, NetState("TEST")), weights)


def ran(
    net: Net, folder: Path, x: np.ndarray, formats: dict[str, FixedPoint] | None = None
) -> dict[str, np.ndarray]:
    """Every value of every sample, as the compiled program prints it; compiled without warnings,
    and run with sanitizers."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler (cc, gcc, clang) is installed")
    export_integer(net, folder, form="c", input_formats=formats)
    sources = sorted(path.name for path in folder.glob("*.c"))
    command = [compiler, *FLAGS, "-o", "net", *sources]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (made.returncode, made.stderr) == (0, "")
    x.astype("<f4").tofile(folder / "samples.bin")
    run = subprocess.run(
        ["./net", "samples.bin"], cwd=folder, capture_output=True, text=True, check=True
    )
    values: dict[str, list[np.ndarray]] = {}
    for line in run.stdout.splitlines():
        name, *codes = line.split(" ")
        values.setdefault(unquote(name), []).append(_numbers(codes))
    return {name: np.stack(rows) for name, rows in values.items()}


def _numbers(printed: list[str]) -> np.ndarray:
    """Codes, which may need more bits than float64 holds; or float32 values."""
    try:
        return np.array(printed, np.int64)
    except ValueError:
        return np.array(printed, np.float64)


def assert_exact(net: Net, folder: Path, x: np.ndarray, formats: dict[str, FixedPoint]) -> None:
    values = ran(net, folder, x, formats)
    exact = ExactNet(net, ExactOptions(input_formats=formats))
    want = exact.run({net.inputs[0]: x})
    assert set(want.codes) <= set(values)
    for name, codes in want.codes.items():
        np.testing.assert_array_equal(values[name], codes.numpy().reshape(len(x), -1), name)
    outputs = json.loads((folder / "manifest.json").read_text())["outputs"]
    assert set(outputs) <= set(values)


def test_lenet_compiles_without_warnings_and_is_exact(tmp_path: Path) -> None:
    net = low_lenet()
    x = np.random.default_rng(0).integers(0, 17, (3, 1, 8, 8)).astype(np.float32) / 16
    shape = net.blobs["data"].shape
    x = np.resize(x, (3, *shape[1:]))
    assert_exact(net, tmp_path / "c", x, {"data": PIXELS})


def test_published_lenet_is_exact(shared: Path, tmp_path: Path) -> None:
    folder = shared / "models" / "lenet"
    net = low_lenet(8, folder / "deploy.prototxt", folder / "deploy.caffemodel")
    x = np.load(folder / "input.npy")[:2].astype(np.float32)
    net.forward({net.inputs[0]: x})
    assert_exact(net, tmp_path / "c", x, {net.inputs[0]: PIXELS})


def point(name: str, blob: str, word_length: int, frac_length: int, rounding: str) -> str:
    text = (
        f"activation {{ kind: FIXED word_length: {word_length} frac_length: {frac_length}"
        f" rounding: {rounding} }}"
    )
    return layer(name, blob, blob, f'type: "LPAct" precision_param {{ {text} }}')


def weights(kind: str, form: str) -> str:
    number = "{ kind: FIXED word_length: 8 frac_length: 6 }"
    return f'type: "{kind}" {form} precision_param {{ weight {number} bias {number} }}'


@pytest.mark.parametrize("rounding", ["HALF_AWAY", "HALF_EVEN", "FLOOR"])
def test_every_operation_is_exact(rounding: str, tmp_path: Path) -> None:
    """Branches, groups, dilation, deconvolution, slopes, both poolings, moves, sums, products."""
    net = net_of(
        input_layer("data", 1, 4, 9, 7)
        + point("a0", "data", 8, 4, rounding)
        + layer("c1", "data", "c1", weights(
            "Convolution", "convolution_param { num_output: 6 kernel_size: 3 pad: 2 dilation: 2"
            " group: 2 }"))
        + layer("p", "c1", "c1", 'type: "PReLU"')
        + point("a1", "c1", 8, 3, rounding)
        + layer("c2", "data", "c2", weights(
            "Convolution", "convolution_param { num_output: 6 kernel_h: 1 kernel_w: 3 pad_w: 1 }"))
        + point("a2", "c2", 6, 2, rounding)
        + layer("sum", "c1 c2", "sum", 'type: "Eltwise" eltwise_param { coeff: 1 coeff: -0.5 }')
        + layer("prod", "c1 c2", "prod", 'type: "Eltwise" eltwise_param { operation: PROD }')
        + layer("max", "c1 c2", "max", 'type: "Eltwise" eltwise_param { operation: MAX }')
        + layer("join", "sum prod max", "join", 'type: "Concat"')
        + layer("order", "join", "order", 'type: "Permute" permute_param { order: 0 order: 2'
                " order: 1 order: 3 }")
        + point("a3", "order", 8, 2, rounding)
        + layer("mean", "order", "mean", 'type: "Pooling" pooling_param { pool: AVE kernel_size: 3'
                " stride: 2 pad: 1 }")
        + layer("peak", "order", "peak", 'type: "Pooling" pooling_param { kernel_size: 3 stride: 2'
                " pad: 1 }")
        + layer("both", "mean peak", "both", 'type: "Concat" concat_param { axis: 2 }')
        + point("a4", "both", 9, 3, rounding)
        + layer("up", "both", "up", weights(
            "Deconvolution", "convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1 }"))
        + layer("leak", "up", "up", 'type: "ReLU" relu_param { negative_slope: 0.125 }')
        + point("a5", "up", 8, 2, rounding)
        + layer("flat", "up", "flat", 'type: "Flatten"')
        + layer("ip", "flat", "ip", weights(
            "InnerProduct", "inner_product_param { num_output: 5 transpose: true }"))
        + layer("prob", "ip", "prob", 'type: "Softmax"')
    )  # fmt: skip
    x = next(iter(samples(net, 2).values()))
    assert_exact(net, tmp_path / "c", x, {})


def test_npz_holds_codes_and_formats(tmp_path: Path) -> None:
    net = low_lenet()
    report = export_integer(net, tmp_path / "net.npz", input_formats={"data": PIXELS})
    assert report.files == (tmp_path / "net.npz",)
    held = np.load(tmp_path / "net.npz", allow_pickle=False)
    manifest = json.loads(str(held["manifest"]))
    assert manifest["format"] == "adaption.integer/1"
    for node in net.nodes:
        if not node.masters:
            continue
        (operation,) = (
            o for o in manifest["operations"]
            if o["layer"] == node.spec.name and o["operation"] == "Product"
        )  # fmt: skip
        (constant,) = operation["constants"]
        codes = held[constant["name"]]
        assert codes.dtype == np.int8
        assert constant["shape"] == list(codes.shape)
        values = codes * 2.0 ** -constant["frac_length"]
        np.testing.assert_array_equal(values, node.quantized_blobs()[0].numpy())


def test_hex_files_hold_twos_complement(tmp_path: Path) -> None:
    export_integer(low_lenet(4), tmp_path / "c", form="c", input_formats={"data": PIXELS})
    held = json.loads((tmp_path / "c" / "manifest.json").read_text())
    constants = [c for o in held["operations"] for c in o["constants"] if c["kind"] == "weight"]
    assert constants
    for constant in constants:
        lines = (tmp_path / "c" / constant["hex"]).read_text().split()
        assert len(lines) == np.prod(constant["shape"])
        assert {len(line) for line in lines} == {1}
        codes = [int(line, 16) - 16 * (int(line, 16) > 7) for line in lines]
        assert min(codes) >= -7
        header = (tmp_path / "c" / constant["header"]).read_text()
        body = header[header.index("= {") + 3 : header.index("};")]
        assert [int(code) for code in body.replace(",", " ").split()] == codes


def test_sums_beyond_32_bits_are_named(tmp_path: Path) -> None:
    net = net_of(
        input_layer("data", 1, 300)
        + point("a", "data", 16, 8, "HALF_AWAY")
        + layer(
            "ip", "data", "ip",
            'type: "InnerProduct" inner_product_param { num_output: 2 } precision_param {'
            " weight { kind: FIXED word_length: 16 frac_length: 15 } }",
        )
    )  # fmt: skip
    report = export_integer(net, tmp_path / "net.npz")
    assert "sums may need more than 32 bits in: ip" in report.notes


def test_names_cannot_end_a_comment_or_a_string(tmp_path: Path) -> None:
    name = 'a*/ int x; /*\\" b'
    net = net_of(
        input_layer("data", 1, 3)
        + point("p", "data", 8, 4, "HALF_AWAY")
        + layer("ip", "data", "ip", weights(
            "InnerProduct", "inner_product_param { num_output: 2 }"))
    )  # fmt: skip
    net.name = name
    export_integer(net, tmp_path / "c", form="c")
    (header,) = (p for p in (tmp_path / "c").glob("*.h") if "_run(" in p.read_text())
    assert "*/ int" not in header.read_text()


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ("", "hex", "form is 'hex', allowed: npz, c"),
        (
            input_layer("data", 1, 2, 4, 4)
            + layer("s", "data", "x", 'type: "TanH"')
            + point("a", "x", 8, 4, "HALF_AWAY")
            + layer("c", "x", "c", weights(
                "Convolution", "convolution_param { num_output: 2 kernel_size: 3 }")),
            "c",
            "runs in float32 before its bottom is rounded (TanH); this has no C form",
        ),
        (
            input_layer("data", 1, 2, 4, 4) + layer("r", "data", "r", 'type: "ReLU"'),
            "c",
            "no layer of the net is computed in integers",
        ),
    ],
    ids=["form", "float first", "float only"],
)  # fmt: skip
def test_what_cannot_be_written(text: str, form: str, message: str, tmp_path: Path) -> None:
    net = net_of(text) if text else low_lenet()
    with pytest.raises((UsageError, AdaptionError)) as e:
        export_integer(net, tmp_path / "out", form=form)
    assert message in str(e.value)
    assert not list(tmp_path.iterdir())
