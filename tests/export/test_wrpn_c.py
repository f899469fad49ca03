"""C programs of nets with WRPN's formats: integer sums, float32 between, every bit as in exact
arithmetic."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adaption
from adaption.compare.between import check_between
from adaption.errors import LayerError
from adaption.exact import ExactNet
from adaption.export.onnx import export_onnx
from adaption.export.package import export_integer
from adaption.net import Net
from tests.export.test_c_program import tool
from tests.export.test_integer_package import PIXELS, low_lenet, ran
from tests.export.test_wrpn import CHAIN, inputs_of, wrpn_net
from tests.export.wrpn_nets import EXCEPTIONS, NETS

QUICK = (
    "weights of one bit",
    "residual sum of sums and codes, after the activation",
    "branches of floats and codes, joined, moved, cut",
    "slopes, bounds, products and maxima of floats",
)


def assert_c_is_exact(net: Net, folder: Path, count: int = 2) -> None:
    """Without warnings, clean under sanitizers, and equal in every code and every float's bits."""
    x = inputs_of(net, count)
    (blob,) = x
    values = ran(net, folder, x[blob])
    exact = ExactNet(net).run(x)
    assert set(exact.codes) <= set(values)
    for name, want in {**exact.codes, **exact.floats}.items():
        if name in values:
            found = values[name].astype(want.numpy().dtype)
            np.testing.assert_array_equal(found, want.numpy().reshape(count, -1), name)
    # what is left out stands behind what the program ends with
    for out, name in exact.program.outputs.items():
        if name in values:
            np.testing.assert_array_equal(values[out], values[name])


@pytest.mark.parametrize("name", QUICK)
def test_c_program_equals_exact_arithmetic_in_every_bit(name: str, tmp_path: Path) -> None:
    assert_c_is_exact(wrpn_net(NETS[name]), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*NETS, "chain"}.difference(QUICK)))
def test_every_c_program_equals_exact_arithmetic(name: str, tmp_path: Path) -> None:
    assert_c_is_exact(wrpn_net({**NETS, "chain": CHAIN}[name]), tmp_path)


MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize(
    ("model", "weight_bits", "activation_bits", "factor", "more"),
    [
        pytest.param("lenet_digits", 2, 2, 1, {}, id="LeNet 2/2"),
        pytest.param("lenet_digits", 4, 4, 2, {}, id="LeNet 2x 4/4", marks=pytest.mark.slow),
        pytest.param("lenet_digits", 1, 1, 1, {}, id="LeNet 1/1", marks=pytest.mark.slow),
        pytest.param(
            "lenet_digits", 1, 1, 2, {"per_filter": True, "first_last": "quantized"},
            id="LeNet 2x 1/1 per filter",
        ),
        pytest.param(
            "cifar10_preresnet20", 2, 4, 1, {}, id="ResNet-20 2/4", marks=pytest.mark.slow
        ),
        pytest.param(
            "cifar10_preresnet20", 1, 1, 2, {"per_filter": True}, id="ResNet-20 2x 1/1",
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_c_programs_of_rewritten_models(
    model: str,
    weight_bits: int,
    activation_bits: int,
    factor: int,
    more: dict[str, Any],
    tmp_path: Path,
) -> None:
    wide = adaption.widen(MODELS / model / "deploy.prototxt", factor=factor).nets[0]
    low = adaption.rewrite(
        wide, recipe="wrpn", weight_bits=weight_bits, activation_bits=activation_bits, **more
    )
    adaption.write_net(low, tmp_path / "low.prototxt")
    net = wrpn_net((tmp_path / "low.prototxt").read_text())
    assert_c_is_exact(net, tmp_path / "c")


def test_verify_compares_c_with_exact_arithmetic_and_with_a_file(tmp_path: Path) -> None:
    """Float results, too: nine digits hold every float32."""
    net = wrpn_net(CHAIN)
    export_onnx(net, tmp_path / "net.onnx", style="integer")
    for other in ("exact", tmp_path / "net.onnx"):
        between = check_between(net, "c", other, inputs_of(net))
        assert between.ok
        assert [top.differing for top in between.tops] == [0] * len(between.tops)
        assert {top.layer for top in between.tops} >= {"c0", "a0", "c1", "c1_bn", "a3", "ip"}


def test_c_program_states_how_it_has_to_be_compiled(tmp_path: Path) -> None:
    report = export_integer(wrpn_net(CHAIN), tmp_path, form="c")
    assert report.sizes is not None and report.sizes.output == 4 * 3
    (header,) = (p for p in tmp_path.glob("*.h") if "_run(" in p.read_text())
    assert "-ffp-contract=off" in header.read_text()
    assert 'Output "ip": 3 values of float' in header.read_text()
    assert "float *output" in header.read_text()
    assert "-ffp-contract=off" in (tmp_path / "Makefile").read_text()
    assert "const float c1_scale" not in header.read_text()  # a number in the code
    # float32 weights as the bits that they are
    bits = np.array(
        [int(n, 16) for n in (tmp_path / "hex/c0_weight.hex").read_text().split()], np.uint32
    )
    stated = (tmp_path / "weights" / "c0_weight.h").read_text()
    numbers = [float.fromhex(n) for n in re.findall(r"(-?0x[0-9a-f.p+-]+)f", stated)]
    np.testing.assert_array_equal(bits.view(np.float32), numbers)
    compiler = tool("cc", "gcc", "clang")
    made = subprocess.run(
        [compiler, "-std=c99", "-ffast-math", "-c", f"{header.stem}.c"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode and "compile without -ffast-math" in made.stderr


def test_nothing_is_fused_without_flags_either(tmp_path: Path) -> None:
    """The file asks for it itself: GCC fuses outside of -std=c99, where the processor can."""
    compiler = tool("cc", "gcc", "clang")
    export_integer(wrpn_net(CHAIN), tmp_path, form="c")
    (source,) = (p for p in tmp_path.glob("*.c") if p.name != "main.c")
    command = [compiler, "-std=gnu11", "-O3", "-mfma", "-S", "-o", "-"]
    probe = tmp_path / "probe.c"
    probe.write_text("float f(float x, float y, float z);\n"
                     "float f(float x, float y, float z) { return x * y + z; }\n")  # fmt: skip
    made = subprocess.run([*command, probe], capture_output=True, text=True, check=False)
    if made.returncode or "fmadd" not in made.stdout:
        pytest.skip("the compiler fuses nothing here")
    made = subprocess.run([*command, source], capture_output=True, text=True, check=True)
    assert not re.findall(r"fn?m(?:add|sub)\d+s\w", made.stdout)


def test_nets_of_fixed_point_have_no_float32_in_c(tmp_path: Path) -> None:
    export_integer(low_lenet(), tmp_path, form="c", input_formats={"data": PIXELS})
    assert not (tmp_path / "floats.h").exists()
    assert "-ffp-contract" not in (tmp_path / "Makefile").read_text()


@pytest.mark.parametrize(("text", "names"), EXCEPTIONS.values(), ids=list(EXCEPTIONS))
def test_c_programs_refuse_layers_whose_last_bits_may_differ(
    text: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(LayerError, match="runs in float32 before its bottom is rounded") as caught:
        export_integer(wrpn_net(text), tmp_path / "c", form="c")
    assert f'layer "{names[0]}"' in str(caught.value)
    assert not (tmp_path / "c").exists()
