"""What is computed: nets, solvers, ONNX files, names wherever they are written."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fuzzing.base import of_message, register
from fuzzing.corpus import Corpus
from fuzzing.made import KEPT, MADE, STYLES


def _nets(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    from fuzzing.nets import random_net

    return random_net(draw).encode()


@register("net", "net.prototxt", lambda c: [b"-"], _nets, cheap=False)
def net(path: Path) -> None:
    """Build, run forward and backward, in both phases."""
    import adaption
    from adaption.errors import AdaptionError

    with contextlib.suppress(AdaptionError):
        adaption.Net(path, phase="TEST", seed=0).forward()
    made = adaption.Net(path, phase="TRAIN", seed=0)
    made.forward()
    made.backward()


def _solvers(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    from fuzzing.nets import random_solver

    return random_solver(draw).encode()


@register("solver", "solver.prototxt", lambda c: [b"-"], _solvers)
def solver(path: Path) -> None:
    """Read a solver, and follow its learning rate."""
    from adaption.solver.rates import learning_rate
    from adaption.solver.settings import read_solver
    from adaption.solver.updates import make_update

    found = read_solver(path)
    make_update(found.message)
    step = 0
    for iteration in (0, 1, 2, 100, 10**6, 2**31 - 1):
        rate, step = learning_rate(found.message, iteration, step)
        assert isinstance(rate, float)


def _onnx_seeds(corpus: Corpus) -> list[bytes]:
    return [MADE.need(f"{style}.onnx") for style in STYLES]


@register("onnx", "f.onnx", _onnx_seeds, of_message, cheap=False)
def onnx(path: Path) -> None:
    """Read and compare a file of export_onnx."""
    import adaption
    from adaption.compare.sessions import ModelFile

    if "low" not in KEPT:
        KEPT["low"] = adaption.Net("lp.prototxt", "lp.caffemodel", seed=0)
    low = KEPT["low"]
    x = {"data": np.zeros((1, 1, 8, 8), np.float32)}
    if ModelFile(path).style == "float":
        adaption.verify(low, path, inputs=x)
    else:
        adaption.verify(low, "lp", path, x)


def _names(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A net whose names are of any letters."""
    from adaption.io.prototxt import quote

    pieces = [
        "conv 1",
        "a/b",
        "..",
        "é",
        "слой",
        "\u202e",
        "\x1b[2J",
        "\0",
        "\n",
        '"',
        "*/",
        "??/",
        "%s",
    ]
    pieces += [
        "{{x}}",
        "<b>",
        "$(x)",
        "`x`",
        "\\",
        "'",
        "x" * 300,
        "",
        " ",
        "CON",
        "|",
        ";",
        "#",
        "\ufeff",
    ]
    names = ["".join(draw.choices(pieces, k=draw.choice((1, 1, 2, 3)))) for _ in range(4)]
    net_name, first, second, blob = map(quote, names)
    return (
        f'name: {net_name} layer {{ name: "d" type: "Input" top: {blob} input_param {{ shape'
        f' {{ dim: 1 dim: 2 dim: 3 dim: 3 }} }} }} layer {{ name: {first} type: "LPConvolution"'
        f" bottom: {blob} top: {first} convolution_param {{ num_output: 2 kernel_size: 2"
        ' weight_filler { type: "xavier" } } lpfp_param { bd: 2 ad: 6 } } layer { name:'
        f' {second} type: "LPAct" bottom: {first} top: {second} lpfp_param {{ bd: 4 ad: 4 }} }}'
    ).encode()


@register("names", "net.prototxt", lambda c: [b"-"], _names, cheap=False)
def names(path: Path) -> None:
    """Write names wherever they are written, and read them back where they are read."""
    import adaption
    from adaption.errors import AdaptionError, plain_text
    from adaption.io.netfile import read_net, write_net
    from adaption.numerics import FixedPoint
    from adaption.report.draw import draw

    file = read_net(path)
    write_net(file.message, "again.prototxt")
    assert read_net("again.prototxt").message == file.message, "names are lost in a prototxt"
    table = adaption.inspect(path).table()
    assert plain_text(table) == table and table.count("\n") < 12, "a table with control characters"
    made = adaption.Net(path, seed=0)
    made.save("names.caffemodel")
    layers = [layer.name for layer in adaption.read_weights("names.caffemodel")]
    assert layers == [spec.name for spec in made.spec.layers], "names are lost in a caffemodel"
    for kind in ("dot", "mmd"):
        draw(path, f"names.{kind}")
        text = Path(f"names.{kind}").read_text()
        assert plain_text(text) == text, f"control characters in {kind}"
    with contextlib.suppress(AdaptionError):
        adaption.write_weights("names.caffemodel.h5", made.weights())
    formats = {made.inputs[0]: FixedPoint(8, 4)}
    adaption.export_integer(made, "names_c", form="c", input_formats=formats)
    for file_ in Path("names_c").glob("*.[ch]"):
        assert file_.read_text().isascii(), "a C file of other letters than ASCII"
