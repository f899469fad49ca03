"""Every differentiable layer's backward pass against finite differences in float64."""

from __future__ import annotations

import pytest
import torch

from adaption.layers.base import _registered, known_types
from tests.layers.rows import ROWS, Row

# Their gradient is a step of the fork's own, not the derivative of the loss; the goldens hold it.
OWN_GRADIENT = ("CTCLoss", "CenterLoss", "MarginInnerProduct", "Region", "RegionLoss", "Yolov3")


@pytest.mark.parametrize("row", [pytest.param(r, id=r.id) for r in ROWS])
def test_gradient_is_the_derivative(row: Row) -> None:
    layer = row.layer
    bottoms = [
        b.clone().requires_grad_(i not in layer.no_gradient) for i, b in enumerate(row.bottoms)
    ]
    if row.type == "Filter":
        bottoms[-1].requires_grad_(False)  # the selector, whatever its index
    blobs = [
        b.clone().requires_grad_(layer.is_learned(i)) for i, b in enumerate(row.blobs_of(layer))
    ]
    assert torch.autograd.gradcheck(
        row.function(layer), (*bottoms, *blobs), atol=row.atol, rtol=1e-4
    )


def test_every_differentiable_type_has_a_row() -> None:
    rows = {(row.type, row.dialect) for row in ROWS}
    missing = [
        f"{name} {dialect}".strip()
        for name in known_types()
        for dialect, cls in _registered()[name].items()
        if cls.is_differentiable
        and name not in OWN_GRADIENT
        and not cls.is_source
        and cls.tops != 0
        and (name, dialect) not in rows
    ]
    assert not missing, f"add a row to tests/layers/rows.py for {', '.join(missing)}"
