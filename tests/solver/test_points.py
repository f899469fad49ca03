"""Every point in training, against steps written in NumPy, and the laws of weights on a grid."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import torch

from adaption.errors import FieldError, NonFiniteError
from adaption.graph import LayerSpec
from adaption.net import Point
from adaption.net.plan import LayerFormats, layer_formats, write_formats
from adaption.numerics import BinaryWeight, DynamicFixed, FixedPoint, Wrpn
from adaption.proto import caffe_pb2
from adaption.solver import Solver
from adaption.solver.listener import Listener

Array = npt.NDArray[np.float32]
Q = FixedPoint.q
STEPS, BATCH = 10, 8

NET = """
layer { name: "rows" type: "HDF5Data" top: "data" top: "target"
  hdf5_data_param { source: "rows.txt" batch_size: 8 } }
layer { name: "one" type: "InnerProduct" bottom: "data" top: "one"
  inner_product_param { num_output: 7 weight_filler { type: "gaussian" std: 0.4 }
    bias_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "one" top: "one" }
layer { name: "two" type: "InnerProduct" bottom: "one" top: "two"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.4 }
    bias_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "two" bottom: "target" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.25 lr_policy: "fixed" momentum: 0.5 weight_decay: 0.03125
max_iter: 10 random_seed: 5 snapshot_prefix: "run"
"""
PLAN = {
    Point("one", "weight"): Q("1.6"),
    Point("one", "bias"): Q("2.5"),
    Point("one", "bottom"): Q("3.4"),
    Point("one", "activation"): Q("3.3"),
    Point("one", "weight_grad"): Q("1.9"),
    Point("one", "bias_grad"): Q("2.9"),
    Point("one", "activation_grad"): Q("1.8"),
    Point("one", "weight_accumulator"): FixedPoint(9, 14),
    Point("two", "weight"): Q("1.5"),
    Point("two", "bias"): Q("2.6"),
    Point("two", "bottom"): Q("4.2"),
    Point("two", "activation"): Q("4.4"),
    Point("two", "weight_grad"): Q("2.8"),
    Point("two", "bias_grad"): Q("3.8"),
    Point("two", "activation_grad"): Q("2.7"),
}
"""All eight kinds, each at another format."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(3)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["data"] = rng.normal(size=(STEPS * BATCH, 5)).astype(np.float32)
        file["target"] = rng.normal(size=(STEPS * BATCH, 3)).astype(np.float32)
    (tmp_path / "rows.txt").write_text("rows.h5\n")
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def q(x: Array, point: Point) -> Array:
    """Round half away and saturate, symmetrically."""
    fmt = PLAN[point]
    top = 2 ** (fmt.word_length - 1) - 1
    scaled = np.asarray(x, np.float64) * 2.0**fmt.frac_length
    codes = np.clip(np.sign(scaled) * np.floor(np.abs(scaled) + 0.5), -top, top)
    return (codes * 2.0**-fmt.frac_length).astype(np.float32)


class Reference:
    """The same net and solver, one line per step of the specification."""

    def __init__(self, masters: dict[str, Array]) -> None:
        self.masters = {name: x.copy() for name, x in masters.items()}
        self.velocity = {name: np.zeros_like(x) for name, x in masters.items()}
        self.residue = np.zeros_like(masters["one.weight"])
        self.masters["one.weight"] = q(masters["one.weight"], Point("one", "weight"))

    def used(self, name: str) -> Array:
        return q(self.masters[name], Point(*name.split(".")))

    def step(self, x: Array, target: Array) -> None:
        x1 = q(x, Point("one", "bottom"))
        one = q(x1 @ self.used("one.weight").T + self.used("one.bias"), Point("one", "activation"))
        hidden = np.maximum(one, 0)
        x2 = q(hidden, Point("two", "bottom"))
        two = q(x2 @ self.used("two.weight").T + self.used("two.bias"), Point("two", "activation"))
        d2 = q((two - target) / np.float32(BATCH), Point("two", "activation_grad"))
        back = (d2 @ self.used("two.weight")) * (one > 0)
        d1 = q(back, Point("one", "activation_grad"))
        gradients = {
            "one.weight": d1.T @ x1,
            "one.bias": d1.sum(0),
            "two.weight": d2.T @ x2,
            "two.bias": d2.sum(0),
        }
        for name, gradient in gradients.items():
            layer, kind = name.split(".")
            self.update(name, q(gradient, Point(layer, f"{kind}_grad")))

    def update(self, name: str, gradient: Array) -> None:
        master = self.masters[name]
        gradient = gradient + np.float32(0.03125) * master
        self.velocity[name] = np.float32(0.5) * self.velocity[name] + np.float32(0.25) * gradient
        if name != "one.weight":
            self.masters[name] = master - self.velocity[name]
            return
        lsb = np.float32(2.0**-6)
        u = self.residue - self.velocity[name]
        k = np.sign(u) * np.floor(np.abs(u) / lsb + np.float32(0.5))
        moved = np.clip(master + k * lsb, -63 * lsb, 63 * lsb)
        self.residue = q(u - (moved - master), Point("one", "weight_accumulator"))
        self.masters[name] = moved


def masters(solver: Solver) -> dict[str, Array]:
    return {
        f"{layer}.{kind}": blob.tensor.detach().numpy().copy()
        for layer in ("one", "two")
        for kind, blob in zip(("weight", "bias"), solver.net.params[layer], strict=True)
    }


def test_ten_steps_are_those_of_numpy(here: Path) -> None:
    solver = Solver("solver.prototxt")
    solver.net.set_plan(PLAN, backward_weights="QUANTIZED")
    reference = Reference(masters(solver))
    with h5py.File("rows.h5") as file:
        x, target = file["data"][:], file["target"][:]
    for i in range(STEPS):
        solver.step(1)
        rows = slice(i * BATCH, (i + 1) * BATCH)
        reference.step(x[rows], target[rows])
    got = masters(solver)
    same = [got[name] == want for name, want in reference.masters.items()]
    # A sum in another order may meet a tie: the odd code differs then, never many.
    assert np.concatenate([s.ravel() for s in same]).mean() >= 0.98
    on_grid = got["one.weight"] * 2.0**6
    assert (on_grid == np.rint(on_grid)).all()
    residue = solver.updates.grid_updates.save()["one[0]"].numpy()
    assert (residue * 2.0**14 == np.rint(residue * 2.0**14)).all()
    assert np.abs(residue).max() > 0
    assert not np.array_equal(got["two.weight"], reference.used("two.weight"))  # a float master


# -- gradients -----------------------------------------------------------------------------------


class Seen(Listener):
    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


def updates(solver: Solver) -> dict[str, Array]:
    before = masters(solver)
    solver.step(1)
    return {name: before[name] - x for name, x in masters(solver).items()}


def test_gradients_are_rounded_behind_averaging_and_clipping_and_before_decay(here: Path) -> None:
    text = SOLVER.replace("momentum: 0.5", "momentum: 0").replace("0.25", "1")
    Path("solver.prototxt").write_text(text + "iter_size: 2 clip_gradients: 0.5")
    plain, rounded = Solver("solver.prototxt"), Solver("solver.prototxt")
    fmt = Q("1.10")
    rounded.net.set_plan({Point("one", "weight_grad"): fmt})
    decay = np.float32(0.03125) * masters(plain)["one.weight"]
    want, got = updates(plain)["one.weight"] - decay, updates(rounded)["one.weight"] - decay
    quantized = fmt.quantize(torch.from_numpy(want)).numpy()
    np.testing.assert_allclose(got, quantized, rtol=0, atol=1e-6)  # decay is added and taken off
    assert not np.allclose(got, want, rtol=0, atol=1e-5)


def test_gradients_that_are_inf_are_told_with_the_iteration(here: Path) -> None:
    solver = Solver("solver.prototxt")
    solver.net.set_plan({Point("two", "weight_grad"): DynamicFixed(8)})
    solver.step(2)
    solver.net.params["two"][0].data[...] = 3e38
    with pytest.raises(NonFiniteError) as caught:
        solver.step(1)
    assert "the weight_grad to be rounded holds inf or NaN, in iteration 2" in str(caught.value)
    assert 'layer "two" (InnerProduct)' in str(caught.value)


# -- one draw per update -------------------------------------------------------------------------

STOCHASTIC = FixedPoint(4, 3, "stochastic")
TESTED = (
    NET.replace('name: "loss"', 'name: "copy" type: "Power" bottom: "two" top: "copy" } layer {'
                ' name: "loss"')
)  # fmt: skip


def rounded_weights(solver: Solver, number: int | None = None) -> Array:
    net = solver.net if number is None else solver.test_nets[number]
    node = net.nodes[net.index("one")]
    return node.quantized_blobs()[0].detach().numpy().copy()


def test_a_stochastic_weight_is_drawn_once_per_update(here: Path) -> None:
    Path("solver.prototxt").write_text(SOLVER + "test_iter: 2 test_interval: 3 iter_size: 2")
    solver = Solver("solver.prototxt")
    solver.net.set_plan({Point("one", "weight"): STOCHASTIC})
    seen: list[Array] = []
    node = solver.net.nodes[solver.net.index("one")]
    plain = node.quantized_blobs

    def noted() -> list[torch.Tensor]:
        blobs = plain()
        seen.append(blobs[0].detach().numpy().copy())
        return blobs

    node.quantized_blobs = noted  # type: ignore[method-assign]
    solver.step(1)
    assert len(seen) == 2 and np.array_equal(*seen)  # both micro-batches
    solver.test_nets[0].share_with(solver.net)
    drawn = rounded_weights(solver)
    assert np.array_equal(rounded_weights(solver, 0), drawn)  # the test net, too
    assert not np.array_equal(drawn, seen[0])  # another update, another draw
    again = Solver("solver.prototxt")
    again.net.set_plan({Point("one", "weight"): STOCHASTIC})
    again.step(1)
    assert np.array_equal(rounded_weights(again), drawn)  # of the seed


# -- weights on their grid -----------------------------------------------------------------------

GRID = {Point("one", "weight"): Q("1.4"), Point("one", "weight_accumulator"): FixedPoint(24, 26)}


def test_an_accumulator_loses_nothing(here: Path) -> None:
    """Grid and residue together move as a float master does."""
    text = SOLVER.replace("weight_decay: 0.03125", "").replace("momentum: 0.5", "")
    Path("solver.prototxt").write_text(text)
    solver = Solver("solver.prototxt")
    solver.net.set_plan(GRID)
    before = masters(solver)["one.weight"]
    start = Q("1.4").quantize(torch.from_numpy(before)).numpy()
    total = np.zeros_like(start)
    for _ in range(5):
        solver.step(1)
        total += solver.net.params["one"][0].diff
    residue = solver.updates.grid_updates.save()["one[0]"].numpy()
    weight = masters(solver)["one.weight"]
    inside = np.abs(weight) < 15 / 16  # where nothing has saturated
    assert inside.mean() > 0.9
    np.testing.assert_allclose((weight + residue)[inside], (start - total)[inside], atol=1e-6)


def test_masters_that_are_loaded_move_onto_the_grid(here: Path) -> None:
    solver = Solver("solver.prototxt")
    solver.net.set_plan(GRID)
    solver.step(1)
    solver.net.params["one"][0].data[...] = 0.3
    solver.step(1)
    codes = masters(solver)["one.weight"] * 16
    assert (codes == np.rint(codes)).all()


def test_an_accumulator_that_is_set_anew_starts_at_zero(here: Path) -> None:
    solver = Solver("solver.prototxt")
    solver.net.set_plan(GRID)
    solver.step(2)
    assert float(solver.updates.grid_updates.save()["one[0]"].abs().max()) > 0
    solver.net.set_plan({**GRID, Point("one", "weight"): Q("1.3")})
    solver.updates.grid_updates.settle(solver.params)
    assert float(solver.updates.grid_updates.save()["one[0]"].abs().max()) == 0
    solver.net.set_plan({Point("one", "weight_accumulator"): None})
    solver.step(1)
    assert not solver.updates.grid_updates.save()


def test_layers_that_share_a_parameter_agree_about_its_gradient(here: Path) -> None:
    shared = 'param { name: "w" } param { name: "b" }'
    net = (
        NET.replace("num_output: 7", "num_output: 5")
        .replace('name: "two" type: "InnerProduct"', f'name: "two" {shared} type: "InnerProduct"')
        .replace('name: "one" type: "InnerProduct"', f'name: "one" {shared} type: "InnerProduct"')
    )
    net = net.replace("num_output: 3", "num_output: 5").replace('bottom: "target"', 'bottom: "one"')
    Path("net.prototxt").write_text(net)
    solver = Solver("solver.prototxt")
    solver.net.set_plan({Point("one", "weight_grad"): Q("1.6")})
    with pytest.raises(FieldError) as caught:
        solver.step(1)
    assert (
        "precision_param.weight_grad of the shared weight is 'float', allowed: Q1.6, which"
        in str(caught.value)
    )
    solver.net.set_plan({Point("two", "weight_grad"): Q("1.6")})
    solver.step(1)


# -- snapshots -----------------------------------------------------------------------------------


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("run_iter_10.*")}


