from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from adaption.errors import LayerError
from adaption.layers.boxes import overlap
from tests.layers.snippets import error_of, forward, layer_of, net_of

PRIORS, CLASSES, IMAGES = 90, 4, 2


def random_bottoms(classes: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    corner = rng.random((PRIORS, 2)) * 0.7
    prior = np.concatenate([corner, corner + 0.1 + rng.random((PRIORS, 2)) * 0.3], 1)
    variance = np.tile([0.1, 0.1, 0.2, 0.2], PRIORS)
    return [
        rng.normal(size=(IMAGES, PRIORS * 4 * classes)),
        rng.random((IMAGES, PRIORS * CLASSES)).round(2),  # with ties
        np.stack([prior.ravel(), variance])[None],
    ]


def by_hand(
    bottoms: list[np.ndarray], shared: bool, background: int, threshold: float, top_k: int
) -> list[tuple[float, ...]]:
    """code_type CORNER, box by box in float32."""
    loc, conf, prior = (np.float32(b) for b in bottoms)
    boxes, variance = prior[0].reshape(2, PRIORS, 4)
    rows = []
    for i in range(IMAGES):
        for c in range(CLASSES):
            if c == background:
                continue
            own = loc[i].reshape(PRIORS, -1, 4)[:, 0 if shared else c]
            decoded = boxes + variance * own
            scores = conf[i].reshape(PRIORS, CLASSES)[:, c]
            order = sorted(
                (p for p in range(PRIORS) if scores[p] > np.float32(0.3)), key=lambda p: -scores[p]
            )
            kept: list[int] = []
            for p in order[:top_k]:
                far = overlap(decoded[p][:, None], decoded[kept].T) <= np.float32(threshold)
                if far.all():
                    kept.append(p)
            rows += [(i, c, scores[p], *decoded[p]) for p in kept]
    return rows


@pytest.mark.parametrize(
    ("shared", "background", "threshold", "top_k"),
    [(True, 0, 0.45, 400), (True, 2, 0.2, 20), (False, -1, 0.45, 70), (True, -1, 0.0, 400)],
)
def test_all_that_come_through(shared: bool, background: int, threshold: float, top_k: int) -> None:
    bottoms = random_bottoms(1 if shared else CLASSES)
    param = (
        f"num_classes: {CLASSES} share_location: {str(shared).lower()} confidence_threshold: 0.3"
        f" background_label_id: {background}"
        f" nms_param {{ nms_threshold: {threshold} top_k: {top_k} }}"
    )
    net = net_of(snippet(param), dict(zip(("loc", "conf", "prior"), bottoms, strict=True)))
    found = net.forward()["y"][0, 0].cpu().numpy()
    want = by_hand(bottoms, shared, background, threshold, top_k)
    np.testing.assert_allclose(found, np.array(want), rtol=1e-6, atol=1e-6)


def snippet(param: str) -> str:
    return (
        'type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" top: "y"'
        f" detection_output_param {{ {param} }}"
    )


def test_keep_top_k_keeps_the_best_of_each_image_in_the_order_of_classes() -> None:
    layer = layer_of(snippet(f"num_classes: {CLASSES} keep_top_k: 9 nms_param {{ top_k: 30 }}"))
    every = layer_of(snippet(f"num_classes: {CLASSES} nms_param {{ top_k: 30 }}"))
    import torch

    bottoms = [torch.from_numpy(b).float() for b in random_bottoms()]
    some, rows = layer.forward(*bottoms)[0, 0], every.forward(*bottoms)[0, 0]
    for i in range(IMAGES):
        own, of_all = some[some[:, 0] == i], rows[rows[:, 0] == i]
        assert len(own) == 9
        assert sorted(own[:, 2].tolist()) == sorted(of_all[:, 2].tolist())[-9:]
        assert all(a[1] <= b[1] for a, b in pairwise(own))


def test_the_top_is_as_long_as_there_are_detections_and_a_row_per_image_without_any() -> None:
    param = f"num_classes: {CLASSES} confidence_threshold: 2"
    bottoms = dict(zip(("loc", "conf", "prior"), random_bottoms(), strict=True))
    net = net_of(snippet(param), bottoms)
    assert net.blobs["y"].shape == (1, 1, 1, 7)
    assert net.forward()["y"].tolist() == [[[[0, *[-1] * 6], [1, *[-1] * 6]]]]


def test_four_bottoms_and_blobs_of_four_axes() -> None:
    loc, conf, prior = random_bottoms()
    text = f'type: "DetectionOutput" detection_output_param {{ num_classes: {CLASSES} }}'
    layer = layer_of(text, 4)
    shapes = [(2, PRIORS * 4, 1, 1), (2, PRIORS * CLASSES, 1, 1), prior.shape, (2, 3, 9, 9)]
    assert layer.top_shapes(*shapes) == [(1, 1, 1, 7)]
    with pytest.raises(AssertionError):  # the number of detections is not known beforehand
        forward(text, loc, conf, prior)


def test_files_are_not_written_and_that_is_said() -> None:
    param = 'num_classes: 2 save_output_param { output_directory: "results" }'
    with pytest.warns(UserWarning, match='layer "L" .DetectionOutput.: save_output_param is ign'):
        layer_of(snippet(param))


@pytest.mark.parametrize(
    ("param", "shapes", "message"),
    [
        ("", ((1, 8), (1, 4), (1, 2, 8)), "num_classes is 'missing', allowed: 1 or more"),
        (
            "num_classes: 2 nms_param { eta: 0 }",
            ((1, 8), (1, 4), (1, 2, 8)),
            "nms_param.eta is 0.0, allowed: above 0, up to 1",
        ),
        (
            "num_classes: 2",
            ((1, 16), (1, 4), (1, 2, 8)),
            "the location bottom has shape (1, 16), allowed: (N, 8) for 2 priors\n  fix: with the"
            " right num_classes, this net's PriorBox may be another fork's (dialect=...)",
        ),
        ("num_classes: 2", ((1, 8), (1, 6), (1, 2, 8)), "the confidence bottom has shape (1, 6)"),
        ("num_classes: 2", ((1, 8), (2, 4), (1, 2, 8)), "allowed: as many samples"),
        ("num_classes: 2", ((1, 8), (1, 4), (1, 1, 8)), "the priors have shape (1, 1, 8)"),
    ],
)
def test_errors(param: str, shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    assert message in error_of(
        f'type: "DetectionOutput" detection_output_param {{ {param} }}', *shapes
    )


def test_it_has_no_onnx_form() -> None:
    with pytest.raises(LayerError, match="layer type DetectionOutput has no ONNX form"):
        layer_of(snippet("num_classes: 2")).lower(None)  # type: ignore[arg-type]
