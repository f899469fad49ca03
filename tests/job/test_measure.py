"""measure over files: every kind of tensor, in parts, stopped and resumed, merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import adaption
from adaption.data import Transform
from adaption.errors import DataError, UsageError
from adaption.job import measure, merge_measurements
from adaption.net import Net, Point
from adaption.precision.measure import Measurement, measure_net
from adaption.precision.propose import propose

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "models/lenet_digits"
FILES = (EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_digits.caffemodel")
LMDB = EXAMPLE / "digits_test_lmdb"
SCALED = Transform(scale=1 / 16)

NET = """name: "fused"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c1" type: "Convolution" bottom: "x" top: "c1" convolution_param {
  num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "b1" type: "BatchNorm" bottom: "c1" top: "c1" }
layer { name: "s1" type: "Scale" bottom: "c1" top: "c1" scale_param { bias_term: true } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2" convolution_param {
  num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "cat" type: "Concat" bottom: "c1" bottom: "c2" top: "cat" }
layer { name: "flat" type: "Flatten" bottom: "cat" top: "flat" }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "flat" top: "ip" inner_product_param {
  num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "r2" type: "ReLU" bottom: "ip" top: "r2" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "r2" bottom: "label" top: "loss" }
"""


def same(one: Measurement, other: Measurement) -> bool:
    """Whether both have the same figures; sums may differ as sums in another order do."""
    if one.points.keys() != other.points.keys():
        return False
    for point, a in one.points.items():
        b = other.points[point]
        assert (a.count, a.zeros, a.minimum, a.maximum) == (b.count, b.zeros, b.minimum, b.maximum)
        assert (a.bins == b.bins).all() and a.grid == b.grid
        if a.above is not None and b.above is not None:
            assert (a.above == b.above).all()
        for sums in ((a.squares, b.squares), (a.magnitudes, b.magnitudes), (a.total, b.total)):
            assert sums[0] == pytest.approx(sums[1], rel=1e-6, abs=1e-6 * a.magnitudes)
    return True


@pytest.fixture(scope="module")
def whole() -> Measurement:
    return adaption.measure(
        *FILES,
        LMDB,
        transform=SCALED,
        batch_size=50,
        every_value=True,
        legacy_rule=True,
        quiet=True,
    )


def test_every_tensor_is_measured(whole: Measurement) -> None:
    assert whole.samples == 360 and whole.batches == 8 and whole.is_complete
    assert whole.preprocessing is not None and whole.preprocessing["scale"] == 1 / 16
    kinds = {p.kind for p in whole.points}
    assert kinds == {"weight", "bias", "activation"}
    data = whole[Point("data", "activation")]
    assert (data.minimum, data.maximum, data.count) == (0, 1, 360 * 64)


def test_parts_merged_equal_the_whole(whole: Measurement, tmp_path: Path) -> None:
    """Of all values: counts, min, max, histogram, grid, hence percentiles and proposed formats."""
    for i, (skip, limit) in enumerate([(0, 100), (100, 200), (300, None)]):
        measure(
            *FILES, LMDB, transform=SCALED, batch_size=50, skip=skip, limit=limit,
            every_value=True, legacy_rule=True, out=tmp_path / f"{i}.json", quiet=True,
        )  # fmt: skip
    merged = merge_measurements([tmp_path / f"{i}.json" for i in range(3)], tmp_path / "all.json")
    assert merged.samples == 360 and same(merged, whole)
    assert all(stats.above is not None for m in (merged, whole) for stats in m.points.values())
    assert same(Measurement.load(tmp_path / "all.json"), whole)
    assert same(merge_measurements([tmp_path / f"{i}.json" for i in (2, 0, 1)]), whole)
    spec = Net(FILES[0]).spec
    for rule in ("adaption", "adaption-legacy", "max", "percentile", "sqnr"):
        made, wanted = (propose(spec, m, bits=8, rule=rule) for m in (merged, whole))
        assert made.choices == wanted.choices and made.plan == wanted.plan


def test_of_samples_count_and_extremes_are_those_of_one_run() -> None:
    """Each part starts with the larger sample of a first batch, so other values are looked at."""
    one, first, rest = (
        measure(*FILES, LMDB, transform=SCALED, batch_size=60, quiet=True, skip=skip, limit=limit)
        for skip, limit in ((0, 240), (0, 120), (120, 120))
    )
    merged = rest.merge(first)
    assert any(stats.stride > 1 for stats in one.points.values())
    for point, stats in one.points.items():
        other = merged[point]
        assert (other.count, other.minimum) == (stats.count, stats.minimum)
        assert other.maximum == stats.maximum
        assert other.bins.sum() == stats.bins.sum() == stats.count
    spec = Net(FILES[0]).spec
    for rule in ("max", "adaption"):  # which look at the extremes alone
        assert (
            propose(spec, merged, bits=8, rule=rule).plan
            == propose(spec, one, bits=8, rule=rule).plan
        )


class Stopped(Exception):
    pass


def test_a_stopped_measurement_goes_on_where_it_was(
    whole: Measurement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m.json"
    forward = Net.forward
    passes: list[int] = []

    def stopping(self: Net, *args: Any, **kwargs: Any) -> Any:
        passes.append(1)
        if len(passes) == 4:
            raise Stopped
        return forward(self, *args, **kwargs)

    def run(**more: Any) -> Measurement:
        return measure(
            *FILES, LMDB, transform=SCALED, batch_size=50, every_value=True, out=out, save_every=0,
            quiet=True, **more,
        )  # fmt: skip

    monkeypatch.setattr(Net, "forward", stopping)
    with pytest.raises(Stopped):
        run()
    held = Measurement.load(out)
    assert (held.samples, held.batches, held.is_complete) == (150, 3, False)
    found = run(resume=True)
    assert len(passes) == 4 + 5  # what was done is not done again
    assert found.is_complete and same(found, whole)
    assert same(run(resume=True), whole) and len(passes) == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transform": None}, "scale is 0.0625 in one and 1.0 in the other"),
        ({"limit": 60}, "limit is 40 in one and 60 in the other"),
        ({"legacy_rule": True}, "legacy_rule is None in one and True in the other"),
    ],
)
def test_resuming_something_else(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"transform": SCALED, "limit": 40, "out": tmp_path / "m.json"}
    measure(*FILES, LMDB, **settings, quiet=True)
    with pytest.raises(DataError) as caught:
        measure(*FILES, LMDB, **{**settings, **change}, resume=True, quiet=True)
    assert message in str(caught.value) and "cannot be resumed" in str(caught.value)
    with pytest.raises(UsageError, match="resume needs the file to go on with"):
        measure(*FILES, LMDB, resume=True, quiet=True)


def test_merging_what_does_not_belong_together(whole: Measurement, tmp_path: Path) -> None:
    whole.save(tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "b.json").write_text(text.replace('"scale": 0.0625', '"scale": 1.0'))
    with pytest.raises(DataError) as caught:
        merge_measurements([tmp_path / "a.json", tmp_path / "b.json"])
    assert str(caught.value) == (
        f"{tmp_path / 'b.json'}: the preprocessing differs: scale is 0.0625 in one and 1.0 in the"
        " other\n  fix: measure with the same preprocessing everywhere"
    )
    other = Measurement.load(tmp_path / "a.json")
    weight = other.points[Point("conv1", "weight")]
    weight.bins = np.roll(weight.bins, 1)
    other.save(tmp_path / "b.json")
    with pytest.raises(DataError, match='the weights differ: "conv1:weight" has other values'):
        merge_measurements([tmp_path / "a.json", tmp_path / "b.json"])


def test_memory_does_not_grow_with_the_data(whole: Measurement, tmp_path: Path) -> None:
    """A sidecar of twice the samples is no longer: one line per tensor, counts in it."""
    whole.save(tmp_path / "a.json")
    whole.merge(whole).save(tmp_path / "b.json")
    a, b = ((tmp_path / f"{n}.json").read_text().splitlines() for n in "ab")
    assert sum('"layer"' in line for line in a) == sum('"layer"' in line for line in b)
    assert sum('"layer"' in line for line in a) == len(whole.points)


class Batch:
    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.blobs = {
            "x": torch.randn(2, 3, 8, 8, generator=generator),
            "label": torch.tensor([0.0, 2.0]),
        }
        self.names = ["a", "b"]


@pytest.fixture
def fused(tmp_path: Path) -> Net:
    (tmp_path / "net.prototxt").write_text(NET)
    net = Net(tmp_path / "net.prototxt", seed=4)
    mean, variance, factor = (blob.tensor for blob in net.params["b1"])
    mean.fill_(0.2), variance.fill_(0.7), factor.fill_(1)
    return net


def test_chains_are_measured_in_one_and_equal_layer_by_layer(fused: Net) -> None:
    """What follows from other tensors (ReLU, Concat, Flatten) equals measuring it."""
    chained = measure_net(fused, [Batch(1), Batch(2)])
    alone = measure_net(fused, [Batch(1), Batch(2)], every_layer=True)
    inside = {Point("c1", "activation"), Point("b1", "activation")}
    assert chained.points.keys() == alone.points.keys() - inside
    for point, stats in chained.points.items():
        want = alone.points[point]
        assert (stats.count, stats.zeros) == (want.count, want.zeros), point
        # A folded sum is a float32 sum in another order.
        assert stats.maximum == pytest.approx(want.maximum, rel=1e-5, abs=1e-6), point
        assert stats.mean == pytest.approx(want.mean, rel=1e-5, abs=1e-6), point
    tops: dict[str, list[torch.Tensor]] = {}

    def keep(node: Any, bottoms: Any, found: list[torch.Tensor]) -> None:
        tops.setdefault(node.spec.name, []).extend(t.clone() for t in found)

    with torch.no_grad():
        for batch in (Batch(1), Batch(2)):
            fused.forward(batch.blobs, observer=keep)
    for point, stats in alone.points.items():
        if point.kind == "activation":
            values = torch.cat([t.flatten() for t in tops[point.layer]]).double()
            assert stats.zeros == int((values == 0).sum())
            assert (stats.minimum, stats.maximum) == (float(values.min()), float(values.max()))
            assert stats.mean == pytest.approx(float(values.mean()), rel=1e-5, abs=1e-7)


def test_gradients_are_those_of_backward(fused: Net) -> None:
    found = measure_net(fused, [Batch(1)], backward=True)
    fused.clear_param_diffs()
    fused.forward(Batch(1).blobs)
    fused.backward()
    for name, index, kind in (("c1", 0, "weight_grad"), ("ip", 1, "bias_grad")):
        diff = fused.params[name][index].grad
        stats = found[Point(name, kind)]
        assert (stats.minimum, stats.maximum) == (float(diff.min()), float(diff.max()))
    # The diff of an in-place layer's top is gone when the pass is over; it was seen in time.
    assert {"r1", "s1", "b1", "c1", "r2", "ip"} <= {
        p.layer for p in found.points if p.kind == "activation_grad"
    }
    before, after = (found[Point(n, "activation_grad")] for n in ("s1", "r1"))
    assert before.zeros > after.zeros  # ReLU's backward adds zeros
    deploy = Net(EXAMPLE / "deploy.prototxt")
    with pytest.raises(UsageError, match="backward needs a net with a loss"):
        measure_net(deploy, [], backward=True)


def test_gradients_over_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = measure(EXAMPLE / "train_val.prototxt", FILES[1], limit=40, backward=True, quiet=True)
    grad = found[Point("conv1", "weight_grad")]
    assert 0 < grad.max_abs < 10 and grad.count == 144 * found.batches


def test_the_file_is_json_with_what_is_promised(whole: Measurement, tmp_path: Path) -> None:
    whole.save(tmp_path / "m.json")
    values = json.loads((tmp_path / "m.json").read_text())
    assert values["format"] == "adaption.measurement/2"
    row = next(r for r in values["tensors"] if (r["layer"], r["kind"]) == ("relu1", "activation"))
    for key in ("min", "max", "max_abs", "mean", "std", "zeros", "saturation", "percentiles"):
        assert key in row
    assert row["min"] == 0 and row["percentiles"]["50"] < row["percentiles"]["99.99"] <= row["max"]
    assert list(row["saturation"].values()) == sorted(row["saturation"].values())
    assert sum(row["histogram"]["positive"]) + row["zeros"] == row["count"]
    assert len(row["histogram"]["positive"]) < 200  # zeros do not stretch it down to denormals
