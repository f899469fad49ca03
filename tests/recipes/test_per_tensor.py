"""The recipe per_tensor: what it records, how it goes on, and what it does to parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from adaption.net import Net, Point
from adaption.net.plan import KINDS
from adaption.numerics import FixedPoint
from adaption.recipes import named_recipe
from adaption.recipes.per_tensor import BELOW_ONE, Recorded
from adaption.recipes.per_tensor_statistics import (
    KEEP,
    WARM_UP,
    Inputs,
    Moments,
    Running,
    patch_energy,
    power_step,
)
from adaption.solver import Listener, Solver
from tests.recipes.nets import layer_of
from tests.solver.runs import write_run

CPU = torch.device("cpu")


def test_averages_are_corrected_for_their_start() -> None:
    running = Running.start(CPU)
    for _ in range(3):
        running.add(torch.tensor(5.0))
        assert float(running.corrected) == pytest.approx(5.0)
    assert running.extremes == pytest.approx((5.0, 5.0))  # within the warm-up: the last
    assert Running.start(CPU).extremes == (0.0, 0.0)


def test_extremes_are_those_behind_the_warm_up() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(60, generator=generator, dtype=torch.float64)
    values[0] = 1000.0
    running = Running.start(CPU)
    total, seen = 0.0, []
    for i, value in enumerate(values, 1):
        running.add(value)
        total = KEEP * total + (1 - KEEP) * float(value)
        seen.append(total / (1 - KEEP**i))
    least, most = running.extremes
    assert (least, most) == pytest.approx((min(seen[WARM_UP:]), max(seen[WARM_UP:])))
    assert most < 1000 * KEEP**WARM_UP / 2 < max(seen[:WARM_UP])


def test_moments_are_over_all_entries() -> None:
    generator = torch.Generator().manual_seed(1)
    moments = Moments.start(CPU)
    tensors = [torch.randn(3, 4, generator=generator) + 2 for _ in range(5)]
    for x in tensors:
        moments.add(x)
    weights = [KEEP ** (4 - i) for i in range(5)]
    variance = sum(w * float(x.var(correction=0)) for w, x in zip(weights, tensors, strict=True))
    mean = sum(w * float(x.mean()) for w, x in zip(weights, tensors, strict=True))
    assert moments.sigmas[0] == pytest.approx((variance / sum(weights)) ** 0.5)
    assert float(moments.mean.corrected) == pytest.approx(mean / sum(weights))


CONV = 'type: "Convolution" convolution_param { num_output: 6 kernel_size: 3 pad: 1 stride: 2 %s }'
DECONV = (
    'type: "Deconvolution" convolution_param { num_output: 6 kernel_size: 3 stride: 2 pad: 1 %s }'
)
FC = 'type: "InnerProduct" inner_product_param { num_output: 5 %s }'


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        pytest.param(FC % "", (7, 4), id="inner product"),
        pytest.param(FC % "transpose: true", (7, 4), id="transposed"),
        pytest.param(FC % "axis: 2", (3, 2, 4), id="axis 2"),
        pytest.param(CONV % "", (3, 4, 6, 5), id="convolution"),
        pytest.param(CONV % "group: 2", (3, 4, 6, 5), id="grouped"),
        pytest.param(CONV % "dilation: 2", (3, 4, 7, 7), id="dilated"),
        pytest.param(DECONV % "", (3, 4, 4, 4), id="deconvolution"),
        pytest.param(DECONV % "group: 2", (3, 4, 4, 4), id="grouped deconvolution"),
    ],
)
def test_energy_and_singular_value_are_those_of_the_jacobian(
    text: str, shape: tuple[int, ...]
) -> None:
    """Against the whole Jacobian of the weight's gradient, entry by entry."""
    layer = layer_of(text, shape)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    weight = torch.zeros(layer.blob_shapes(shape)[0])

    def gradient(top: torch.Tensor) -> torch.Tensor:
        w = weight.clone().requires_grad_()
        y = layer.forward(x, w, *([torch.zeros(layer.num_output)] if layer.bias_term else []))
        (found,) = torch.autograd.grad(y, w, top, create_graph=True)
        return found.flatten()

    top_shape = layer.top_shapes(shape)[0]
    jacobian = torch.autograd.functional.jacobian(gradient, torch.zeros(top_shape))
    squares = jacobian.reshape(weight.numel(), -1).double().square()
    assert float(patch_energy(layer, x)) == pytest.approx(
        float(squares.sum()) / weight.numel(), rel=1e-5
    )
    direction, value = None, torch.zeros(())
    for _ in range(60):
        value, direction = power_step(layer, x, direction)
    assert float(value) == pytest.approx(float(torch.linalg.svdvals(squares)[0]), rel=1e-3)


