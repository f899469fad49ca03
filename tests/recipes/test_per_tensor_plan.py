"""From statistics to formats: every criterion once, shifts of the bits, and what has no format."""

from __future__ import annotations

from typing import Any

import pytest

from adaption.errors import LayerError
from adaption.net.plan import Point
from adaption.recipes.per_tensor_plan import (
    Gradients,
    Offsets,
    TensorPlan,
    Word,
    plan_tensors,
)
from adaption.recipes.per_tensor_sites import Site, Tensors

A, B, C = "a", "b", "c"
RA, RB = Point("ra", "activation_grad"), Point("rb", "activation_grad")
OWN = Point(C, "activation_grad")
TENSORS = Tensors(
    (A, B, C),
    (
        Site(A, (Point(A, "bottom"),), (A,)),
        Site("ra", (Point("ra", "activation"),), (B,), (A,)),
        Site("rb", (Point("rb", "activation"),), (C,), (B,)),
    ),
    {A: (RA,), B: (RB,), C: (OWN,)},
)
WORDS = {name: Word(0, 0, False) for name in (A, "ra", "rb")}
# The figures of the paper's MNIST net in the specification, to three digits.
OFFSETS = Offsets.of(
    {A: 1.54e4, B: 4302, C: 844}, {A: 507, "ra": 233, "rb": 62.8}, WORDS
)  # fmt: skip
GRADIENTS: dict[str, Any] = {
    "sigmas": {
        Point(A, "weight_grad"): (6.80e-4, 1.80e-3),
        Point(B, "weight_grad"): (1.11e-3, 3.07e-3),
        Point(C, "weight_grad"): (2.95e-3, 1.25e-2),
        RA: (1.74e-4, 2.56e-4),
        RB: (1.43e-4, 4.38e-4),
        OWN: (2.10e-4, 1.14e-3),
    },
    "jacobians": {(A, RA): 26.0, (B, RB): 90.0, (C, OWN): 230.0},
    "rates": {A: 0.01, B: 0.01, C: 0.01},
}


def made(**other: Any) -> TensorPlan:
    return plan_tensors(TENSORS, OFFSETS, 3, Gradients(**{**GRADIENTS, **other}))


def bits(words: Any) -> list[int]:
    return [word.bits for word in words.values()]


def test_the_net_of_the_specification() -> None:
    plan = made()
    assert bits(plan.weights) == [7, 6, 5]
    assert bits(plan.activations) == [5, 4, 3]
    assert bits(plan.weight_grads) == [6, 6, 7]
    assert bits(plan.activation_grads) == [8, 8, 9]
    assert bits(plan.accumulators) == [14, 14, 14]
    assert [w.range_log2 for w in plan.weight_grads.values()] == [-8, -7, -5]
    assert [w.range_log2 for w in plan.activation_grads.values()] == [-9, -9, -7]
    assert [w.range_log2 for w in plan.accumulators.values()] == [-7, -6, -5]


def test_formats_of_all_points() -> None:
    found = {str(point): fmt for point, fmt in made().plan().items()}
    assert set(found) == {
        *(f"{n}:{k}" for n in (A, B, C) for k in ("weight", "weight_grad", "weight_accumulator")),
        "a:bottom", "ra:activation", "rb:activation",
        "ra:activation_grad", "rb:activation_grad", "c:activation_grad",
    }  # fmt: skip
    weight, grad, kept = found["a:weight"], found["a:weight_grad"], found["a:weight_accumulator"]
    assert weight is not None and grad is not None and kept is not None
    assert weight.to_fields() == {
        "kind": "FIXED", "word_length": 7, "frac_length": 6, "rounding": "half_away",
        "is_signed": True, "range": "full",
    }  # fmt: skip
    assert found["a:bottom"].to_fields() == {
        "kind": "FIXED", "word_length": 5, "frac_length": 4, "rounding": "half_away",
        "is_signed": False, "range": "full",
    }  # fmt: skip
    assert (grad.min_value, grad.lsb) == (-(2.0**-8), 2.0**-13)
    # Half a step of the weight, and the least update: 0.01 2^-13 rounded down to 2^-20.
    assert (kept.min_value, kept.lsb) == (-(2.0**-7), 2.0**-20)


@pytest.mark.parametrize("k", [1, -1, -2])
def test_bits_more_or_less_leave_ranges_but_those_of_accumulators(k: int) -> None:
    """In C+k the step of an accumulator falls by 2 k powers of two."""
    before, after = made(), made().more(k)
    for name in ("weights", "activations", "weight_grads", "activation_grads"):
        for a, b in zip(getattr(before, name).values(), getattr(after, name).values(), strict=True):
            assert (b.bits, b.range_log2) == (a.bits + k, a.range_log2)
    for a, b in zip(before.accumulators.values(), after.accumulators.values(), strict=True):
        assert (b.bits, b.range_log2) == (a.bits + k, a.range_log2 - k)
        assert b.format.frac_length == a.format.frac_length + 2 * k


