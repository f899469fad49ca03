"""Batches that two nets share come out as if one net had run them one after the other."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator
from threading import current_thread, main_thread
from typing import Any

import pytest
import torch

from adaption.data.loader import Batch
from adaption.errors import DataError
from adaption.net import Net
from adaption.precision import evaluate
from adaption.precision.evaluate import Run, run_net
from adaption.precision.measure import ActivationObserver, Measurement, measure_weights
from adaption.precision.turns import Lane, Turns
from tests.net.nets import data, layer, net_of
from tests.precision.test_evaluate import NETS, conv

pytestmark = pytest.mark.usefixtures("two_threads")


def batches(count: int = 9) -> list[Batch]:
    made = torch.randn(count, 4, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2
    return [
        Batch({"data": x.numpy()}, None, [f"{i}{c}" for c in "abcd"]) for i, x in enumerate(made)
    ]


def measured_run(net: Net) -> tuple[Run, Measurement]:
    made = measure_weights(net)
    return run_net(net, batches(), observers=[ActivationObserver(made)]), made


@pytest.mark.parametrize("name", NETS)
def test_two_nets_give_the_bits_of_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nets: list[Net | None] = []

    def twin_of(net: Net) -> Net | None:
        nets.append(real(net))
        return nets[-1]

    real = evaluate.twin_of
    monkeypatch.setattr(evaluate, "twin_of", twin_of)
    found, measured = measured_run(net_of(data(4, 3, 6, 6) + NETS[name]))
    assert nets[0] is not None
    monkeypatch.setattr(evaluate, "twin_of", lambda net: None)
    want, alone = measured_run(net_of(data(4, 3, 6, 6) + NETS[name]))
    assert (found.samples, found.points, found.input_zeros) == (36, want.points, want.input_zeros)
    assert all(map(torch.equal, found.outputs["end"], want.outputs["end"]))
    assert list(measured.rows()) == list(alone.rows())


@pytest.mark.parametrize(
    "text",
    [
        layer("Dropout", "end", "data", more="dropout_param { sample_weights_test: true }"),
        layer(
            "LPAct", "end", "data", more="lpfp_param { bd: 2 ad: 1 rounding_scheme: STOCHASTIC }"
        ),
        layer("BatchNorm", "end", "data", more="batch_norm_param { use_global_stats: false }"),
        layer("DummyData", "e", "", more="dummy_data_param { shape { dim: 4 } }")
        + layer("Split", "end", "data"),
    ],
    ids=["draws", "rounds at random", "counts batches", "keeps a state"],
)
def test_passes_that_depend_on_each_other_run_one_by_one(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twin_of(net: Net) -> Net | None:
        raise AssertionError("asked for a second net")

    monkeypatch.setattr(evaluate, "twin_of", twin_of)
    assert run_net(net_of(data(4, 3, 6, 6) + text), batches()).samples == 36


def test_another_observer_sees_the_batches_in_order() -> None:
    net, seen = net_of(data(4, 3, 6, 6) + conv("end", "data", "Convolution")), []
    run_net(net, batches(), observers=[lambda node, b, t: seen.append(current_thread())])
    assert set(seen) == {main_thread()}


def test_the_error_is_that_of_the_first_batch_at_fault() -> None:
    given = batches()
    for i in (4, 5, 7):
        given[i].blobs["data"][1, 0, 0, 0] = float("nan")
    net = net_of(data(4, 3, 6, 6) + conv("end", "data", "Convolution"))
    with pytest.raises(DataError, match="sample '4b'"):
        run_net(net, given)


class Recorded(Lane):
    """Settles into a list; a batch is how long it takes, or an error."""

    def __init__(self, settled: list[Any]) -> None:
        self.settled = settled

    def run(self, batch: Any) -> None:
        if isinstance(batch, BaseException):
            raise batch
        time.sleep(batch)

    def settle(self, batch: Any) -> None:
        self.settled.append(batch)


def test_batches_settle_in_their_order() -> None:
    settled: list[Any] = []
    given = [0.03, 0.0, 0.001, 0.02, 0.0, 0.0, 0.005, 0.0]
    Turns(given).all([Recorded(settled) for _ in range(3)])
    assert settled == given


@pytest.mark.parametrize("error", [DataError("no"), KeyboardInterrupt(), MemoryError()])
def test_nothing_settles_behind_an_error(error: BaseException) -> None:
    settled: list[Any] = []
    turns = Turns([0.0, 0.02, error, 0.0, 0.0, 0.0])
    with pytest.raises(type(error)):
        turns.all([Recorded(settled) for _ in range(2)])
    # Ctrl-C does not wait for its turn.
    assert settled == [0.0, 0.02][: len(settled)]
    assert isinstance(error, KeyboardInterrupt) or len(settled) == 2


def test_an_error_of_the_source_comes_behind_the_batches_before_it() -> None:
    def source() -> Iterator[float]:
        yield 0.02
        yield 0.0
        raise DataError("cut short")

    settled: list[Any] = []
    with pytest.raises(DataError, match="cut short"):
        Turns(source()).all([Recorded(settled) for _ in range(2)])
    assert settled == [0.02, 0.0]


def test_inputs_that_no_batch_gives_keep_their_values() -> None:
    text = data(4, 3, 6, 6) + data(4, 3, 6, 6, name="more") + layer("Eltwise", "end", "data more")
    net = net_of(text)
    net.blobs["more"].data[...] = 3
    found = run_net(net, batches()).outputs["end"]
    want = [torch.from_numpy(batch.blobs["data"]) + 3 for batch in batches()]
    assert all(map(torch.equal, found, want))


def test_a_source_may_fill_its_arrays_again() -> None:
    def source() -> Iterator[Batch]:
        for batch in batches():
            held[...] = batch.blobs["data"]
            yield batch._replace(blobs={"data": held})
            held[...] = 0

    held = batches()[0].blobs["data"].copy()
    text = data(4, 3, 6, 6) + conv("end", "data", "Convolution")
    found = run_net(net_of(text), source()).outputs["end"]
    want = run_net(net_of(text), batches()).outputs["end"]
    assert all(map(torch.equal, found, want))


def test_threads_are_those_that_torch_was_given() -> None:
    counts: list[int] = []

    class Counting(Recorded):
        def run(self, batch: Any) -> None:
            counts.append(torch.get_num_threads())
            super().run(batch)

    torch.set_num_threads(3)
    Turns([0.01] * 6).all([Counting([]) for _ in range(2)])
    assert counts == [3] * 6


def test_an_error_keeps_nothing_alive() -> None:
    net = net_of(data(4, 3, 6, 6) + conv("end", "data", "Convolution"))
    given = batches()
    given[6].blobs["data"][0] = float("nan")
    held = weakref.ref(net)
    gc.disable()
    try:
        with pytest.raises(DataError):
            run_net(net, given)
        del net
        assert held() is None
    finally:
        gc.enable()
