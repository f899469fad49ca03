from __future__ import annotations

import numpy as np
import pytest
import torch

from adaption.errors import FieldError
from adaption.layers.permutohedral import Lattice
from tests.layers.snippets import error_of, layer_of, net_of, spread

PARAM = "num_iterations: 3 theta_alpha: 3 theta_beta: 20 theta_gamma: 2"
SNIPPET = (
    'type: "MultiStageMeanfield" bottom: "u" bottom: "s" bottom: "i" top: "y"'
    " multi_stage_meanfield_param { %s }"
)
UNARY = spread(2, 2, 4, 5).numpy()
IMAGE = spread(2, 3, 4, 5, low=0, high=255).numpy()


def test_lattice_comes_near_a_gaussian() -> None:
    points = np.stack(np.meshgrid(np.arange(12), np.arange(12)), -1).reshape(-1, 2) / 3.0
    values = torch.eye(144)[[78]]
    lattice = Lattice(points)
    found = lattice.filter(values)[0] / lattice.filter(torch.ones(1, 144))[0]
    squares = ((points - points[78]) ** 2).sum(1)
    exact = np.exp(-squares / 2)
    exact /= np.exp(-((points[:, None] - points) ** 2).sum(2) / 2).sum(1)
    # The lattice is an approximation, of some percent of the peak.
    np.testing.assert_allclose(found.numpy(), exact, atol=0.15 * exact.max())


def test_lattice_is_symmetric_under_the_reversed_blur() -> None:
    points = spread(20, 5, low=0, high=3).numpy()
    lattice = Lattice(points)
    x = spread(1, 20).requires_grad_()
    lattice.filter(x).backward(spread(1, 20, seed=1))
    y = spread(1, 20, seed=2)
    left = float((lattice.filter(y) * spread(1, 20, seed=1)).sum())
    assert left == pytest.approx(float((y * x.grad).sum()), rel=1e-6)


def test_without_weights_the_top_is_the_unary_term() -> None:
    zero = PARAM + " spatial_filter_weight: 0 bilateral_filter_weight: 0"
    net = net_of(SNIPPET % zero, {"u": UNARY, "s": UNARY, "i": IMAGE})
    net.forward()
    np.testing.assert_allclose(net.blobs["y"].data, UNARY)


def test_images_of_a_batch_are_independent() -> None:
    both = net_of(SNIPPET % PARAM, {"u": UNARY, "s": UNARY, "i": IMAGE})
    both.forward()
    for n in range(2):
        part = {"u": UNARY[[n]], "s": UNARY[[n]], "i": IMAGE[[n]]}
        one = net_of(SNIPPET % PARAM, part)
        one.forward()
        np.testing.assert_allclose(both.blobs["y"].data[[n]], one.blobs["y"].data, rtol=1e-5)


@pytest.mark.parametrize(
    ("param", "want"),
    [
        ("", [1, 1]),
        ("spatial_filter_weight: 3", [3, 3]),
        ('spatial_filter_weights_str: "2.5"', [2.5, 2.5]),
        ('spatial_filter_weights_str: "2 4" spatial_filter_weight: 9', [2, 4]),
    ],
)
def test_blobs_begin_diagonal(param: str, want: list[float]) -> None:
    net = net_of(SNIPPET % f"{PARAM} {param}", {"u": UNARY, "s": UNARY, "i": IMAGE})
    spatial, bilateral, mixing = (b.data[0, 0] for b in net.params["L"])
    np.testing.assert_array_equal(spatial, np.diag(want))
    np.testing.assert_array_equal(bilateral, np.eye(2))
    np.testing.assert_array_equal(mixing, -np.eye(2))


def test_errors() -> None:
    kind = 'type: "MultiStageMeanfield" multi_stage_meanfield_param { %s }'
    shapes = [(1, 2, 4, 5), (1, 2, 4, 5), (1, 3, 4, 5)]
    assert "num_iterations is 1, allowed: 2 or more" in error_of(kind % "", *shapes)
    assert "theta_beta is -1.0, allowed: above 0" in error_of(
        kind % "num_iterations: 2 theta_beta: -1", *shapes
    )
    assert "allowed: (N, C, H, W) twice and (N, 3, H, W)" in error_of(
        kind % "num_iterations: 2", *shapes[:2], (1, 1, 4, 5)
    )
    layer = layer_of(kind % 'num_iterations: 2 spatial_filter_weights_str: "1 2 x"', 3)
    with pytest.raises(FieldError, match="is '1 2 x', allowed: one number, or 2"):
        layer.blob_fillers()[0](torch.zeros(1, 1, 2, 2))  # type: ignore[operator, misc]