def test_several_bottoms_count_together() -> None:
    layer = layer_of(FC % "", (7, 4))
    x = torch.rand(7, 4, generator=torch.Generator().manual_seed(3))
    found = Inputs.start(CPU)
    for _ in range(2):  # the two bottoms of a layer, seen one after the other
        found.add(layer, x, 2)
    assert found.energy.extremes[1] == pytest.approx(2 * float(patch_energy(layer, x)))


# -- in training -------------------------------------------------------------------------------


class Notices(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_run(tmp_path, solver="snapshot: 0 max_iter: 40 test_interval: 100 display: 0")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def solver_of(**settings: Any) -> Solver:
    return Solver("solver.prototxt", policy=named_recipe("per_tensor", **settings))


def recorded(solver: Solver) -> Recorded:
    assert solver.driver is not None
    state: Recorded = solver.driver.state
    return state


def test_records_gradients_and_inputs_of_what_will_be_rounded(here: Path) -> None:
    solver = solver_of(record=True, clip_parameters=False)
    gradients: dict[Point, list[float]] = {}
    inputs: list[float] = []
    for _ in range(25):
        solver.net.clear_param_diffs()
        solver.step(1)
        _, ip = (n for n in solver.net.nodes if n.layer.is_weight_layer())
        assert ip.tape is not None
        x = ip.tape.bottoms[0].detach().flatten(1)
        inputs.append(float(x.double().square().sum(0).mean()))
        top = solver.net.blobs["ip"].grad
        gradients.setdefault(Point("ip", "activation_grad"), []).append(
            float(top.double().var(correction=0))
        )
    state = recorded(solver)
    # The place of the ReLU, behind batch norm, has the gradient of conv; ip has its own.
    assert set(state.gradients) == {
        Point("conv", "weight_grad"), Point("ip", "weight_grad"),
        Point("relu", "activation_grad"), Point("ip", "activation_grad"),
    }  # fmt: skip
    assert set(state.inputs) == {"conv", "ip"}
    assert all(x.updates == 25 for x in (state.inputs["ip"].energy, state.inputs["ip"].singular))
    seen, total = [], 0.0
    for i, value in enumerate(gradients[Point("ip", "activation_grad")], 1):
        total = KEEP * total + (1 - KEEP) * value
        seen.append(total / (1 - KEEP**i))
    least, most = state.gradients[Point("ip", "activation_grad")].variance.extremes
    assert (least, most) == pytest.approx((min(seen[WARM_UP:]), max(seen[WARM_UP:])), rel=1e-4)
    seen, total = [], 0.0
    for i, value in enumerate(inputs, 1):
        total = KEEP * total + (1 - KEEP) * value
        seen.append(total / (1 - KEEP**i))
    assert state.inputs["ip"].energy.extremes[1] == pytest.approx(max(seen[WARM_UP:]), rel=1e-4)


def test_weight_gradients_are_those_of_the_update(here: Path) -> None:
    """Averaged over micro-batches; before decay, momentum and the learning rate."""
    (here / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" max_iter: 1 random_seed: 3'
        " iter_size: 2 weight_decay: 0.1 momentum: 0.9 snapshot_after_train: false"
    )
    solver = solver_of(record=True)
    plain = Solver("solver.prototxt")
    total = torch.zeros(())
    for _ in range(2):
        plain.net.clear_param_diffs()
        with torch.enable_grad():
            plain.net.forward()
        plain.net.backward()
        total = total + plain.net.params["ip"][0].grad
    solver.step(1)
    found = recorded(solver).gradients[Point("ip", "weight_grad")]
    assert found.sigmas[0] == pytest.approx(float((total / 2).std(correction=0)), rel=1e-4)


def test_recording_changes_no_bit_of_the_run(here: Path) -> None:
    runs = [solver_of(record=flag) for flag in (True, False)]
    for solver in runs:
        solver.step(12)
    first, second = ([p.blob.tensor for p in s.params] for s in runs)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_resumed_run_records_as_an_uninterrupted_one(here: Path) -> None:
    whole = solver_of(record=True)
    whole.step(30)
    first = solver_of(record=True)
    first.step(14)
    first.param.snapshot_prefix = "run"
    files = first.snapshot()
    second = solver_of(record=True)
    second.restore(files.state)
    second.step(16)
    a, b = recorded(whole), recorded(second)
    recipe = named_recipe("per_tensor", record=True)
    (values, tensors), (again, others) = recipe.save(a), recipe.save(b)
    assert json.loads(json.dumps(values)) == again
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


def test_parameters_are_kept_below_one(here: Path) -> None:
    Solver("solver.prototxt").net.save("start.caffemodel")
    net = Net("net.prototxt", "start.caffemodel", phase="TRAIN")
    net.params["ip"][0].data[0, :2] = (1.5, -1.5)
    net.params["ip"][1].data[1] = 3.0
    net.save("start.caffemodel")
    heard = Notices()
    solver = Solver(
        "solver.prototxt", "start.caffemodel", listeners=[heard], policy=named_recipe("per_tensor")
    )
    told = 'parameters beyond [-1, 1) are clipped at the first update: "ip"'
    assert any(text.startswith(told) for text in heard.texts)
    solver.step(1)
    weight, bias = (blob.tensor.detach() for blob in solver.net.params["ip"])
    assert float(weight[0, 0]) == BELOW_ONE < 1 and float(weight[0, 1]) == -1
    assert float(bias[1]) == BELOW_ONE
    free = Solver(
        "solver.prototxt",
        "start.caffemodel",
        policy=named_recipe("per_tensor", clip_parameters=False),
    )
    free.step(1)
    assert float(free.net.params["ip"][0].tensor[0, 0]) > 1.4


def test_masters_on_a_grid_are_left_alone(here: Path) -> None:
    """What lies on a grid within [-1, 1) is not written once more, and keeps its stamp."""
    text = 'net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" max_iter: 9 random_seed: 3'
    (here / "solver.prototxt").write_text(text)  # without test nets, which share the masters
    solver = solver_of()
    fmt = {"weight": FixedPoint(6, 5, range="full"), "weight_accumulator": FixedPoint(9, 14)}
    solver.net.set_plan({Point("ip", kind): f for kind, f in fmt.items()})
    solver.start_recipe()
    assert recorded(solver).on_grid == {Point("ip", "weight")}
    solver.step(2)
    kept = solver.updates.grid_updates._kept["ip[0]"]
    assert kept.stamp == solver.net.params["ip"][0].stamp()
    assert set(fmt) < set(KINDS)


def test_convolution_windows_count_padding_as_nothing() -> None:
    layer = layer_of(CONV % "", (1, 4, 6, 5))
    x = torch.rand(1, 4, 6, 5, generator=torch.Generator().manual_seed(4))
    patches = F.unfold(x, 3, padding=1, stride=2)[0]
    assert float(patch_energy(layer, x)) == pytest.approx(
        float(patches.double().square().sum(1).mean()), rel=1e-6
    )
