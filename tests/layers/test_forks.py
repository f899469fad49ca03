"""Layers of well-known forks against what those forks computed; new cases are picked up."""

from __future__ import annotations

import pytest

from adaption.net import Net
from tests.golden_cases import Case, cases, check

# What `original_semantics` reproduces is ADaPTION's; these forks have the same layer without the
# defect.
AS_MEANT = {
    # Fast R-CNN's GPU code gives no gradient to a region that ends before it starts; Intel wrote
    # the backward pass anew.
    ("intel/caffe", "ROIPooling"),
    # Fast R-CNN's forgets the default loss weight of 1.
    ("weiliu89/caffe", "SmoothL1Loss"),
}


def is_meant(case: Case) -> bool:
    fork = case.meta["source"].split(",")[0].split()[0]
    return any((fork, layer) in AS_MEANT for _, layer in case.meta["layers"])


@pytest.mark.parametrize("case", cases("forks"))
def test_forks(case: Case) -> None:
    check(case, original_semantics=not is_meant(case))


@pytest.mark.parametrize("case", cases("forks"))
def test_loss_weights(case: Case) -> None:
    original = not is_meant(case)
    net = Net(case.prototxt, phase=case.meta["phase"], original_semantics=original)
    found = {
        top: weight
        for node in net.nodes
        for top, weight in zip(node.spec.tops, node.loss_weights, strict=True)
        if weight
    }
    assert found == case.meta["loss_weights"]
