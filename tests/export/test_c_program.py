"""The C program as something to deploy: its memory, its types, its calls, random nets."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from math import prod
from pathlib import Path

import pytest

from adaption.errors import UsageError
from adaption.export.package import export_integer
from adaption.numerics import FixedPoint
from tests.export.code_nets import random_code_net
from tests.export.nets import input_layer, layer, net_of, samples
from tests.export.test_integer_package import (
    PIXELS,
    assert_exact,
    low_lenet,
    point,
    weights,
)

MOST = 16 << 10  # bytes of RAM for LeNet at 8 bits, inputs and outputs included


def program(folder: Path) -> tuple[str, str, str]:
    """Its name, its source, its header."""
    name = json.loads((folder / "manifest.json").read_text())["c"]["name"]
    return name, (folder / f"{name}.c").read_text(), (folder / f"{name}.h").read_text()


def tool(*names: str) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"none of these is installed: {', '.join(names)}")
    return found


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_published_lenet_needs_little_memory(shared: Path, tmp_path: Path) -> None:
    folder = shared / "models" / "lenet"
    net = low_lenet(8, folder / "deploy.prototxt", folder / "deploy.caffemodel")
    sizes = export_integer(net, tmp_path / "c", form="c", input_formats={"data": PIXELS}).sizes
    assert sizes is not None
    assert sizes.arena + sizes.input + sizes.output <= MOST
    name, source, header = program(tmp_path / "c")
    assert f"#define {name.upper()}_ARENA_BYTES {sizes.arena}\n" in header
    assert "int64_t" not in source[source.index("#endif") :]  # behind what traces
    weight_bytes = sum(prod(blob.shape) for node in net.nodes for blob in node.masters[:1])
    assert weight_bytes <= sizes.constants < weight_bytes + (4 << 10)


def test_memory_is_what_the_header_states(tmp_path: Path) -> None:
    compiler, sizer = tool("cc", "gcc", "clang"), tool("size")
    sizes = export_integer(low_lenet(), tmp_path, form="c", input_formats={"data": PIXELS}).sizes
    assert sizes is not None
    name, *_ = program(tmp_path)
    run([compiler, "-std=c99", "-O2", "-c", f"{name}.c"], tmp_path)
    sections = run([sizer, "-A", f"{name}.o"], tmp_path)
    written = {kind: int(size) for kind, size in re.findall(r"^(\.\w+)\S*\s+(\d+)", sections, re.M)}
    assert written[".bss"] == sizes.arena
    assert written.get(".data", 0) == 0


def test_one_call_from_c_plus_plus(tmp_path: Path) -> None:
    compiler, other = tool("cc", "gcc", "clang"), tool("c++", "g++", "clang++")
    export_integer(low_lenet(), tmp_path, form="c", input_formats={"data": PIXELS})
    name, _, header = program(tmp_path)
    macro = name.upper()
    (kind,) = re.findall(rf"void {name}_run\(const float \*input, (\w+) \*output\);", header)
    (tmp_path / "user.cpp").write_text(
        f'#include "{name}.h"\n#include <cstdio>\n'
        f"static float x[{macro}_INPUT_SIZE];\nstatic {kind} y[{macro}_OUTPUT_SIZE];\n"
        f'int main() {{ {name}_run(x, y); std::printf("%d", (int)sizeof y); }}\n'
    )
    run([compiler, "-std=c99", "-c", f"{name}.c"], tmp_path)
    run([other, "-Wall", "-Wextra", "-pedantic", "-o", "user", "user.cpp", f"{name}.o"], tmp_path)
    assert int(run(["./user"], tmp_path)) == 10 * int(re.findall(r"\d+", kind)[0]) // 8


def test_codes_go_in_as_well(tmp_path: Path) -> None:
    """NAME_run_codes on rounded pixels gives what NAME_run gives; codes out of range saturate."""
    compiler = tool("cc", "gcc", "clang")
    export_integer(low_lenet(), tmp_path, form="c", input_formats={"data": FixedPoint(8, 7)})
    name, _, header = program(tmp_path)
    (kind,) = re.findall(rf"void {name}_run_codes\(const (\w+) \*input", header)
    assert kind == "int8_t"
    size, out = f"{name.upper()}_INPUT_SIZE", f"{name.upper()}_OUTPUT_SIZE"
    (made,) = re.findall(rf"void {name}_run\(const float \*input, (\w+) \*output\);", header)
    (tmp_path / "user.c").write_text(
        f'#include "{name}.h"\n#include <string.h>\n'
        f"static float x[{size}]; static int8_t c[{size}]; static {made} y[{out}], z[{out}];\n"
        f"int main(void) {{\n    for (int i = 0; i < {size}; ++i) {{\n"
        "        const int code = i % 256 - 128;\n"
        "        c[i] = (int8_t)code;\n        x[i] = (float)code / 128;\n    }\n"
        f"    {name}_run(x, y);\n    {name}_run_codes(c, z);\n"
        "    return memcmp(y, z, sizeof y) != 0;\n}\n"
    )
    run([compiler, "-std=c99", "-o", "user", "user.c", f"{name}.c"], tmp_path)
    run(["./user"], tmp_path)


def test_sums_of_16_bits_take_64_where_they_must(tmp_path: Path) -> None:
    """int64_t for a sum of 300 products of 16 bits, int32_t for one of 2."""
    for inputs, kind in ((300, "int64_t"), (2, "int32_t")):
        number = "weight { kind: FIXED word_length: 16 frac_length: 15 }"
        net = net_of(
            input_layer("data", 1, inputs)
            + point("a", "data", 16 if inputs > 2 else 15, 8, "HALF_AWAY")
            + layer(
                "ip", "data", "ip",
                'type: "InnerProduct" inner_product_param { num_output: 2 bias_term: false }'
                f" precision_param {{ {number} }}",
            )
        )  # fmt: skip
        export_integer(net, tmp_path / str(inputs), form="c")
        source = program(tmp_path / str(inputs))[1]
        assert f"#define SUM {kind}" in source


IN_PLACE = {
    # A top of 16 bits, or more, that is made over a bottom of 8: where rows, chunks or channels are
    # written while values behind them are still to be read.
    "pool then sum": [
        ("p", "r", "p", 'type: "Pooling" pooling_param { kernel_size: 1 }'),
        ("s", "p data", "s", 'type: "Eltwise" eltwise_param { coeff: 4 coeff: 1 }'),
    ],
    "convolution then sum": [
        ("c", "r", "c", weights(
            "Convolution", "convolution_param { num_output: 1 kernel_size: 3 pad: 1 }")),
        ("s", "c data", "s", 'type: "Eltwise" eltwise_param { coeff: 4 coeff: 1 }'),
    ],
    "one tap, long rows": [
        ("c", "r", "s", weights(
            "Convolution", "convolution_param { num_output: 1 kernel_size: 1 }")),
    ],
    "squares around": [
        ("n", "r", "s", 'type: "LRN" lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }'),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_tops_over_bottoms_overwrite_nothing(name: str, tmp_path: Path) -> None:
    net = net_of(
        input_layer("data", 1, 1, 3, 300)
        + point("a", "data", 8, 4, "HALF_AWAY")
        + layer("r", "data", "r", 'type: "ReLU" relu_param { negative_slope: 0.5 }')
        + point("b", "r", 8, 4, "HALF_AWAY")
        + "".join(layer(*row) for row in IN_PLACE[name])
        + point("e", "s", 16, 8, "HALF_AWAY")
        + layer("mean", "s", "mean", 'type: "Pooling" pooling_param { kernel_size: 3 }')
    )
    assert_exact(net, tmp_path / "c", next(iter(samples(net, 2).values())), {})


@pytest.mark.parametrize("seed", range(4))
def test_random_nets_are_exact(seed: int, tmp_path: Path) -> None:
    net = net_of(random_code_net(seed), seed=seed)
    assert_exact(net, tmp_path / "c", next(iter(samples(net, 2).values())) * 3, {})


def test_an_older_program_goes_and_other_files_stay(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    net = low_lenet()
    net.name = "first"
    export_integer(net, folder, form="c", input_formats={"data": PIXELS})
    (folder / "mine.txt").write_text("kept")
    net.name = "second/try"
    report = export_integer(net, folder, form="c", input_formats={"data": PIXELS})
    assert report.notes[-2] == f"replaced the program of net 'first' that was in {folder}"
    assert sorted(path.name for path in folder.glob("*.c")) == ["main.c", "second_try.c"]
    assert not (folder / "first.h").exists()
    assert (folder / "mine.txt").read_text() == "kept"
    assert {path for path in report.files if not path.exists()} == set()


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    with pytest.raises(UsageError, match=r"holds main\.c, which is not of such a program"):
        export_integer(low_lenet(), tmp_path, form="c", input_formats={"data": PIXELS})
    assert [path.name for path in tmp_path.iterdir()] == ["main.c"]
