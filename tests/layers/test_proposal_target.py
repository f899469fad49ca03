"""ProposalTargetLayer of Faster R-CNN: which regions, which labels, which targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from adaption.errors import ShapeError
from adaption.layers.anchors import move
from adaption.layers.base import Runtime
from tests.layers.snippets import error_of, layer_of

SNIPPET = (
    'type: "Python" python_param {{ module: "rpn.proposal_target_layer"'
    ' layer: "ProposalTargetLayer" param_str: "{}" }}'
    ' top: "a" top: "b" top: "c" top: "d" top: "e"'
)
TRUE = np.array([[10, 10, 49, 49, 2], [60, 60, 99, 99, 1]], np.float32)
REGIONS = np.array(
    [
        [0, 10, 10, 49, 49],  # the first box
        [0, 12, 10, 51, 49],  # overlaps it by 0.90
        [0, 60, 60, 99, 79],  # half of the second
        [0, 10, 10, 99, 99],  # 0.20: background
        [0, 200, 200, 239, 239],  # overlaps nothing: not used
    ],
    np.float32,
)


def run(param_str: str = "'num_classes': 3", seed: int = 0, **config: Any) -> list[np.ndarray]:
    made = layer_of(SNIPPET.format(param_str), 2)
    runtime = Runtime(config=config, generator=torch.Generator().manual_seed(seed))
    inputs = [torch.from_numpy(x) for x in (REGIONS, TRUE)]
    return [x.numpy() for x in made.run(runtime, *inputs)]  # type: ignore[union-attr]


def test_regions_labels_and_targets() -> None:
    regions, labels, targets, inner, outer = run()
    # The true boxes count as regions too; the last region overlaps nothing.
    assert regions[:, 1:].tolist() == [*REGIONS[:3, 1:].tolist(), *TRUE[:, :4].tolist(),
                                       REGIONS[3, 1:].tolist()]  # fmt: skip
    assert labels.ravel().tolist() == [2, 2, 1, 2, 1, 0]
    for i, label in enumerate(labels.ravel().astype(int)):
        used = np.zeros(12, bool)
        if label:
            used[4 * label : 4 * label + 4] = True
            box = move(regions[i : i + 1, 1:], targets[i : i + 1, used], 1000, 1000)
            true = TRUE[TRUE[:, 4] == label, :4]
            # `move` ends a box at start + side, one pixel behind the last that belongs to it.
            np.testing.assert_allclose(box - (0, 0, 1, 1), true, atol=1e-4)
        assert not targets[i, ~used].any()
        np.testing.assert_array_equal(inner[i], used)
        np.testing.assert_array_equal(outer[i], used)


def test_settings() -> None:
    few = run(BATCH_SIZE=4, FG_FRACTION=0.5)[1].ravel()
    assert len(few) == 3 and (few > 0).sum() == 2  # one background is all there is
    lower = run(BG_THRESH_LO=0.0)[0]
    assert REGIONS[4].tolist() in lower.tolist()
    plain, scaled = run()[2], run("'num_classes': 3, 'BBOX_NORMALIZE_TARGETS_PRECOMPUTED': True")[2]
    np.testing.assert_allclose(scaled.reshape(-1, 4) * [0.1, 0.1, 0.2, 0.2], plain.reshape(-1, 4))


def test_choice_is_random_and_reproducible() -> None:
    drawn = [run(seed=seed, BATCH_SIZE=4, FG_FRACTION=0.5)[0] for seed in (1, 1, *range(2, 12))]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert len({x.tobytes() for x in drawn}) > 2


def test_bad_settings() -> None:
    want = "num_classes in python_param.param_str is 'missing'"
    assert want in error_of(SNIPPET.format("'classes': 3"), (1, 5), (1, 5))


@pytest.mark.parametrize(
    ("regions", "true", "message"),
    [
        ((1, 4), (1, 5), r"the regions have shape \(1, 4\), allowed: \(n, 5\)"),
        ((1, 5), (5,), r"the true boxes have shape \(5,\), allowed: \(n, 5\)"),
    ],
)
def test_boxes_of_another_shape_are_refused_where_they_are_read(
    regions: tuple[int, ...], true: tuple[int, ...], message: str
) -> None:
    made: Any = layer_of(SNIPPET.format("'num_classes': 3"), 2)
    with pytest.raises(ShapeError, match=message):
        made.run(Runtime(), torch.zeros(regions), torch.zeros(true))
