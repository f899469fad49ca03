from __future__ import annotations

import numpy as np
import pytest

from adaption.errors import FieldError
from tests.layers.snippets import error_of, net_of

SNIPPET = 'type: "SegAccuracy" bottom: "x" bottom: "t" top: "y" seg_accuracy_param { %s }'
# Predictions 0 1 1 0; class 2 occurs nowhere.
X = np.array([[1, 0, 2, 3], [0, 1, 3, 2], [-1, -1, -1, -1]]).reshape(1, 3, 1, 4)


def run(labels: list[float], param: str = "ignore_label: 255") -> np.ndarray:
    net = net_of(SNIPPET % param, {"x": X, "t": np.reshape(labels, (1, 1, 1, 4))})
    net.forward()
    return net.blobs["y"].data.reshape(3).copy()


@pytest.mark.parametrize(
    ("labels", "want"),
    [
        ([0, 1, 1, 0], [1, 1, 1]),
        # class 0: 2 labelled, 1 found, 2 predicted; class 1: 2, 1, 2; class 2: absent, IoU 1
        ([0, 0, 1, 1], [0.5, 0.5, (1 / 3 + 1 / 3 + 1) / 3]),
        ([255, 255, 1, 1], [0.5, 0.5, (0 / 1 + 1 / 2 + 1) / 3]),
        ([255, 255, 255, 255], [0, 0, 1]),
    ],
)
def test_measures(labels: list[float], want: list[float]) -> None:
    np.testing.assert_allclose(run(labels), want, rtol=1e-6)


def test_highest_class_wins_a_tie() -> None:
    net = net_of(SNIPPET % "", {"x": np.zeros((1, 3, 1, 1)), "t": [[[[2]]]]})
    net.forward()
    assert net.blobs["y"].data.ravel()[0] == 1


def test_counts_go_on_without_reset() -> None:
    net = net_of(SNIPPET % "reset: false", {"x": X, "t": np.reshape([0, 1, 1, 0], (1, 1, 1, 4))})
    net.forward()
    net.blobs["t"].data[...] = np.reshape([1, 0, 0, 1], (1, 1, 1, 4))
    net.forward()
    assert net.blobs["y"].data.ravel()[0] == 0.5


def test_errors() -> None:
    with pytest.raises(FieldError, match=r"label is 255, allowed: 0\.\.2"):
        run([0, 0, 0, 255], "")
    message = error_of('type: "SegAccuracy"', (1, 3, 2, 2), (1, 2, 2))
    assert "bottoms have shapes (1, 3, 2, 2) and (1, 2, 2), allowed" in message
