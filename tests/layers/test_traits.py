"""What layer types say of themselves is what their forward does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from adaption.graph import LayerSpec
from adaption.io.lp_types import PLAIN, TWINS
from adaption.layers.base import (
    Layer,
    _registered,
    known_types,
    layer,
    traits_of,
    traits_of_type,
)
from adaption.layers.traits import KINDS, Traits
from adaption.proto import caffe_pb2
from adaption.report.drawing import COLOURS
from tests.layers.rows import ROWS, Row

CLASSES = [
    pytest.param(cls, id="-".join(part for part in (name, dialect) if part))
    for name, variants in sorted(_registered().items())
    for dialect, cls in variants.items()
]
TEST_ROWS = [row for row in ROWS if row.phase == "TEST"]


def rows(claim: Callable[[Layer], bool]) -> list[Any]:
    """The rows whose layer claims something; a claim without any row could not be held."""
    found = [pytest.param(row, id=row.id) for row in TEST_ROWS if claim(row.layer)]
    assert found
    return found


def tops_of(
    row: Row, made: Layer, *bottoms: Tensor, blobs: list[Tensor] | None = None
) -> list[Any]:
    blobs = row.blobs_of(row.layer) if blobs is None else blobs
    return list(row.function(made)(*bottoms, *blobs))


def scaled_bottoms(row: Row, made: Layer, factor: float) -> list[Tensor]:
    """Bottoms times a factor, but for those that hold labels, places or sizes."""
    return [b if i in made.no_gradient else b * factor for i, b in enumerate(row.bottoms)]


def values(*tensors: Tensor) -> Tensor:
    return torch.cat([t.flatten() for t in tensors]).sort().values


# -- what is stated ----------------------------------------------------------------------------


def test_a_type_that_does_not_say_its_kind_is_refused() -> None:
    class Mish(Layer):
        pass

    with pytest.raises(ValueError) as caught:
        layer("Mish")(Mish)
    first, *listed = str(caught.value).splitlines()
    assert (
        first == "Mish does not say what kind of layer it is; add one of these to its @layer(...):"
    )
    assert '  kind="activation": activation function: of each value, behind a sum' in listed
    assert len(listed) == len(KINDS)
    assert "Mish" not in known_types()


@pytest.mark.parametrize("cls", CLASSES)
def test_traits_fit_together(cls: type[Layer]) -> None:
    assert cls.kind_in_drawings() in COLOURS
    if cls.is_loss or cls.reads_scores:
        assert cls.kind == "loss", "what compares with labels is drawn and left out as a loss"
    if cls.is_source or cls.obeys_transform:
        assert cls.kind == "data"
    if cls.is_pointwise:
        assert cls.kind in ("activation", "function"), (
            "a function of each value alone is an activation function, behind which results can be"
            ' rounded (--lpact after-relu), or kind="function" where they must not be'
        )
    needed = []
    if cls.is_weight_layer():
        needed = ["by_output", "from_output", "rescaled"]
    if cls.is_foldable:
        needed += ["slope_and_shift", "rescaled"]
    missing = [name for name in needed if getattr(cls, name) is getattr(Traits, name)]
    assert not missing, f"a layer of this kind overrides {', '.join(missing)}"


@pytest.mark.parametrize("name", [n for n, v in sorted(_registered().items()) if len(v) > 1])
def test_variants_of_a_type_agree(name: str) -> None:
    """`traits_of_type` speaks for all of them."""
    stated = {
        (cls.kind, cls.drawn_as, cls.param, cls.moves_places(), cls.is_foldable)
        for cls in _registered()[name].values()
    }
    assert len(stated) == 1


def test_low_precision_twins_are_the_class_of_the_plain_type() -> None:
    assert {twin: traits_of_type(twin) for twin in PLAIN} == {
        TWINS[plain]: traits_of_type(plain) for plain in TWINS
    }


def test_nothing_is_known_of_unknown_types() -> None:
    message = caffe_pb2.LayerParameter(name="l", type="Mish")
    found = traits_of(LayerSpec("l", "Mish", ("x",), ("y",), message))
    assert type(found) is Layer and traits_of_type("Mish") is Layer
    assert not found.kind and not found.is_weight_layer() and found.rescaled(2.0) is None
    assert not (found.hands_on() or found.keeps_codes() or found.keeps_grid() or found.rectifies())
    assert not found.settings() and not found.moves_places() and not found.kind_in_drawings()


def test_python_classes_are_not_run_for_their_traits() -> None:
    text = caffe_pb2.LayerParameter(name="l", type="Python")
    text.python_param.module, text.python_param.layer = "no_such_module", "Any"
    spec = LayerSpec("l", "Python", (), ("y",), text, python_modules=("no_such_module",))
    assert traits_of(spec).kind == "data"


# -- what is true ------------------------------------------------------------------------------


@pytest.mark.parametrize("row", rows(lambda x: x.hands_on()))
def test_hands_its_bottom_on(row: Row) -> None:
    for top in tops_of(row, row.layer, *row.bottoms):
        assert torch.equal(top, row.bottoms[0])


@pytest.mark.parametrize("row", rows(lambda x: x.rectifies()))
def test_rectifies(row: Row) -> None:
    (top,) = tops_of(row, row.layer, *row.bottoms)
    assert torch.equal(top, row.bottoms[0].clamp_min(0))


@pytest.mark.parametrize("row", rows(lambda x: x.keeps_codes()))
def test_keeps_codes(row: Row) -> None:
    made = row.layer
    allowed = values(torch.zeros(1, dtype=torch.float64), *row.bottoms)
    tops = tops_of(row, made, *row.bottoms)
    tops = tops[:1] if made.kind == "pooling" else tops  # the second is its mask
    assert torch.isin(values(*tops), allowed).all()


@pytest.mark.parametrize("row", rows(lambda x: x.rearranges))
def test_rearranges(row: Row) -> None:
    for top in tops_of(row, row.layer, *row.bottoms):
        assert torch.equal(values(top), values(*row.bottoms))


@pytest.mark.parametrize("row", rows(lambda x: x.kind in ("activation", "function")))
def test_keeps_each_value_in_its_place(row: Row) -> None:
    made = row.layer
    (top,) = tops_of(row, made, *row.bottoms)
    assert top.shape == row.bottoms[0].shape
    if made.is_pointwise:
        (turned,) = tops_of(row, made, row.bottoms[0].flip(0))
        # Vectorized functions and the rest behind a vector may differ in the last bit.
        torch.testing.assert_close(turned, top.flip(0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("row", rows(lambda x: x.moves_places() == "kept"))
def test_keeps_places(row: Row) -> None:
    assert tops_of(row, row.layer, *row.bottoms)[0].shape == row.bottoms[0].shape


@pytest.mark.parametrize("row", rows(lambda x: x.rescaled(2.0) is not None))
def test_rescaled(row: Row) -> None:
    """With bottoms times a factor, and what it says multiplied, a layer computes the same."""
    made = row.layer
    factor = 4.0  # exact in every sum, and so is its root
    change = made.rescaled(factor)
    assert change is not None
    blobs = [b * change.blobs.get(i, 1.0) for i, b in enumerate(row.blobs_of(made))]
    other = made
    if change.setting:
        other = replace(
            made,
            **{  # type: ignore[type-var]
                change.setting: getattr(made, change.setting) * change.factor
            },
        )
        object.__setattr__(other, "spec", made.spec)
    before = tops_of(row, made, *row.bottoms)
    after = tops_of(row, other, *scaled_bottoms(row, made, factor), blobs=blobs)
    if made.keeps_order:
        assert made.is_loss or torch.equal(before[0].argmax(1), after[0].argmax(1))
        return
    if made.kind == "pooling":
        before, after = before[:1], after[:1]  # the second is its mask
    for mine, theirs in zip(before, after, strict=True):
        wanted = mine * factor if change.scales_top else mine
        torch.testing.assert_close(theirs, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("row", rows(lambda x: x.is_foldable and not x.why_not_folded("TEST")))
def test_slope_and_shift(row: Row) -> None:
    if len(row.bottoms) > 1:
        pytest.skip("a second bottom is no part of a sum")
    made, x = row.layer, row.bottoms[0]
    blobs = [b.numpy() for b in row.blobs_of(made)]
    slope, shift = made.slope_and_shift(blobs, x.shape[1])
    wide = (-1, *[1] * (x.dim() - 2))
    want = x.numpy() * slope.reshape(wide) + shift.reshape(wide)
    (top,) = tops_of(row, made, x)
    np.testing.assert_allclose(top.numpy(), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("row", rows(lambda x: x.is_weight_layer()))
def test_weights_by_output(row: Row) -> None:
    """A row times a number changes that output alone, by that number; and back again."""
    made = row.layer
    weight, *bias = row.blobs_of(made)
    by_output = made.by_output(weight.numpy())
    assert np.array_equal(made.from_output(by_output, tuple(weight.shape)), weight.numpy())
    slopes = torch.arange(1, len(by_output) + 1, dtype=torch.float64)
    changed = made.from_output(by_output * slopes.numpy()[:, None], tuple(weight.shape))
    no_bias = [torch.zeros_like(b) for b in bias]
    for top, other in zip(
        tops_of(row, made, *row.bottoms, blobs=[weight, *no_bias]),
        tops_of(row, made, *row.bottoms, blobs=[torch.from_numpy(changed), *no_bias]),
        strict=True,
    ):
        if made.sums_to_channels():
            wide = slopes.reshape(-1, *[1] * (top.dim() - 2))
            torch.testing.assert_close(other, top * wide, rtol=1e-12, atol=1e-12)
