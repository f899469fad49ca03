"""CRNN's layers: CtcLoss, LabelsequenceAccuracy, ContinuationIndicator."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest

from adaption.errors import FieldError
from tests.layers.snippets import error_of, forward, net_of, spread

CTC = 'type: "CtcLoss" ctc_loss_param { alphabet_size: 3 time_step: %d blank_label: %d }'


def by_enumeration(x: np.ndarray, labels: list[int], blank: int) -> float:
    """-log of the summed probability of all paths (T, C) that collapse to `labels`."""
    logs = x - np.log(np.exp(x).sum(1, keepdims=True))
    total = sum(
        np.exp(sum(logs[t, c] for t, c in enumerate(path)))
        for path in product(range(x.shape[1]), repeat=len(x))
        if [c for c, _ in groupby(path) if c != blank] == labels
    )
    return float(-np.log(total))


@pytest.mark.parametrize(
    ("labels", "blank", "want"),
    [
        ([[1, 2]], 0, [[1, 2]]),
        ([[1, 1]], 0, [[1, 1]]),
        ([[0, 2]], 0, [[2]]),
        ([[1, 0]], 2, [[1, 0]]),
        ([[1, 0], [2, 2]], 0, [[1], [2, 2]]),
        ([[0, 0], [2, 0]], 0, [[], [2]]),
    ],
)
def test_loss_is_the_mean(labels: list[list[int]], blank: int, want: list[list[int]]) -> None:
    x = spread(4, len(labels), 3).numpy()
    losses = [by_enumeration(x[:, n], found, blank) for n, found in enumerate(want)]
    np.testing.assert_allclose(forward(CTC % (4, blank), x, labels), np.mean(losses), rtol=1e-5)


def test_gradient_is_that_of_the_sum_and_0_where_labels_do_not_fit() -> None:
    x = spread(2, 3, 3).numpy()
    snippet = CTC % (2, 0) + ' bottom: "x" bottom: "t" top: "loss"'
    single, batch = (
        net_of(snippet, {"x": v, "t": t}, "TRAIN", "force_backward: true")
        for v, t in ((x[:, :1], [[2]]), (x[:, [0, 0, 1]], [[2, 0], [2, 0], [1, 1]]))
    )
    for net in (single, batch):
        net.forward()
        net.backward()
    diff = batch.blobs["x"].diff
    np.testing.assert_allclose(diff[:, 0], single.blobs["x"].diff[:, 0], rtol=1e-5)
    np.testing.assert_allclose(diff[:, 1], diff[:, 0])
    assert not diff[:, 2].any()  # 1, blank, 1 needs three steps
    np.testing.assert_allclose(
        batch.blobs["loss"].data, single.blobs["loss"].data * 2 / 3, rtol=1e-6
    )


def test_steps_beyond_time_step_are_not_read() -> None:
    x = spread(5, 1, 3).numpy()
    want = forward(CTC % (3, 0), x[:3], [[1, 2]])
    np.testing.assert_allclose(forward(CTC % (3, 0), x, [[1, 2]]), want)


def test_ctc_errors() -> None:
    with pytest.raises(FieldError, match=r"label is 3, allowed: 0\.\.2"):
        forward(CTC % (2, 0), np.zeros((2, 1, 3)), [[3]])
    with pytest.raises(FieldError, match="label is 'blank throughout', allowed: a label in"):
        forward(CTC % (2, 0), np.zeros((2, 1, 3)), [[0]])
    assert "blank_label is 3, allowed: 0..2" in error_of(CTC % (2, 3), (2, 1, 3), (1, 1))
    assert "time_step is 0, allowed: 1 or more" in error_of(CTC % (0, 0), (2, 1, 3), (1, 1))
    assert "allowed: (T, N, C) and (N, L)" in error_of(CTC % (2, 0), (2, 2, 3), (1, 1))
    assert "allowed: 4 steps or more of 3 classes" in error_of(CTC % (4, 0), (2, 1, 3), (1, 1))


@pytest.mark.parametrize(
    ("best", "labels", "want"),
    [
        ([1, 1, 0, 1], [1, 1, 0], 1),
        ([1, 1, 1, 2], [0, 1, 2], 1),
        ([1, 1, 1, 2], [1, 1, 2], 0),
        ([0, 0, 0, 0], [0, 0, 0], 1),
        ([2, 0, 0, 1], [2, 0, 0], 0),
    ],
)
def test_best_path_decoding(best: list[int], labels: list[int], want: float) -> None:
    x = np.eye(3)[best][None]
    snippet = 'type: "LabelsequenceAccuracy" labelsequence_accuracy_param { blank_label: 0 }'
    assert forward(snippet, x, [labels]) == want


def test_share_of_sequences_that_are_right() -> None:
    x = np.eye(3)[[[1, 2], [1, 2], [1, 0], [2, 0]]]
    y = forward('type: "LabelsequenceAccuracy"', x, [[1, 2], [2, 1], [1, 0], [2, 0]])
    assert y == 0.75


def test_continuation_indicator() -> None:
    param = "continuation_indicator_param { time_step: 3 batch_size: 2 }"
    net = net_of(f'type: "ContinuationIndicator" top: "y" {param}', {})
    net.forward()
    np.testing.assert_array_equal(net.blobs["y"].data, [[0, 0], [1, 1], [1, 1]])
    assert "time_step is 0, allowed: 1 or more" in error_of('type: "ContinuationIndicator"')
