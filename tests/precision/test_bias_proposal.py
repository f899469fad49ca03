"""Biases of shared exponents by SQNR: against tensors that are rounded, whatever their scale."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from adaption.cli.main import main
from adaption.errors import DataError, FieldError
from adaption.job import merge_measurements
from adaption.net import Net, Point
from adaption.numerics import DynamicFixed, sqnr_db
from adaption.precision.bias_proposal import SWEEP, propose_biases
from adaption.precision.measure import Measurement, _with_own_scale, measure_net
from adaption.precision.statistics import TensorStats
from tests.net.nets import data, euclidean, inner_product, layer, net_of, normal

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "models/lenet_digits"


def laplace(*shape: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=g).log() * torch.randn(shape, generator=g).sign()


# -- statistics in a tensor's own scale ----------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1.99, 2.0**-30, 3e15, 1e-31, 1e-37, 0.1, 1e-44])
def test_own_scale_is_that_of_the_scaled_tensor(scale: float) -> None:
    x = normal(3000) * scale
    exponent = math.frexp(float(x.abs().max()))[1] - 1
    want = TensorStats.of((x.double() * 2.0**-exponent).float())
    got = _with_own_scale(x).own_scale
    assert got is not None
    if 1e-30 < scale < 1e15:
        direct = TensorStats.of(x).over_own_power()
        assert (direct.bins == want.bins).all() and direct.squares == pytest.approx(want.squares)
    assert (got.bins == want.bins).all() and 1 <= got.max_abs < 2
    for name in ("count", "zeros", "minimum", "maximum"):
        assert getattr(got, name) == getattr(want, name)
    for name in ("total", "squares", "magnitudes", "signed_squares"):
        assert getattr(got, name) == pytest.approx(getattr(want, name), rel=1e-5, abs=1e-5)


def test_zeros_and_tiny_values_have_no_scale() -> None:
    for x in (torch.zeros(4), torch.full((3,), 1e-41), torch.zeros(0)):
        stats = TensorStats.of(x)
        assert (stats.over_own_power().bins == stats.bins).all()
    mixed = TensorStats.of(torch.tensor([1e-44, 1000.0, 0.0, 2e-38])).over_own_power()
    assert mixed.count == 4 and mixed.zeros == 1 and int(mixed.bins.sum()) == 4


def test_it_is_kept_added_up_and_saved() -> None:
    a, b = (TensorStats.of(normal(500, seed=s) * 10.0**s) for s in (0, 3))
    for stats in (a, b):
        stats.own_scale = stats.over_own_power()
    both = a.merge(b)
    assert both.own_scale is not None and both.own_scale.count == 1000
    assert both.own_scale.max_abs < 2 < both.max_abs
    again = TensorStats.from_dict(json.loads(json.dumps(both.to_dict())))
    assert again.own_scale is not None and (again.own_scale.bins == both.own_scale.bins).all()
    assert again.own_scale.squares == both.own_scale.squares
    assert a.merge(TensorStats.of(normal(5))).own_scale is None
    copied = both.copy()
    copied.own_scale.bins[:] = 0  # type: ignore[union-attr]
    assert both.own_scale.bins.any()


# -- a net whose tensors are known ---------------------------------------------------------------

NET = (
    data(64, 50) + data(64, 40, name="target")
    + inner_product("first", "data", 50) + inner_product("one", "first", 300)
    + layer("Power", "less", "one", more="power_param { scale: 0.001 }")
    + inner_product("two", "less", 200) + inner_product("last", "two", 40)
    + euclidean("loss", "last target")
)  # fmt: skip


def measured(
    batches: int = 3, **weights: Tensor
) -> tuple[Net, Measurement, dict[Point, list[Tensor]]]:
    """The net, its measurement, and every tensor of it, seen apart."""
    net = net_of("force_backward: true\n" + NET)
    for name, values in weights.items():
        net.params[name][0].tensor.detach().copy_(values)
    feed = [
        SimpleNamespace(
            blobs={
                "data": normal(64, 50, seed=i).numpy() * 7.0**i,
                "target": normal(64, 40, seed=9 + i).numpy(),
            },
            names=["x"] * 64,
        )
        for i in range(batches)
    ]
    made = measure_net(net, feed, backward=True)
    seen: dict[Point, list[Tensor]] = {}
    net.watch(("bottom", "weight", "activation_grad"), lambda p, x: seen.setdefault(p, []).append(
        x.detach().clone()))  # fmt: skip
    for batch in feed:
        with torch.enable_grad():
            net.forward(batch.blobs)
        net.backward()
    return net, made, seen


def of_tensors(tensors: list[Tensor], bits: int, bias: int) -> float:
    """The ratio, averaged, of tensors that are rounded, each on its own grid."""
    fmt = DynamicFixed(bits, bias)
    ratios = []
    for x in tensors:
        exponent = math.frexp(float(x.abs().max()))[1] - 1
        own = x.double() * 2.0**-exponent
        ratios.append((own, own - fmt.quantize(x).double() * 2.0**-exponent))
    signal = sum(float(a.square().sum()) for a, _ in ratios)
    return sum(float(b.square().sum()) for _, b in ratios) / signal


@pytest.mark.parametrize("bits", [3, 4, 6, 8])
def test_sqnr_is_that_of_rounding_each_tensor(bits: int) -> None:
    """Batches differ seven times in range: what counts is each one's own exponent. Where a few
    values saturate, a histogram tells the noise within 2 dB, elsewhere within 0.3."""
    net, made, seen = measured(one=laplace(300, 50), two=normal(200, 300, seed=4) / 100)
    got = propose_biases(net.spec, made, bits=bits)
    kinds = {"weight": "weight", "activation": "bottom", "gradient": "activation_grad"}
    for name, kind in kinds.items():
        for s in SWEEP:
            each = [of_tensors(seen[Point(n, kind)], bits, s) for n in ("one", "two")]
            want = -10 * math.log10(sum(each) / 2)
            assert got.sqnr_db[name][s] == pytest.approx(want, abs=0.4 if s < -1 or s >= 0 else 2)
        best = max(SWEEP, key=lambda s: got.sqnr_db[name][s])
        assert got.biases[name] == best
    assert {(row["layer"], row["kind"]) for row in got.layers} == {
        (n, k) for n in ("one", "two") for k in kinds.values()
    }


def test_bells_get_a_bias_and_uniform_tensors_none() -> None:
    flat = torch.rand(300, 50, generator=torch.Generator().manual_seed(0)) * 2 - 1
    net, made, _ = measured(one=flat, two=flat[:200].repeat(1, 6))
    assert propose_biases(net.spec, made, bits=4).biases["weight"] == 0
    net, made, _ = measured(one=normal(300, 50), two=normal(200, 300, seed=1) * 1e-6)
    got = propose_biases(net.spec, made, bits=4)
    assert got.biases == {"weight": -1, "activation": -1, "gradient": -1}
    assert got.rewriting() == {"bits": 4, "bias_weight": -1, "bias_activation": -1,
                               "bias_gradient": -1}  # fmt: skip


def test_scaling_a_net_changes_nothing() -> None:
    """But for biases, which do not scale."""
    values = {"one": normal(300, 50), "two": normal(200, 300, seed=1)}
    net, made, _ = measured(**values)
    _, scaled, _ = measured(**{name: x * 2.0**9 for name, x in values.items()})
    a, b = (propose_biases(net.spec, m, bits=5) for m in (made, scaled))
    for name in ("weight", "activation"):
        assert a.sqnr_db[name] == pytest.approx(b.sqnr_db[name], abs=0.1)


def test_weights_that_lose_nothing() -> None:
    """An SQNR without noise is null in JSON; of equal biases the one nearest to 0 is taken."""
    grid = torch.randint(-3, 4, (300, 50), generator=torch.Generator().manual_seed(0)).float() / 8
    net, made, _ = measured(one=grid, two=grid[:200].repeat(1, 6))
    got = propose_biases(net.spec, made, bits=8).to_dict()
    assert got["s_w"] == 0 or got["sqnr_db"]["weight"]["0"] is not None


# -- which layers, and what is missing -----------------------------------------------------------


def test_first_and_last_layers_count_where_they_are_quantized() -> None:
    net, made, _ = measured()
    every = propose_biases(net.spec, made, bits=4, first_last="quantized")
    assert {row["layer"] for row in every.layers} == {"first", "one", "two", "last"}
    assert every.rewriting()["first_last"] == "quantized"
    small = net_of(data(4, 3) + inner_product("a", "data") + inner_product("b", "a"))
    with pytest.raises(FieldError) as caught:
        propose_biases(small.spec, made)
    assert str(caught.value).endswith(
        "first_last is 'float', allowed: quantized, as every weight layer of this net is a first or"
        " a last one"
    )


def test_what_was_not_measured() -> None:
    net, made, _ = measured()
    plain = measure_net(net, [SimpleNamespace(blobs={}, names=["x"])])
    with pytest.raises(FieldError) as caught:
        propose_biases(net.spec, plain)
    assert str(caught.value) == (
        "measurement is 'without \"one:bottom\" of each tensor', allowed: one with gradients\n"
        "  fix: measure again: adaption measure NET WEIGHTS --backward -o FILE"
    )
    made.points[Point("one", "activation_grad")].own_scale.bins[0, -1] += 1  # type: ignore[union-attr]
    with pytest.raises(FieldError, match='"one:activation_grad" with inf or NaN'):
        propose_biases(net.spec, made)
    with pytest.raises(FieldError, match="recipe is 'wrpn', allowed: sdfp"):
        propose_biases(net.spec, made, recipe="wrpn")
    with pytest.raises(DataError, match="the weights differ"):
        made.merge(measured(one=normal(300, 50))[1])


def test_measurements_add_up(tmp_path: Path) -> None:
    """Of two parts, saved and merged, the same biases follow as of the whole."""
    net = net_of("force_backward: true\n" + NET)
    feed = [SimpleNamespace(blobs={"data": normal(64, 50, seed=i).numpy() * 5.0**i,
                                   "target": normal(64, 40, seed=i).numpy()}, names=["x"])
            for i in range(4)]  # fmt: skip
    whole = measure_net(net, feed, backward=True)
    parts = [measure_net(net, part, backward=True) for part in (feed[:2], feed[2:])]
    for i, part in enumerate(parts):
        part.save(tmp_path / f"{i}.json")
    merged = merge_measurements([tmp_path / "0.json", tmp_path / "1.json"])
    a, b = (propose_biases(net.spec, m, bits=4).to_dict() for m in (whole, merged))
    assert a == b


# -- the verb ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gradients of the embedded example."""
    path = tmp_path_factory.mktemp("measured") / "m.json"
    files = [str(EXAMPLE / "train_val.prototxt"), str(EXAMPLE / "lenet_digits.caffemodel")]
    here = Path.cwd()
    try:
        import os

        os.chdir(ROOT)
        assert (
            main(["measure", *files, "--backward", "--limit", "64", "-o", str(path), "--quiet"])
            == 0
        )
    finally:
        os.chdir(here)
    return path