def by_text(solver: str = SOLVER) -> None:
    """The plan as precision_param in the net."""
    from adaption.io import prototxt
    from adaption.net.format_message import format_text

    text = Path("net.prototxt").read_text()
    for layer in ("one", "two"):
        body = "".join(
            f"{p.kind} {{ {' '.join(f'{k}: {v}' for k, v in format_text(fmt))} }} "
            for p, fmt in PLAN.items()
            if p.layer == layer
        )
        head = f'name: "{layer}" type: "InnerProduct"'
        text = text.replace(
            head, f"{head} precision_param {{ {body} backward_weights: QUANTIZED }}"
        )
    prototxt.parse(text)
    Path("net.prototxt").write_text(text)
    Path("solver.prototxt").write_text(solver)


def test_a_net_that_states_the_plan_trains_the_same(here: Path) -> None:
    by_hand = Solver("solver.prototxt")
    by_hand.net.set_plan(PLAN, backward_weights="QUANTIZED")
    by_hand.step(5)
    by_text()
    stated = Solver("solver.prototxt")
    assert stated.net.plan == PLAN
    stated.step(5)
    for name, want in masters(by_hand).items():
        assert np.array_equal(masters(stated)[name], want)


def test_a_snapshot_states_the_formats_in_force(here: Path) -> None:
    solver = Solver("solver.prototxt")
    solver.net.set_plan(PLAN, backward_weights="QUANTIZED")
    weights = solver.snapshot().weights
    message = caffe_pb2.NetParameter()
    message.ParseFromString(weights.read_bytes())
    found = {
        Point(layer.name, kind): fmt
        for layer in message.layer
        for kind, fmt in layer_formats(LayerSpec(layer.name, layer.type, (), (), layer)).items()
    }
    assert found == PLAN
    own = {layer.name: layer.precision_param.backward_weights for layer in message.layer}
    assert own["one"] == own["two"] == 1 and own["relu"] == 0


