from __future__ import annotations

import numpy as np
import pytest
import torch

from adaption.errors import FieldError
from adaption.layers.boxes import Priors, best_first, overlap, pixel_overlap, suppress


def random_boxes(count: int, seed: int = 0) -> np.ndarray:
    corners = np.random.default_rng(seed).random((count, 2, 2), np.float32)
    return np.concatenate([corners.min(1), corners.max(1)], 1)


def one_by_one(boxes: np.ndarray, threshold: float, eta: float, limit: int | None) -> list[int]:
    """ApplyNMSFast, box by box."""
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if len(kept) == limit:
            break
        if all(overlap(box[:, None], boxes[k, :, None]) <= np.float32(threshold) for k in kept):
            kept.append(i)
            if eta < 1 and threshold > 0.5:
                threshold = np.float32(threshold) * np.float32(eta)
    return kept


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 300])
@pytest.mark.parametrize(
    ("threshold", "eta", "limit"),
    [(0.3, 1.0, None), (0, 1.0, None), (0.9, 0.8, None), (0.5, 1.0, 7), (1, 1.0, None)],
)
def test_suppress(count: int, threshold: float, eta: float, limit: int | None) -> None:
    boxes = random_boxes(count)
    kept = suppress(boxes, threshold, eta=eta, limit=limit)
    assert kept == one_by_one(boxes, threshold, eta, limit)


@pytest.mark.parametrize(
    ("a", "b", "share", "pixels"),
    [
        pytest.param([0, 0, 2, 2], [1, 1, 3, 3], 1 / 7, 4 / 14, id="corner"),
        pytest.param([0, 0, 1, 1], [0, 0, 1, 1], 1, 1, id="equal"),
        pytest.param([0, 0, 0, 0], [0, 0, 0, 0], 0, 1, id="a point has no area, but a pixel"),
        pytest.param([0, 0, 1, 1], [1, 0, 2, 1], 0, 2 / 6, id="side by side"),
        pytest.param([2, 2, 0, 0], [0, 0, 2, 2], 0, 0, id="ends before it starts"),
        pytest.param([0, 0, 1, 1], [5, 5, 6, 6], 0, 0, id="apart"),
    ],
)
def test_overlap(a: list[float], b: list[float], share: float, pixels: float) -> None:
    boxes = np.array([a, b], np.float32)[..., None]
    assert overlap(*boxes) == pytest.approx(share)
    assert pixel_overlap(*boxes) == pytest.approx(pixels)


def test_best_first_keeps_the_order_of_equal_scores() -> None:
    scores = np.array([1, 3, 2, 3, 2, 1, 2], np.float32)
    assert best_first(scores).tolist() == [1, 3, 2, 4, 6, 0, 5]
    for count in range(8):
        assert best_first(scores, count).tolist() == [1, 3, 2, 4, 6, 0, 5][:count]
    assert best_first(scores, 9).tolist() == [1, 3, 2, 4, 6, 0, 5]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("code", ["CORNER", "CENTER_SIZE", "CORNER_SIZE"])
def test_decoding_undoes_encoding(code: str, plain: bool) -> None:
    boxes = torch.from_numpy(random_boxes(9)).double()
    variances = torch.rand(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    priors = Priors(boxes, variances, code, plain=plain)
    truth = torch.from_numpy(random_boxes(9, seed=1)).double()
    coded = priors.encode(truth, torch.arange(9))
    torch.testing.assert_close(priors.decode(coded), truth)


def test_sides_have_to_be_above_0() -> None:
    flat = torch.tensor([[0, 0, 1, 0.0]])
    with pytest.raises(FieldError, match="smallest side of a prior box is 0"):
        Priors(flat, flat + 1, "CENTER_SIZE", plain=True)
    priors = Priors(torch.tensor([[0, 0, 1, 1.0]]), flat + 1, "CENTER_SIZE", plain=True)
    with pytest.raises(FieldError, match="smallest side of a matched box is 0"):
        priors.encode(flat, torch.tensor([0]))


def test_boxes_without_end_give_no_warning() -> None:
    boxes = np.array(
        [[0, 0, 1, 1], [-np.inf, 0, np.inf, 1], [np.nan] * 4, [2, 2, 3, 3]], np.float32
    )
    assert suppress(boxes, 0.5) == [0, 1, 3]
