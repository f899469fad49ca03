"""Which blob speaks for a net, and what every classifier said."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from adaption.errors import UsageError
from adaption.precision.classifiers import Classifiers, find_classifiers
from adaption.precision.detections import compare_detections
from adaption.precision.evaluate import Tally, compare_runs, run_net
from tests.net.nets import data, inner_product, layer, net_of

DATA = data(2, 3) + data(2, name="label") + data(2, 1, name="other")


def softmax_loss(name: str, scores: str, label: str = "label", weight: float | None = None) -> str:
    more = "" if weight is None else f"loss_weight: {weight}"
    return layer("SoftmaxWithLoss", name, f"{scores} {label}", more=more)


def accuracy(name: str, scores: str, label: str = "label", more: str = "") -> str:
    return layer("Accuracy", name, f"{scores} {label}", more=f"accuracy_param {{ {more} }}")


def two(first: str, second: str) -> str:
    return DATA + inner_product("a", "data", 4) + inner_product("b", "data", 4) + first + second


def found(text: str, chosen: str | None = None) -> Classifiers:
    net = net_of(text)
    return find_classifiers(net.spec, net, chosen)


@pytest.mark.parametrize(
    ("text", "main", "all_of_them"),
    [
        pytest.param(
            two(softmax_loss("l1", "a", weight=0.3), softmax_loss("l2", "b")),
            "b",
            ["a", "b"],
            id="the greater weight, last",
        ),
        pytest.param(
            two(softmax_loss("l1", "a"), softmax_loss("l2", "b", weight=0.3)),
            "a",
            ["a", "b"],
            id="the greater weight, first",
        ),
        pytest.param(
            two(softmax_loss("l1", "a", weight=2), softmax_loss("l2", "b", weight=2)),
            "b",
            ["a", "b"],
            id="of equal weights the last",
        ),
        pytest.param(
            two(accuracy("a1", "a"), accuracy("a2", "b", "other")),
            "b",
            ["a", "b"],
            id="accuracies alone, two labels",
        ),
        pytest.param(
            two(
                softmax_loss("l1", "a", weight=0.3) + accuracy("a1", "a"),
                accuracy("a2", "b") + accuracy("a5", "b", more="top_k: 2") + softmax_loss("l", "b"),
            ),
            "b",
            ["a", "b"],
            id="each once",
        ),
        pytest.param(
            two(
                layer("Softmax", "p", "a") + accuracy("a1", "p"),
                softmax_loss("l1", "a", weight=3) + softmax_loss("l2", "b"),
            ),
            "p",
            ["p", "b"],
            id="an accuracy of the softmax and a loss of its bottom are one",
        ),
        pytest.param(
            two(layer("Softmax", "p1", "a"), layer("Softmax", "p2", "b")),
            "p2",
            ["p1", "p2"],
            id="two softmax outputs",
        ),
        pytest.param(
            two(layer("Softmax", "p1", "a"), ""), "p1", ["p1"], id="a softmax beside other outputs"
        ),
        pytest.param(DATA + inner_product("a", "data", 4), "a", ["a"], id="the only output"),
    ],
)
def test_the_main_one(text: str, main: str, all_of_them: list[str]) -> None:
    made = found(text)
    assert made.main == main and [c.scores for c in made.all] == all_of_them
    assert bool(made.why) == (len(all_of_them) > 1)
    if made.why:
        assert f'"{main}" is the main one' in made.why and "--score" in made.why


def test_outputs_that_nothing_tells_apart() -> None:
    made = found(two("", ""))
    assert made.main is None and not made.all and made.unclear == ("a", "b")
    assert found(two("", ""), "a").main == "a"


def test_another_one() -> None:
    text = two(softmax_loss("l1", "a", weight=0.3), softmax_loss("l2", "b"))
    made = found(text, "a")
    assert made.main == "a" and [c.scores for c in made.all] == ["a", "b"] and not made.why
    hidden = (
        DATA + inner_product("h", "data", 5) + inner_product("b", "h", 4) + softmax_loss("l", "b")
    )
    made = found(hidden, "h")
    assert made.main == "h" and made.all[-1].label == "label"
    with pytest.raises(UsageError, match=r"no blob 'aa' to score"):
        found(text, "aa")
    with pytest.raises(UsageError, match=r"blob 'label' has shape \(2,\), allowed: one score"):
        found(text, "label")


def test_settings_of_their_layers() -> None:
    maps = data(1, 3, 2, 2) + data(1, 2, 2, name="label")
    text = maps + softmax_loss("l", "data").replace(
        '"l" type', '"l" loss_param { ignore_label: 7 } type'
    )
    (one,) = found(text).all
    assert (one.axis, one.ignore_label, one.label) == (1, 7, "label")
    (one,) = found(DATA + accuracy("acc", "data", more="axis: -1 ignore_label: 0")).all
    assert (one.axis, one.ignore_label) == (-1, 0)


def test_scores_of_maps_and_of_labels_in_columns() -> None:
    """One prediction per pixel; a label of shape (N, 1) is a label."""
    text = (
        data(2, 3, 2, 2)
        + data(2, 2, 2, name="label")
        + accuracy("acc", "data", more="ignore_label: 9")
    )
    net = net_of(text)
    x = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    label = x.argmax(1)
    label[0, 0, 0], label[1, 1, 1] = 9, (label[1, 1, 1] + 1) % 3
    batch = SimpleNamespace(
        blobs={"data": x, "label": label.float()}, labels=None, names=["a", "b"]
    )
    run = run_net(net, [batch], scores=find_classifiers(net.spec, net))
    assert (run.tally.labelled, run.tally.top1, run.tally.classes) == (7, 6, 3)
    assert len(run.tally.predictions[0]) == 8

    text = two(accuracy("a1", "a", "other"), "")
    net = net_of(text)
    best = net.forward(data=torch.ones(2, 3))["b"]  # runs
    other = net.blobs["a"].tensor.argmax(1).float().view(2, 1)
    batch = SimpleNamespace(
        blobs={"data": torch.ones(2, 3), "other": other}, labels=None, names=["a", "b"]
    )
    run = run_net(net, [batch], scores=find_classifiers(net.spec, net))
    assert run.accuracy() == {"top1": 1.0, "top5": None} and best.shape == (2, 4)


def test_a_chosen_map_gives_predictions_and_no_accuracy() -> None:
    """One label per sample says nothing of the places of a map."""
    net = net_of(data(2, 3, 2, 2))
    scores = find_classifiers(net.spec, net, "data")
    assert scores.main == "data" and scores.all[-1].label is None
    x = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    batch = SimpleNamespace(blobs={"data": x}, labels=np.array([0, 1]), names=["a", "b"])
    run = run_net(net, [batch], scores=scores)
    assert run.accuracy() is None and len(run.tally.predictions[0]) == 8
    other = run_net(net, [SimpleNamespace(**vars(batch) | {"blobs": {"data": -x}})], scores=scores)
    flipped = compare_runs(run, other)["flipped_predictions"]
    assert (flipped["count"], flipped["samples"]) == (8, 8)


def test_tally_counts_labels_that_are_no_classes() -> None:
    tally = Tally()
    rows = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    tally.add(rows, torch.tensor([0, 3, 2, -1]), None)
    assert (tally.top1, tally.labelled, tally.outside) == (2, 4, 2)
    assert (tally.least_label, tally.greatest_label) == (-1, 3)
    tally.add(torch.full((1, 3), torch.nan), torch.tensor([0]), None)
    assert tally.top1 == 2 and tally.predictions[-1].tolist() == [-1]


def test_every_classifier_is_compared() -> None:
    text = two(softmax_loss("l1", "a", weight=0.3), softmax_loss("l2", "b"))
    net = net_of(text)
    scores = find_classifiers(net.spec, net)
    label = torch.tensor([0.0, 1.0])
    batch = SimpleNamespace(
        blobs={"data": torch.eye(2, 3), "label": label}, labels=None, names=["x", "y"]
    )
    before = run_net(net, [batch], scores=scores)
    net.params["a"][0].data[...] *= -1
    made = compare_runs(before, run_net(net, [batch], scores=scores))
    assert [(e["blob"], e["is_main"]) for e in made["scores"]] == [("a", False), ("b", True)]
    assert made["output_sqnr_db"]["b"] is None and made["output_sqnr_db"]["a"] < 0
    assert made["flipped_predictions"]["count"] == 0


def row(image: int, kind: int, score: float, *box: float) -> list[float]:
    return [image, kind, score, *box]


def test_boxes() -> None:
    mine = [
        row(0, 1, 0.9, 0, 0, 10, 10),
        row(0, 1, 0.8, 0, 0, 10, 11),  # chooses second
        row(0, 2, 0.7, 0, 0, 10, 10),  # another class
        row(1, 1, 0.6, 0, 0, 10, 10),  # another image
        row(0, 1, 0.2, 50, 50, 60, 60),  # unsure
        row(2, -1, -1, -1, -1, -1, -1),  # none
    ]
    other = [
        row(0, 1, 0.7, 0, 0, 10, 10),
        row(0, 2, 0.7, 0, 6, 10, 16),  # overlaps by 4 of 16
        row(1, 1, 0.5, 0, 0, 10, 5),  # overlaps by half
        row(0, 1, 0.3, 50, 50, 60, 60),
        row(1, 3, 0.9, 0, 0, 1, 1),
    ]
    made = compare_detections([(np.reshape(mine, (1, 1, -1, 7)), np.reshape(other, (1, 1, -1, 7)))])
    sure = made.pop("sure")
    assert (made["boxes"], made["boxes_quantized"], made["matched"]) == (5, 5, 3)
    assert made["matched_share"] == 0.6
    assert made["mean_overlap"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert made["mean_score_error"] == pytest.approx((0.2 + 0.1 + 0.1) / 3)
    assert (sure["boxes"], sure["boxes_quantized"], sure["matched"]) == (4, 4, 2)
    nothing = compare_detections([(np.reshape(mine[-1:], (1, 1, 1, 7)), np.zeros((1, 1, 0, 7)))])
    assert nothing["boxes"] == 0 and nothing["matched_share"] is None
