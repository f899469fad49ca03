from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from adaption.errors import AdaptionError
from adaption.layers.base import Runtime
from tests.layers.multibox_reference import multibox_loss
from tests.layers.snippets import error_of, layer_of, net_of

PRIORS, CLASSES, IMAGES = 24, 4, 3


def random_bottoms(loc_classes: int = 1, background: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    corner = rng.random((PRIORS, 2)) * 0.8 - 0.05
    prior = np.concatenate([corner, corner + 0.2 + rng.random((PRIORS, 2)) * 0.2], 1)
    variance = np.tile([0.1, 0.1, 0.2, 0.2], PRIORS)
    rows = []
    for image, near in ((0, 3), (0, 5), (2, 8), (2, 9), (2, 20), (-1, 1)):
        box = prior[near] + rng.normal(size=4) * 0.01
        label = (background + 1 + near % (CLASSES - 1)) % CLASSES
        rows.append([image, label, 0, *box, 0])
    return [
        rng.normal(size=(IMAGES, PRIORS * 4 * loc_classes)),
        rng.normal(size=(IMAGES, PRIORS * CLASSES)) * 2,
        np.stack([prior.ravel(), variance])[None],
        np.array(rows)[None, None],
    ]


def layer_for(text: str) -> Any:
    return layer_of(
        f'type: "MultiBoxLoss" multibox_loss_param {{ num_classes: {CLASSES}'
        f" code_type: CENTER_SIZE {text} }}",
        4,
    )


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ("match_type: BIPARTITE", {"match_type": "BIPARTITE"}),
        ("use_prior_for_matching: false", {"use_prior_for_matching": False}),
        ("ignore_cross_boundary_bbox: true", {"ignore_cross_boundary_bbox": True}),
        ("background_label_id: 2", {"background_label_id": 2}),
        (
            "conf_loss_type: LOGISTIC loc_loss_type: L2",
            {"conf_loss_type": "LOGISTIC", "loc_loss_type": "L2"},
        ),
        (
            "conf_loss_type: LOGISTIC background_label_id: 1",
            {"conf_loss_type": "LOGISTIC", "background_label_id": 1},
        ),
        (
            "conf_loss_type: LOGISTIC mining_type: NONE",
            {"conf_loss_type": "LOGISTIC", "mining_type": "NONE"},
        ),
        ("do_neg_mining: false", {"mining_type": "NONE"}),
        (
            "mining_type: HARD_EXAMPLE sample_size: 5",
            {"mining_type": "HARD_EXAMPLE", "sample_size": 5},
        ),
        (
            "mining_type: HARD_EXAMPLE sample_size: 9 ignore_cross_boundary_bbox: true",
            {"mining_type": "HARD_EXAMPLE", "sample_size": 9, "ignore_cross_boundary_bbox": True},
        ),
        ("nms_param { nms_threshold: 0.2 }", {"nms": (0.2, None)}),
        (
            "nms_param { nms_threshold: 0.1 top_k: 9 } use_prior_for_nms: true",
            {"nms": (0.1, 9), "use_prior_for_nms": True},
        ),
        (
            "mining_type: HARD_EXAMPLE sample_size: 8 nms_param { nms_threshold: 0.3 top_k: 12 }",
            {"mining_type": "HARD_EXAMPLE", "sample_size": 8, "nms": (0.3, 12)},
        ),
        (
            "share_location: false mining_type: NONE",
            {"share_location": False, "mining_type": "NONE"},
        ),
        (
            "share_location: false mining_type: NONE use_prior_for_matching: false",
            {"share_location": False, "mining_type": "NONE", "use_prior_for_matching": False},
        ),
    ],
)
def test_loss(text: str, options: dict[str, Any]) -> None:
    bottoms = random_bottoms(
        1 if options.get("share_location", True) else CLASSES, options.get("background_label_id", 0)
    )
    layer = layer_for(text)
    loss = layer.forward(*(torch.from_numpy(b) for b in bottoms))
    assert loss.item() == pytest.approx(multibox_loss(*bottoms, **options), rel=1e-6)


def test_bottoms_that_get_no_gradient_are_left_out_of_the_loss() -> None:
    bottoms = [torch.from_numpy(b) for b in random_bottoms()]
    param = f"multibox_loss_param {{ num_classes: {CLASSES} code_type: CENTER_SIZE }}"
    losses = []
    for down in ((True, True), (True, False), (False, True), (False, False)):
        flags = "".join(f"propagate_down: {str(d).lower()} " for d in (*down, False, False))
        losses.append(layer_of(f'type: "MultiBoxLoss" {flags} {param}', 4).forward(*bottoms).item())
    both, loc, conf, none = losses
    assert both == pytest.approx(loc + conf)
    assert none == 0
    assert min(loc, conf) > 0