def test_formats_go_through_a_message_and_back() -> None:
    every = LayerFormats(
        weight=Q("1.7"), bias=FixedPoint(8, -3, "half_even", False, "full"),
        activation=Wrpn(4, is_signed=False), bottom=DynamicFixed(8, -1, "stochastic", delayed=True),
        weight_grad=DynamicFixed(6, mask_saturated=True, min_exponent=-20),
        bias_grad=Q("2.6"), activation_grad=FixedPoint(32, 30), weight_accumulator=Q("1.20"),
        backward_weights="QUANTIZED",
    )  # fmt: skip
    for formats in (every, LayerFormats(weight=BinaryWeight(True)), LayerFormats()):
        for kind in ("InnerProduct", "LPInnerProduct"):
            layer = caffe_pb2.LayerParameter(name="l", type=kind)
            layer.lpfp_param.bd = 3
            write_formats(formats, layer)
            assert layer_formats(LayerSpec("l", kind, (), (), layer)) == formats


def test_a_stopped_and_resumed_run_is_the_uninterrupted_one(here: Path) -> None:
    by_text()
    whole = Solver("solver.prototxt")
    whole.step(10)
    first = Solver("solver.prototxt")
    first.step(4)
    state = first.snapshot().state
    resumed = Solver("solver.prototxt")
    resumed.restore(state)
    resumed.step(6)
    for name, want in masters(whole).items():
        assert np.array_equal(masters(resumed)[name], want)
    a, b = (s.updates.grid_updates.save()["one[0]"] for s in (whole, resumed))
    assert torch.equal(a, b)


