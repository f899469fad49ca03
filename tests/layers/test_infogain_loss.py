from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adaption.errors import AdaptionError
from adaption.io.blobproto import write_blob
from tests.layers.snippets import error_of, forward, net_of, spread

GAIN = spread(3, 3, low=0.1, high=1.0).numpy()
SCORES = spread(4, 3).numpy()
SOFT = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
LABEL = np.array([2, 0, 1, 1])


def test_matrix_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "gain.binaryproto"
    write_blob(path, GAIN.astype(np.float32).reshape(1, 1, 3, 3), legacy=True)
    net = net_of(
        'type: "InfogainLoss" bottom: "p" bottom: "label" top: "loss"'
        f' infogain_loss_param {{ source: "{path}" }}',
        {"p": SOFT, "label": LABEL},
    )
    net.forward()
    want = -(GAIN[LABEL] * np.log(SOFT)).sum() / 4
    np.testing.assert_allclose(net.blobs["loss"].data, want, rtol=1e-6)


@pytest.mark.parametrize(
    ("param", "counted", "divisor"),
    [
        pytest.param("infogain_loss_param { axis: 1 }", LABEL >= 0, 4, id="axis"),
        pytest.param("loss_param { ignore_label: 1 }", LABEL != 1, 2, id="ignore_label"),
        pytest.param(
            "loss_param { ignore_label: 1 normalization: FULL }", LABEL != 1, 4, id="normalization"
        ),
        pytest.param("loss_param { normalization: NONE }", LABEL >= 0, 1, id="sum"),
    ],
)
def test_later_version_takes_scores(param: str, counted: np.ndarray, divisor: float) -> None:
    losses = -(GAIN[LABEL] * np.log(SOFT)).sum(1) * counted
    found = forward(f'type: "InfogainLoss" {param}', SCORES, LABEL, GAIN.reshape(1, 1, 3, 3))
    np.testing.assert_allclose(found, losses.sum() / divisor, rtol=1e-5)


def test_second_top_is_the_softmax() -> None:
    _, p = forward('type: "InfogainLoss"', SCORES, LABEL, GAIN, tops=2)
    np.testing.assert_allclose(p, SOFT, rtol=1e-5)


def test_label_out_of_range() -> None:
    with pytest.raises(AdaptionError, match=r"label is 3, allowed: 0\.\.2"):
        forward('type: "InfogainLoss"', SOFT, [0, 1, 2, 3], GAIN)


def test_errors() -> None:
    assert error_of('type: "InfogainLoss"', (4, 3), (4,)) == (
        "layer \"L\" (InfogainLoss): infogain_loss_param.source is 'missing', allowed:"
        " a .binaryproto file, or a third bottom"
    )
    assert error_of('type: "InfogainLoss"', (4, 3), (4,), (1, 1, 4, 4)) == (
        "the infogain matrix holds 16 values, allowed: 3 x 3"
    )
