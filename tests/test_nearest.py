"""nearest_name: what a mistyped name may stand for."""

import pytest

from adaption.nearest import nearest_name, nearest_names


@pytest.mark.parametrize(
    ("name", "names", "near"),
    [
        pytest.param("qdq8", ("float", "qdq", "integer"), "qdq", id="a letter more"),
        pytest.param("RELU", ("Sigmoid", "ReLU"), "ReLU", id="case does not count"),
        pytest.param("data", ("Data", "data"), "Data", id="the first of those that differ in case"),
        pytest.param("cnv1", ("conv12", "conv1"), "conv1", id="the nearest of two"),
        pytest.param("north", ("deterministic", "floor"), None, id="none is near"),
        pytest.param("data", (), None, id="there are none"),
    ],
)
def test_nearest_name(name: str, names: tuple[str, ...], near: str | None) -> None:
    assert nearest_name(name, names) == near


def test_nearest_names() -> None:
    names = ("conv1", "conv2", "ip1", "Conv10", "conv3", "conv4")
    assert nearest_names("conv11", names, 2) == ("conv1", "Conv10")
    assert len(nearest_names("conv", names)) == 3 and nearest_names("x", names) == ()
