from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adaption.layers.base import choose_class
from tests.layers.snippets import error_of, layer_of, net_of

FEATURE, IMAGE = np.zeros((1, 1, 1, 1)), np.zeros((1, 3, 100, 200))


def boxes_of(param: str, dialect: str = "ssd", feature: Any = FEATURE) -> np.ndarray:
    """Boxes in pixels, (P, 4)."""
    import torch

    layer = layer_of(f'type: "PriorBox" prior_box_param {{ {param} }}', 2, dialect=dialect)
    top = layer.forward(torch.tensor(feature), torch.tensor(IMAGE)).float().numpy()
    assert top.shape == layer.top_shapes(feature.shape, IMAGE.shape)[0]
    return top[0, 0].reshape(-1, 4) * [200, 100, 200, 100]


@pytest.mark.parametrize(
    ("param", "dialect", "want"),
    [
        pytest.param("min_size: 10.7", "ssd", [[95, 45, 105, 55]], id="SSD cuts sizes"),
        pytest.param(
            "min_size: 10.5",
            "textboxes",
            [[94.75, 44.75, 105.25, 55.25], [94.75, 94.75, 105.25, 100]],
            id="TextBoxes does not, and clips",
        ),
        pytest.param(
            "min_size: 10 clip: false",
            "textboxes",
            [[95, 45, 105, 55], [95, 95, 105, 105]],
            id="TextBoxes told not to clip",
        ),
        pytest.param(
            "min_size: 11 max_size: 44 aspect_ratio: 4 flip: false",
            "faceboxes",
            [[95, 45, 105, 55], [89, 39, 111, 61], [89, 47.25, 111, 52.75]],
            id="FaceBoxes takes 1 off the first box alone",
        ),
        pytest.param(
            "min_size: 64",
            "faceboxes",
            [
                [100 + x - 31.5, 50 + y - 31.5, 100 + x + 31.5, 50 + y + 31.5]
                for y in (-16, 0)
                for x in (-16, 0)
            ],
            id="FaceBoxes is dense at 64",
        ),
        pytest.param(
            "min_size: 10 img_h: 50 img_w: 100",
            "ssd",
            [[90, 40, 110, 60]],
            id="image size for the shares",
        ),
        pytest.param(
            "min_size: 10 step: 20 offset: 0", "ssd", [[-5, -5, 5, 5]], id="offset counts steps"
        ),
        pytest.param(
            "min_size: 20 reduce_boxes: true aspect_ratio: 4 flip: false",
            "ssd",
            [[95, 45, 105, 55], [80, 45, 120, 55]],
            id="reduce_boxes halves the first",
        ),
        pytest.param(
            "min_size: 10 aspect_ratio: 4 aspect_ratio: 0.25",
            "ssd",
            [[95, 45, 105, 55], [90, 47.5, 110, 52.5], [97.5, 40, 102.5, 60]],
            id="a ratio that is there as a flip is not repeated",
        ),
    ],
)
def test_boxes(param: str, dialect: str, want: Any) -> None:
    np.testing.assert_allclose(boxes_of(param, dialect), want, rtol=1e-5, atol=1e-4)


def test_cells_come_row_by_row() -> None:
    boxes = boxes_of("min_size: 2 min_size: 4", feature=np.zeros((1, 1, 2, 3)))
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    want = [(x, y) for y in (25, 75) for x in (100 / 3, 100, 500 / 3) for _ in range(2)]
    np.testing.assert_allclose(centres, want, rtol=1e-5)


DENSE = "min_size: 32 min_size: 64 min_size: 128 step: 32"
WIDE = "min_size: 30 aspect_ratio: 2 aspect_ratio: 5 flip: false clip: true"


@pytest.mark.parametrize(
    ("param", "asked", "want"),
    [
        pytest.param("min_size: 30", None, "ssd", id="nothing points elsewhere"),
        pytest.param("min_size: 30", "textboxes", "textboxes", id="but it may be asked for"),
        pytest.param("min_size: 256 step: 64", "textboxes", "ssd", id="unless it is impossible"),
        pytest.param("min_size: 256 step: 64", "faceboxes", "faceboxes", id="single FaceBoxes"),
        pytest.param(DENSE, None, "faceboxes", id="dense sizes"),
        pytest.param(DENSE, "ssd", "ssd", id="dense sizes, SSD asked for"),
        pytest.param(WIDE, None, "textboxes", id="wide boxes, not turned round"),
        pytest.param(WIDE + " step: 8", None, "ssd", id="a field that TextBoxes does not have"),
        pytest.param(WIDE, "ssd", "ssd", id="wide boxes, SSD asked for"),
    ],
)
def test_dialect(param: str, asked: str | None, want: str) -> None:
    spec = layer_of(f'type: "PriorBox" prior_box_param {{ {param} }}', 2).spec
    chosen, why = choose_class(spec, asked)
    assert chosen is choose_class(spec, want)[0]
    is_worth_saying = want != "ssd" or asked == "ssd"
    assert (f"is read as {want} has it" in why) == is_worth_saying
    assert (why != "") == is_worth_saying


def test_a_net_is_of_one_fork() -> None:
    layer = (
        'layer {{ name: "p{0}" type: "PriorBox" bottom: "x" bottom: "i" top: "p{0}"'
        " prior_box_param {{ {1} }} }}"
    )
    text = layer.format(1, DENSE) + layer.format(2, "min_size: 257 step: 64")
    net = net_of(text, {"x": FEATURE, "i": IMAGE})
    net.forward()
    assert net.blobs["p1"].shape == (1, 2, 84)
    x1, _, x2, _ = net.blobs["p2"].data[0, 0] * 200
    np.testing.assert_allclose(x2 - x1, 256, rtol=1e-6)


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("", "min_size is 'missing', allowed: 1 or more, all above 0"),
        ("min_size: 0", "min_size is 0.0, allowed: above 0"),
        ("min_size: 1 max_size: 2 max_size: 3", "allowed: as often as min_size (1)"),
        ("min_size: 2 max_size: 2", "max_size is 2.0, allowed: above its min_size 2.0"),
        ("min_size: 2 variance: 1 variance: 2", "allowed: none, 1 or 4, all above 0"),
        ("min_size: 2 step: 0", "prior_box_param.step is 0.0, allowed: above 0"),
        ("min_size: 2 step_h: 4", "is 'with step_h', allowed: step, or step_h and step_w"),
        ("min_size: 2 img_size: 4 img_h: 3 img_w: 3", "allowed: img_size, or img_h and img_w"),
        ("min_size: 2 aspect_ratio: -1", "aspect_ratio is -1.0, allowed: above 0"),
    ],
)
def test_errors(param: str, message: str) -> None:
    assert message in error_of(
        f'type: "PriorBox" prior_box_param {{ {param} }}', (1, 1, 2, 2), (1, 3, 9, 9)
    )