def test_without_the_sidecar_accumulators_start_at_zero_and_that_is_said(here: Path) -> None:
    by_text()
    solver = Solver("solver.prototxt")
    solver.step(4)
    files = solver.snapshot()
    files.sidecar.unlink()
    seen = Seen()
    resumed = Solver("solver.prototxt", listeners=[seen])
    resumed.restore(files.state)
    assert f"{files.state} holds no weight accumulators: they start at 0" in seen.notices
    assert float(resumed.updates.grid_updates.save()["one[0]"].abs().max()) == 0
    assert np.array_equal(masters(resumed)["one.weight"], masters(solver)["one.weight"])


def test_damaged_tensors_are_refused(here: Path) -> None:
    by_text()
    solver = Solver("solver.prototxt")
    solver.step(4)
    state = solver.snapshot().state
    tensors = state.with_name(state.name + ".tensors.npz")
    tensors.write_bytes(tensors.read_bytes()[:-3] + b"abc")
    from adaption.errors import FileFormatError

    for expected in ("is damaged, or of another snapshot", "is needed to resume"):
        with pytest.raises(FileFormatError, match=expected):
            Solver("solver.prototxt").restore(state)
        tensors.unlink(missing_ok=True)


def test_delayed_exponents_go_on_after_a_snapshot(here: Path) -> None:
    delayed = {
        Point("two", kind): DynamicFixed(5, delayed=True)
        for kind in ("bottom", "activation_grad", "weight")
    }

    def solver() -> Solver:
        made = Solver("solver.prototxt")
        made.net.set_plan(delayed)
        return made

    whole, first, resumed = solver(), solver(), solver()
    whole.step(8)
    first.step(3)
    resumed.restore(first.snapshot().state)
    resumed.step(5)
    for name, want in masters(whole).items():
        assert np.array_equal(masters(resumed)[name], want)
