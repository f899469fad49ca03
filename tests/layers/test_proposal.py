"""Both proposal layers: the Python one of Faster R-CNN and R-FCN, and PVANet's in C++."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adaption.errors import AdaptionError
from adaption.layers.anchors import base_anchors
from adaption.layers.base import Runtime
from adaption.layers.proposal import _order
from tests.layers.snippets import error_of, layer_of, net_of

PYTHON = 'type: "Python" python_param {{ module: "rpn.proposal_layer" layer: "ProposalLayer" {} }}'
PVANET = 'type: "Proposal" proposal_param {{ ratio: 1 scale: 1 scale: 2 {} }}'


def test_anchors_are_those_of_the_published_code(shared: Path) -> None:
    with np.load(shared / "golden" / "forks" / "anchors_frcnn.npz") as want:
        for name, size, ratios, scales in (
            ("default", 16, (0.5, 1, 2), (8, 16, 32)),
            ("base8", 8, (0.5, 1, 2), (8, 16, 32)),
            ("scales_2_4", 16, (0.5, 1, 2), (2, 4)),
            ("ratios3", 16, (0.333, 0.5, 0.667, 1, 1.5, 2, 3), (3, 6, 9, 16, 32)),
        ):
            np.testing.assert_array_equal(base_anchors(size, ratios, scales), want[name])


def regions(layer: Any, runtime: Runtime, scores: torch.Tensor) -> np.ndarray:
    """Regions (R, 4) of anchors that stay where they are; scores (A, H, W)."""
    count = scores.shape[0]
    both = torch.cat([torch.zeros_like(scores), scores])[None]
    deltas = torch.zeros(1, 4 * count, *scores.shape[1:])
    top = layer.run(runtime, both, deltas, torch.tensor([[100.0, 200, 1]]))[0]
    assert not top[:, 0].any()
    return top[:, 1:].numpy()


def python_layer(param_str: str) -> Any:
    return layer_of(PYTHON.format(f'param_str: "{param_str}"'), 3)


FIFTEEN = torch.arange(15.0).reshape(3, 5, 1) + 1  # a score for each ratio and cell


def test_settings_from_outside_go_before_those_of_the_param_str() -> None:
    plain = python_layer("'feat_stride': 16, 'scales': [2]")
    own = python_layer("'feat_stride': 16, 'scales': [2], 'RPN_POST_NMS_TOP_N': 4")
    few = Runtime(config={"RPN_POST_NMS_TOP_N": 3})
    assert len(regions(plain, Runtime(), FIFTEEN)) == 15
    assert len(regions(own, Runtime(), FIFTEEN)) == 4
    assert len(regions(own, few, FIFTEEN)) == 3
    assert len(regions(plain, Runtime(config={"RPN_PRE_NMS_TOP_N": 6}), FIFTEEN)) == 6
    assert len(regions(plain, Runtime(config={"RPN_MIN_SIZE": 40}), FIFTEEN)) == 0
    apart = regions(plain, Runtime(config={"RPN_NMS_THRESH": 0}), FIFTEEN)
    assert all(a[3] < b[1] for a, b in pairwise(apart[apart[:, 1].argsort()]))


def test_training_keeps_more() -> None:
    layer = python_layer("feat_stride: 1")
    found = [layer._settings(Runtime(training=training)) for training in (False, True)]
    assert found == [[6000, 300, 0.7, 16], [12000, 2000, 0.7, 16]]


def test_settings_have_to_be_numbers() -> None:
    layer = python_layer("feat_stride: 16")
    with pytest.raises(AdaptionError, match="RPN_MIN_SIZE is 'small', allowed: a number"):
        regions(layer, Runtime(config={"RPN_MIN_SIZE": "small"}), torch.ones(9, 1, 1))


@pytest.mark.parametrize(
    ("param_str", "message"),
    [
        ("'scales': [1]", "feat_stride in python_param.param_str is 'missing', allowed: 1 or more"),
        ("'feat_stride': 16, 'scales': 8", "scales in python_param.param_str is 8"),
        ("'feat_stride' 16", "python_param.param_str is \"'feat_stride' 16\", allowed: settings"),
    ],
)
def test_errors_of_param_str(param_str: str, message: str) -> None:
    text = PYTHON.format(f'param_str: "{param_str}"')
    assert message in error_of(text, (1, 18, 2, 2), (1, 36, 2, 2), (1, 3))


@pytest.mark.parametrize(
    ("text", "shapes", "message"),
    [
        (
            PYTHON.format('param_str: "feat_stride: 16"'),
            ((2, 18, 2, 2), (2, 36, 2, 2), (2, 3)),
            "the scores have shape (2, 18, 2, 2), allowed: (1, 18, H, W) for 9 anchors and one",
        ),
        (
            PYTHON.format('param_str: "feat_stride: 16"'),
            ((1, 18, 2, 2), (1, 36, 2, 3), (1, 3)),
            "the deltas have shape (1, 36, 2, 3), allowed: (1, 36, 2, 2)",
        ),
        (
            PVANET.format(""),
            ((1, 4, 2, 2), (1, 8, 2, 2), (1, 3)),
            "im_info has shape (1, 3), allowed: (1, 4)",
        ),
        ('type: "Proposal"', (), "has 0 bottoms, allowed: 3"),
        ('type: "Proposal"', ((1,), (1,), (1,)), "ratio is [], allowed: one or more numbers"),
        (PVANET.format("feat_stride: 0"), ((1,), (1,), (1,)), "feat_stride is 0, allowed: 1 or"),
    ],
)
def test_errors(text: str, shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    assert message in error_of(text, *shapes)


def test_pvanet_keeps_small_regions_at_score_0() -> None:
    net = net_of(
        PVANET.format("min_size: 20 nms_thresh: 1")
        + ' bottom: "s" bottom: "d" bottom: "i" top: "r" top: "of"',
        {
            "s": np.arange(12).reshape(1, 4, 3, 1) / 12,
            "d": np.zeros((1, 8, 3, 1)),
            "i": [[60, 60, 1, 1]],
        },
    )
    tops = net.forward()
    assert tops["of"].tolist() == pytest.approx([11 / 12, 10 / 12, 9 / 12, 0, 0, 0])
    assert tops["r"].shape == (6, 5)


def test_order_of_distinct_scores_and_of_the_original_for_equal_ones() -> None:
    scores = np.random.default_rng(0).permutation(300).astype(np.float32)
    assert _order(scores, 40).tolist() == np.argsort(-scores)[:40].tolist()
    assert _order(np.float32([0, 2, 0, 3, 0, 2]), 6).tolist() == [3, 1, 5, 2, 4, 0]