def test_fewer_bits_of_accumulators_alone_keep_their_range() -> None:
    before, after = made(), made().more(-10, ["weight_accumulator"])
    for a, b in zip(before.accumulators.values(), after.accumulators.values(), strict=True):
        assert (b.bits, b.range_log2) == (a.bits - 10, a.range_log2)
        assert b.format.frac_length == a.format.frac_length - 10
    assert after.weights == before.weights and after.weight_grads == before.weight_grads


def test_weights_and_activations_alone() -> None:
    plan = made().more(-2, ["weight", "activation"])
    assert bits(plan.weights) == [5, 4, 3] and bits(plan.activations) == [3, 2, 1]
    assert bits(plan.weight_grads) == [6, 6, 7] and bits(plan.accumulators) == [14, 14, 14]
    assert [w.range_log2 for w in plan.accumulators.values()] == [-5, -4, -3]


def test_a_tensor_without_bits_is_named() -> None:
    with pytest.raises(LayerError) as caught:
        made().more(-3).plan()
    assert str(caught.value) == 'layer "rb": activation is left with 0 bits, allowed: 1 or more'


def test_an_input_whose_bits_are_given_keeps_them() -> None:
    words = {**WORDS, A: Word(8, -1, False, fixed=True)}
    offsets = Offsets.of(
        {A: 1.54e4, B: 4302, C: 844}, {A: 1e-9, "ra": 233, "rb": 62.8}, words
    )  # fmt: skip
    assert {n: b for n, (_, b) in offsets.weights.items()} == {A: 4, B: 3, C: 2}
    plan = plan_tensors(TENSORS, offsets, 3, Gradients(**GRADIENTS)).more(-2)
    assert plan.activations[A] == Word(8, -1, False, fixed=True)
    fmt = plan.plan()[Point(A, "bottom")]
    assert fmt is not None and fmt.to_fields()["frac_length"] == 8


def test_wider_activations_have_more_bits_for_the_same_step() -> None:
    words = {**WORDS, "ra": Word(0, 2, True)}
    offsets = Offsets.of({A: 1.54e4, B: 4302, C: 844}, {A: 507, "ra": 233, "rb": 62.8}, words)
    assert offsets.activations["ra"] == (233, 3)
    assert offsets.forward(3)[1]["ra"].format.lsb == OFFSETS.forward(3)[1]["ra"].format.lsb


def test_weights_that_do_not_learn_have_no_gradient() -> None:
    plan = made(rates={A: 0.0, B: 0.01, C: 0.01}, jacobians={(B, RB): 90.0, (C, OWN): 230.0})
    assert A not in plan.weight_grads and A not in plan.accumulators
    assert RA not in plan.activation_grads and bits(plan.weights) == [7, 6, 5]
    assert plan.gradient_of(A) is None and plan.gradient_of(B) == RB


def test_a_shared_weight_has_the_gradient_of_its_owner() -> None:
    sigmas = {p: s for p, s in GRADIENTS["sigmas"].items() if p != Point(B, "weight_grad")}
    plan = made(sigmas=sigmas, owners={A: A, B: A, C: C})
    assert plan.weight_grads[B] == plan.weight_grads[A]


def test_the_step_of_an_activation_gradient_fits_all_layers_behind_it() -> None:
    tensors = Tensors(
        (A, B, C),
        (TENSORS.sites[0], Site("r", (Point("r", "activation"),), (C,), (A, B))),
        {A: (Point("r", "activation_grad"),), B: (Point("r", "activation_grad"),), C: (OWN,)},
    )
    place = Point("r", "activation_grad")
    sigmas = {**GRADIENTS["sigmas"], place: (1e-4, 2.56e-4)}
    words = {A: Word(0, 0, False), "r": Word(0, 0, False)}
    offsets = Offsets.of({A: 4, B: 4, C: 4}, {A: 4, "r": 4}, words)
    found = [
        plan_tensors(
            tensors, offsets, 3,
            Gradients(sigmas, {(A, place): a, (B, place): b, (C, OWN): 1.0}, GRADIENTS["rates"]),
        ).activation_grads[place].bits
        for a, b in ((26.0, 1e-6), (1e-6, 26.0), (1e-6, 1e-6), (26.0, 26.0))
    ]  # fmt: skip
    assert found[0] == found[3] == 8 and found[1] == 7 and found[2] == 2


def test_a_gradient_that_vanished_is_named() -> None:
    sigmas = {**GRADIENTS["sigmas"], Point(B, "weight_grad"): (0.0, 1e-3)}
    with pytest.raises(LayerError) as caught:
        made(sigmas=sigmas)
    assert str(caught.value) == (
        'layer "b": weight_grad was 0 throughout a part of the float run, so that no step follows\n'
        "  fix: look for a layer that gets no gradient, or train for fewer iterations"
    )


def test_legacy_clipping_takes_more_bits() -> None:
    plan = plan_tensors(TENSORS, OFFSETS, 3, Gradients(**GRADIENTS), legacy_clipping=True)
    usual = made()
    more = [b - a for a, b in zip(bits(usual.weight_grads), bits(plan.weight_grads), strict=True)]
    assert set(more) <= {1, 2}
    more = [
        b - a
        for a, b in zip(bits(usual.activation_grads), bits(plan.activation_grads), strict=True)
    ]
    assert set(more) <= {2, 3}