@pytest.mark.parametrize(
    ("mode", "divisor"),
    [("BATCH_SIZE", IMAGES), ("FULL", IMAGES * PRIORS), ("NONE", 1)],
)
def test_normalization(mode: str, divisor: float) -> None:
    bottoms = [torch.from_numpy(b) for b in random_bottoms()]
    text = (
        f"multibox_loss_param {{ num_classes: {CLASSES} code_type: CENTER_SIZE }}"
        " loss_param { normalization: MODE }"
    )
    whole, part = (
        layer_of('type: "MultiBoxLoss" ' + text.replace("MODE", m), 4).forward(*bottoms).item()
        for m in ("NONE", mode)
    )
    assert part * divisor == pytest.approx(whole)


def test_variance_in_the_target_divides_the_gradient_unless_the_original_is_asked_for() -> None:
    bottoms = dict(zip(("loc", "conf", "prior", "gt"), random_bottoms(), strict=True))
    snippet = (
        'type: "MultiBoxLoss" bottom: "loc" bottom: "conf" bottom: "prior" bottom: "gt" top: "loss"'
        f" multibox_loss_param {{ num_classes: {CLASSES} code_type: CENTER_SIZE"
        " encode_variance_in_target: true }"
    )
    diffs = []
    for original_semantics in (False, True):
        net = net_of(
            snippet,
            bottoms,
            header="force_backward: true",
            original_semantics=original_semantics,
        )
        net.forward()
        net.backward()
        diffs.append(net.blobs["loc"].diff.reshape(-1, 4).copy())
    right, original = diffs
    assert np.abs(original).max() > 0
    np.testing.assert_allclose(right * [0.1, 0.1, 0.2, 0.2], original, rtol=1e-5)


def test_nms_without_top_k_looks_at_all_but_the_original_at_none() -> None:
    bottoms = [torch.from_numpy(b) for b in random_bottoms()]
    layer = layer_for("mining_type: HARD_EXAMPLE nms_param { nms_threshold: 0.5 }")
    assert layer.run(Runtime(), *bottoms) > 0
    assert layer.run(Runtime(original_semantics=True), *bottoms) == 0


def test_logistic_targets_of_the_original() -> None:
    """It fills with the label of the background, and steps by P where it should by P C."""
    hot = np.zeros((2, 2, 3), bool)
    hot[0, 1, 2] = hot[1, 0, 1] = True
    mined = layer_for("conf_loss_type: LOGISTIC background_label_id: 2")
    assert mined._original_shares(hot).tolist() == [[[2, 2, 2], [2, 2, 1]], [[2, 1, 2], [2, 2, 2]]]
    every = layer_for("conf_loss_type: LOGISTIC mining_type: NONE")
    assert every._original_shares(hot).tolist() == [[[0, 0, 0], [1, 0, 1]], [[0, 0, 0], [0, 0, 0]]]


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("", "num_classes is 'missing', allowed: 1 or more"),
        ("num_classes: 3 map_object_to_agnostic: true", "allowed: 2 with map_object_to_agnostic"),
        ("num_classes: 3 background_label_id: 3", "background_label_id is 3, allowed: 0..2"),
        ("num_classes: 3 share_location: false", "allowed: NONE without share_location"),
        ("num_classes: 3 mining_type: HARD_EXAMPLE sample_size: 0", "allowed: 1 or more"),
        (
            "num_classes: 3 mining_type: MAX_NEGATIVE do_neg_mining: false",
            "do_neg_mining is False, allowed: what mining_type MAX_NEGATIVE says, or nothing",
        ),
    ],
)
def test_errors_of_fields(param: str, message: str) -> None:
    shapes = ((1, 8), (1, 6), (1, 2, 8), (1, 1, 2, 8))
    assert message in error_of(f'type: "MultiBoxLoss" multibox_loss_param {{ {param} }}', *shapes)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((1, 9), (1, 6), (1, 2, 8), (1, 1, 2, 8)), "the location bottom has shape (1, 9)"),
        (((2, 8), (1, 6), (1, 2, 8), (1, 1, 2, 8)), "allowed: as many samples"),
        (((1, 8), (1, 6), (1, 2, 8), (1, 1, 2, 7)), "the ground truth has shape (1, 1, 2, 7)"),
    ],
)
def test_errors_of_shapes(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    text = 'type: "MultiBoxLoss" multibox_loss_param { num_classes: 3 }'
    assert message in error_of(text, *shapes)


@pytest.mark.parametrize(
    ("label", "message"),
    [(0, "is 0, allowed: any but background_label_id"), (9, r"is 9, allowed: 0\.\.3")],
)
def test_labels(label: int, message: str) -> None:
    bottoms = random_bottoms()
    bottoms[3][0, 0, 0, 1] = label
    with pytest.raises(AdaptionError, match="label of an object " + message):
        layer_for("").forward(*(torch.from_numpy(b) for b in bottoms))