def proposed(file: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, Any]:
    net = str(EXAMPLE / "train_val.prototxt")
    capsys.readouterr()
    code = main(["propose", net, str(file), "--recipe", "sdfp", *flags])
    return code, capsys.readouterr()


def test_json(file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "biases.json"
    code, said = proposed(file, capsys, "--bits", "4", "--json", "-o", str(out))
    values = json.loads(said.out)
    assert code == 0 and json.loads(out.read_text()) == values
    assert set(values["sqnr_db"]) == {"weight", "activation", "gradient"}
    for name, key in (("weight", "s_w"), ("activation", "s_a"), ("gradient", "s_g")):
        row = values["sqnr_db"][name]
        assert list(row) == ["-3", "-2", "-1", "0", "1"]
        assert row[str(values[key])] == max(row.values())
    assert values["bits"] == 4 and {r["layer"] for r in values["layers"]} == {"conv2", "ip1"}


def test_the_next_command_works(
    file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import shlex

    code, said = proposed(file, capsys, "--bits", "6", "--first-last", "quantized")
    assert code == 0 and "SQNR at -1" in said.out
    command = shlex.split(said.out.splitlines()[-1].removeprefix("next: adaption "))
    assert command[-2:] == ["-o", "sdfp.prototxt"]
    out = tmp_path / "low.prototxt"
    assert main([*command[:-1], str(out)]) == 0
    plan = Net(out, input_shapes={"data": (1, 1, 8, 8), "label": (1,)}).plan
    assert {p.layer for p in plan} == {"conv1", "conv2", "ip1", "ip2"}


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        (["--recipe", "adapt"], "recipe is 'adapt', allowed: sdfp"),
        (["--recipe", "sdfp", "--rule", "max"], "--rule is not for --recipe sdfp"),
        (["--recipe", "sdfp", "--int8"], "--int8 is not for --recipe sdfp"),
        (["--recipe", "sdfp", "--bits", "4", "--bits", "weight=3"], "--bits is given several"),
        (["--recipe", "sdfp", "--bits", "weight=3"], "bits is 'weight=3', allowed: 2..16"),
        (["--recipe", "sdfp", "--first-last", "no"], "first_last is 'no', allowed: float,"),
        (["--first-last", "float", "-o", "x.json"], "--first-last is a flag of --recipe"),
        ([], "-o is missing"),
    ],
)
def test_bad_flags(
    flags: list[str], want: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = str(EXAMPLE / "train_val.prototxt")
    assert main(["propose", net, str(file), *flags]) == 2
    assert capsys.readouterr().err.startswith(f"adaption propose: {want}")


def test_the_classes_of_the_example(file: Path) -> None:
    """Its arrays are those that numpy finds from the caffemodel."""
    got = propose_biases(EXAMPLE / "train_val.prototxt", file, bits=8)
    net = Net(EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_digits.caffemodel")
    rows = {row["layer"]: row["sqnr_db"] for row in got.layers if row["kind"] == "weight"}
    for name, sqnr in rows.items():
        x = net.params[name][0].tensor.detach()
        assert sqnr[0] == pytest.approx(sqnr_db(x, DynamicFixed(8).quantize(x)), abs=0.5)
    assert np.isfinite(list(rows["ip1"].values())).all()
