"""Split layers: where, in which order and under which names. Source: insert_splits.cpp."""

from __future__ import annotations

import pytest

from adaption.graph import NetSpec, insert_splits
from tests.graph.test_build import DATA, relu, spec_of


def wiring(spec: NetSpec) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(item.name, item.bottoms, item.tops) for item in insert_splits(spec)]


LOSS = 'layer {{ name: "loss" type: "EuclideanLoss" bottom: "a" bottom: "b" top: "l" {} }}\n'
TWO = DATA + relu("a", "data", "a") + relu("b", "data", "b")


def test_a_blob_with_one_reader_has_no_split() -> None:
    assert [n for n, _, _ in wiring(spec_of(DATA + relu("a", "data", "a")))] == ["data", "a"]


def test_two_readers() -> None:
    assert wiring(spec_of(TWO))[1:] == [
        ("data_data_0_split", ("data",), ("data_data_0_split_0", "data_data_0_split_1")),
        ("a", ("data_data_0_split_0",), ("a",)),
        ("b", ("data_data_0_split_1",), ("b",)),
    ]


def test_one_layer_that_reads_a_blob_twice() -> None:
    text = DATA + 'layer { name: "e" type: "Eltwise" bottom: "data" bottom: "data" top: "e" }'
    assert wiring(spec_of(text))[2] == (
        "e",
        ("data_data_0_split_0", "data_data_0_split_1"),
        ("e",),
    )


def test_the_split_is_behind_the_last_in_place_layer_and_has_its_name() -> None:
    text = DATA + relu("in", "data", "data") + relu("a", "data", "a") + relu("b", "data", "b")
    assert wiring(spec_of(text))[1:3] == [
        ("in", ("data",), ("data",)),
        ("data_in_0_split", ("data",), ("data_in_0_split_0", "data_in_0_split_1")),
    ]


def test_tops_are_told_apart_by_their_index() -> None:
    text = 'layer { name: "d" type: "Input" top: "x" top: "y" }\n' + "".join(
        relu(f"{blob}{i}", blob, f"{blob}{i}") for blob in "yx" for i in range(2)
    )
    assert [name for name, _, _ in wiring(spec_of(text))][:3] == ["d", "x_d_0_split", "y_d_1_split"]


def test_a_loss_weight_counts_as_a_reader_and_moves_to_the_split() -> None:
    spec = insert_splits(spec_of(TWO + LOSS.format("loss_weight: 0.5") + relu("r", "l", "r")))
    loss, split, reader = spec.layers[-3:]
    assert split.tops == ("l_loss_0_split_0", "l_loss_0_split_1")
    assert list(split.message.loss_weight) == [0.5, 0.0]
    assert not loss.message.loss_weight
    assert reader.bottoms == ("l_loss_0_split_1",)
    assert spec.outputs == ("l_loss_0_split_0", "r")


def test_a_loss_weight_of_zero_is_kept() -> None:
    """Taken away, the loss would count with its default weight of 1."""
    readers = relu("r", "l", "r") + relu("s", "l", "s")
    spec = insert_splits(spec_of(TWO + LOSS.format("loss_weight: 0") + readers))
    loss = next(item for item in spec if item.name == "loss")
    split = next(item for item in spec if item.name == "l_loss_0_split")
    assert list(loss.message.loss_weight) == [0.0]
    assert not split.message.loss_weight


def test_a_loss_without_readers_has_no_split() -> None:
    spec = insert_splits(spec_of(TWO + LOSS.format("loss_weight: 0.5")))
    assert list(spec.layers[-1].message.loss_weight) == [0.5]
    assert spec.outputs == ("l",)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_splits_have_the_phase_of_the_net(phase: str) -> None:
    split = insert_splits(spec_of(TWO, phase)).layers[1]
    assert split.message.phase == ("TRAIN", "TEST").index(phase)


def test_the_net_without_splits_is_not_changed() -> None:
    spec = spec_of(TWO)
    insert_splits(spec)
    assert [item.name for item in spec] == ["data", "a", "b"]
    assert spec.layers[1].bottoms == ("data",)
